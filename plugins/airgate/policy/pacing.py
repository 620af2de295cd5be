"""How long to hold the next request back, by what the server says is left of its limit.

Read are ``RateLimit`` and ``RateLimit-Policy`` (IETF draft-ietf-httpapi-ratelimit-headers, its present and its earlier
forms) and the older ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LOW = 0.1
"""Share of the limit below which requests are spread over what is left of the window."""
LONGEST = 3600.0
"""Seconds; a pause beyond this is read as this, since a server that means more can say so with ``Retry-After``."""

_EPOCH = 1e9
_MILLISECONDS = 1e12
_ITEM = re.compile(r'^"?(?P<name>[^";]*)"?(?P<parameters>(?:\s*;\s*[a-z]+=[^;]*)+)$')


def pause_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds to wait before the next request to the same gateway; 0 when nothing speaks against it.

    With nothing left the wait lasts until the window is over. With less than a tenth left, what is left is spread over
    the rest of the window.

    Args:
        headers: Of an answer; looked up by lower-case names.
        now: Unix time in seconds, to read a reset that is told as a time.
    """
    pauses = [_pause(limit, remaining, reset, now) for limit, remaining, reset in _windows(headers)]
    return min(max(pauses, default=0.0), LONGEST)


def _pause(limit: float | None, remaining: float, reset: float, now: float) -> float:
    if reset >= _MILLISECONDS:
        reset /= 1000
    if reset >= _EPOCH:
        reset -= now
    if reset <= 0:
        return 0.0
    if remaining < 1:
        return reset
    return reset / (remaining + 1) if limit is not None and remaining < limit * LOW else 0.0


def _windows(headers: Mapping[str, str]) -> list[tuple[float | None, float, float]]:
    """(limit, remaining, reset) of each window that the headers tell of."""
    if text := headers.get("ratelimit"):
        return _structured(text, headers.get("ratelimit-policy") or "")
    windows = []
    for prefix in ("ratelimit", "x-ratelimit", "x-rate-limit"):
        remaining, reset = (_number(headers.get(f"{prefix}-{name}")) for name in ("remaining", "reset"))
        if remaining is not None and reset is not None:
            windows.append((_number(headers.get(f"{prefix}-limit")), remaining, reset))
    return windows


def _structured(text: str, policy: str) -> list[tuple[float | None, float, float]]:
    quotas = {name: _number(values.get("q")) for name, values in _items(policy)}
    windows = []
    for name, values in _items(text):
        remaining, reset = _number(values.get("r")), _number(values.get("t"))
        if remaining is not None and reset is not None:
            windows.append((quotas.get(name), remaining, reset))
    if windows:
        return windows
    # The form of earlier drafts: limit=100, remaining=20, reset=30
    pairs = dict(part.strip().partition("=")[::2] for part in text.split(","))
    remaining, reset = _number(pairs.get("remaining")), _number(pairs.get("reset"))
    return [] if remaining is None or reset is None else [(_number(pairs.get("limit")), remaining, reset)]


def _items(text: str) -> list[tuple[str, dict[str, str]]]:
    items = []
    for part in text.split(","):
        if match := _ITEM.match(part.strip()):
            pairs = [pair.strip().partition("=") for pair in match["parameters"].split(";") if pair.strip()]
            items.append((match["name"], {name: value.strip() for name, _, value in pairs}))
    return items


def _number(value: str | None) -> float | None:
    if not value:
        return None
    try:
        number = float(value.split(",")[0])
    except ValueError:
        return None
    return number if 0 <= number < 1e15 else None


class Pace:
    """When the next request to one gateway is welcome, by what its answers said. Shared by the calls of a session."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def heed(self, headers: Mapping[str, str], now: float) -> None:
        """Take note of an answer's headers."""
        if pause := pause_after(headers, now):
            self._not_before = max(self._not_before, now + pause)

    def pause(self, now: float) -> float:
        """Seconds to wait before the next request."""
        return max(0.0, self._not_before - now)
