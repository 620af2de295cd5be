"""Limits that callers share: how often and how many at once, for a connection and for its routes.

A limit holds exactly: in no stretch of ``Window.seconds``, wherever it begins, are there more than ``Window.requests``
grants. Whoever is turned away stands in line at each scope that turned it away, by age; others pass only where they
take nothing from it. pyrate-limiter, the kept library, is a peer in ``benchmarks/limits.py``: it keeps no line between
processes, takes several scopes one after the other, knows no concurrency and counts by the clocks of its callers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

MOST = 1_000_000
"""Requests in one window; a store remembers the time of each."""
GRACE = 250_000
"""Microseconds that a caller's turn is kept for it beyond the moment it was told; after that its turn is passed on, and
when it comes back it has its old place in line."""
POLL_SHARE, POLL_LEAST, POLL_MOST = 0.05, 5_000, 500_000
"""Microseconds between looks for a freed concurrency slot: a share of the time since the last grant, between bounds."""

_RATE = re.compile(r"(?P<requests>\d+)\s*/\s*(?P<count>\d+(?:\.\d+)?)?\s*(?P<unit>[a-z]+)")
_UNITS = {
    1.0: ("s", "sec", "second", "seconds"),
    60.0: ("m", "min", "minute", "minutes"),
    3600.0: ("h", "hour", "hours"),
    86400.0: ("d", "day", "days"),
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names}


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many requests in any stretch of so many seconds."""

    requests: int
    """At least 1."""
    seconds: float
    """Length of the stretch, above 0."""

    @property
    def micros(self) -> int:
        """The length in whole microseconds, the unit of the stores."""
        return max(1, round(self.seconds * 1_000_000))


@dataclass(frozen=True, slots=True)
class Limit:
    """What one scope allows. An empty limit allows everything."""

    windows: tuple[Window, ...] = ()
    """All of them hold at the same time."""
    concurrency: int | None = None
    """Requests under way at the same time; None for any number."""

    def __bool__(self) -> bool:
        return bool(self.windows) or self.concurrency is not None


@dataclass(frozen=True, slots=True)
class Scope:
    """A limit and the name under which all processes count it."""

    key: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a connection: its own, and those of its routes."""

    connection: Limit = Limit()
    routes: Mapping[str, Limit] = field(default_factory=dict)
    """By path prefix or template, such as ``/orders`` or ``/orders/{id}``; the most specific one that fits counts."""

    def __bool__(self) -> bool:
        return bool(self.connection) or any(self.routes.values())

    def scopes(self, connection_key: str, path: str) -> tuple[Scope, ...]:
        """What a request to the path has to be granted, the connection's own scope first; empty when nothing limits it.

        Args:
            connection_key: Names the connection to everybody who shares the store.
            path: The request's path below the connection's base URL; a query is ignored.
        """
        scopes = [Scope(connection_key, self.connection)] if self.connection else []
        segments = _segments(path)
        fitting = [pattern for pattern in self.routes if _fits(pattern, segments)]
        if fitting:
            pattern = max(fitting, key=_specificity)
            if self.routes[pattern]:
                scopes.append(Scope(f"{connection_key} {pattern}", self.routes[pattern]))
        return tuple(scopes)


@dataclass(frozen=True, slots=True)
class Granted:
    """The request may be sent now."""

    ticket: str
    """To give back with ``release`` when the request is over; empty when nothing is held."""
    at: float = 0.0
    """When it was granted, Unix time in seconds on the store's clock."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The request has a place in line."""

    ticket: str
    """To come back with, from any process, or to give back with ``release`` when giving up."""
    wait: float
    """Seconds after which to come back: the time left if all ahead take their turn, or the next look at a slot."""


class Limiter(Protocol):
    """Grants requests to callers in many threads and processes."""

    def acquire(self, scopes: Sequence[Scope], *, lease: float, ticket: str | None = None) -> Granted | Queued:
        """Take one request of every window and one slot of every concurrency limit of the scopes, or nothing.

        Args:
            scopes: From ``ConnectionLimits.scopes``.
            lease: Seconds after which a concurrency slot is free again if nobody released it.
            ticket: From the ``Queued`` before, to keep the place in line.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """

    def release(self, ticket: str) -> None:
        """Free the slots of a granted ticket, or leave the line; a second time it does nothing.

        Raises:
            StoreUnavailable: The store cannot be asked; the slots are free when their lease is over.
        """


