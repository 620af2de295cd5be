"""What a client prefers (RFC 7240): how long it would wait for the end of a run."""

from __future__ import annotations

import re

_PREFERENCE = re.compile(r'\s*(?P<name>[!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s;,"]*))?')


def wait_of(header: str | None, longest: float) -> int | None:
    """Whole seconds that an answer may be waited for, ``longest`` at most; None where nothing is preferred.

    A preference that makes no sense is ignored, and of several the first one counts (RFC 7240, 2).

    Args:
        header: The ``Prefer`` header, its lines joined with commas.
        longest: Seconds.
    """
    for preference in _split(header or ""):
        found = _PREFERENCE.match(preference)
        if found and found["name"].lower() == "wait":
            value = (found["value"] or "").strip('"')
            if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) == 0:
                return None
            return min(int(value), int(longest)) or None
    return None


def _split(header: str) -> list[str]:
    """The parts between commas that stand in no quotes."""
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', header)