def opens_at(limit: Limit, ahead: int, grant: Callable[[int], int | None], held: int, last: int, now: int) -> int:
    """When a scope lets the next caller in, in microseconds; ``now`` or earlier means at once.

    Args:
        limit: What the scope allows.
        ahead: Callers that stand in line before this one.
        grant: The time of the i-th last grant, 1 for the latest; None when there were fewer, or it is long ago.
        held: Concurrency slots taken.
        last: Time of the latest grant.
        now: The store's clock.
    """
    opens = 0
    for window in limit.windows:
        # With those ahead let in, the grant that has to leave the window first is the `requests`-th last.
        rounds, offset = divmod(ahead, window.requests)
        before = grant(window.requests - offset)
        free = now if before is None else before + window.micros + 1
        opens = max(opens, free + rounds * window.micros)
    if limit.concurrency is not None and held + ahead >= limit.concurrency:
        look = min(max(int((now - last) * POLL_SHARE), POLL_LEAST), POLL_MOST)
        opens = max(opens, now + min(look * (held + ahead - limit.concurrency + 1), 2 * POLL_MOST))
    return opens


def longest_window(limit: Limit) -> int:
    """Microseconds after which a grant can be forgotten."""
    return max((window.micros for window in limit.windows), default=0)


def most_requests(limit: Limit) -> int:
    """How many of the latest grants have to be remembered."""
    return max((window.requests for window in limit.windows), default=0)


def parse_limits(value: Mapping[str, Any]) -> ConnectionLimits:
    """Read the ``limits`` field of a connection.

    Args:
        value: ``{"rate": "100/min, 10/s", "concurrency": 4, "routes": {"/orders": {"rate": ["5/s"]}}}``; every part
            may be left out.

    Raises:
        ValueError: Names the field that cannot be read, and what it should be.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"limits must be an object with rate, concurrency and routes, not {type(value).__name__}")  # noqa: TRY004
    connection = _limit({name: part for name, part in value.items() if name != "routes"}, "limits", ", routes")
    routes = value.get("routes") or {}
    if not isinstance(routes, Mapping):
        raise ValueError('limits.routes must be an object of paths, such as {"/orders": {"rate": "5/s"}}')  # noqa: TRY004
    parsed = {}
    for pattern, part in routes.items():
        if not isinstance(pattern, str) or not pattern.startswith("/") or "?" in pattern:
            raise ValueError(f"limits.routes: {pattern!r} must be a path that begins with / and has no query")
        parsed[pattern] = _limit(part, f"limits.routes[{pattern!r}]")
    return ConnectionLimits(connection, parsed)


def _limit(value: Any, name: str, more: str = "") -> Limit:
    if not isinstance(value, Mapping):
        raise ValueError(f'{name} must be an object such as {{"rate": "5/s", "concurrency": 1}}')  # noqa: TRY004
    if unknown := sorted(str(key) for key in value if key not in ("rate", "concurrency")):
        raise ValueError(f"{name}: unknown field {', '.join(unknown)}; there are rate, concurrency{more}")
    concurrency = value.get("concurrency")
    if concurrency is not None and (isinstance(concurrency, bool) or not isinstance(concurrency, int)):
        raise ValueError(f"{name}.concurrency must be a whole number, not {concurrency!r}")
    if concurrency is not None and concurrency < 1:
        raise ValueError(f"{name}.concurrency must be at least 1; leave it out for no limit")
    rate = value.get("rate") or ()
    rates = rate.split(",") if isinstance(rate, str) else rate
    if not isinstance(rates, Sequence) or not all(isinstance(item, str) for item in rates):
        raise ValueError(f'{name}.rate must be text or a list of texts such as "100/min", not {rate!r}')
    return Limit(tuple(_window(item.strip(), f"{name}.rate") for item in rates), concurrency)


def _window(text: str, name: str) -> Window:
    match = _RATE.fullmatch(text.lower())
    if not match or match["unit"] not in _SECONDS:
        raise ValueError(f'{name}: {text!r} must be requests/period, such as "10/s", "100/min", "50/15min", "1000/day"')
    requests, seconds = int(match["requests"]), float(match["count"] or 1) * _SECONDS[match["unit"]]
    if not 1 <= requests <= MOST:
        raise ValueError(f"{name}: {text!r} must allow between 1 and {MOST} requests; take a shorter period for more")
    if not seconds:
        raise ValueError(f"{name}: {text!r} has a period of zero")
    return Window(requests, seconds)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in re.split(r"[?#]", path, maxsplit=1)[0].split("/") if segment)


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> tuple[re.Pattern[str], ...]:
    """One expression a segment; ``{name}`` stands for anything within it."""
    return tuple(
        re.compile(
            "".join(".+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^{}]*\})", text))
        )
        for text in _segments(pattern)
    )


def _fits(pattern: str, segments: tuple[str, ...]) -> bool:
    expressions = _pattern(pattern)
    return len(expressions) <= len(segments) and all(
        expression.fullmatch(segment) for expression, segment in zip(expressions, segments, strict=False)
    )


def _specificity(pattern: str) -> tuple[int, tuple[bool, ...], str]:
    """Longer first, then the one that is literal further to the left."""
    segments = _segments(pattern)
    return len(segments), tuple("{" not in segment for segment in segments), pattern
