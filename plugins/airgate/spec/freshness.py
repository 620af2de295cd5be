"""How long a fetched key set is used (RFC 9111, 5.2.2, within bounds of our own). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_UNCACHED = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)(?:$|[\s,=])", re.IGNORECASE)

USUAL_SECONDS = 600.0
"""Life of a set whose server says nothing about it."""
SHORTEST_SECONDS = 60.0
"""Life of a set that is not to be kept: without it a server that says so would be asked for every request."""
LONGEST_SECONDS = 24 * 3600.0
"""Life of a set that is said to be good for longer: a key that its issuer took back must not be believed for weeks."""
STALE_SECONDS = 3600.0
"""How much longer a set is used while its server cannot be reached."""

_REFRESHED_AFTER = 0.75


@dataclass(frozen=True, slots=True)
class Freshness:
    """Three moments of a set, on the clock that it was fetched by.

    After `refresh_at` a new one is fetched in the background; after `stale_at` a request waits for it; after `dead_at`
    the set is not used any more.
    """

    refresh_at: float
    stale_at: float
    dead_at: float

    @classmethod
    def of(cls, headers: Mapping[str, str], now: float) -> "Freshness":
        """The moments of a set that was fetched now; `headers` has names in small letters."""
        control = headers.get("cache-control", "")
        found = _MAX_AGE.search(control)
        life = float(found[1]) if found else USUAL_SECONDS
        if _UNCACHED.search(control):
            life = 0.0
        life = min(max(life, SHORTEST_SECONDS), LONGEST_SECONDS)
        return cls(now + _REFRESHED_AFTER * life, now + life, now + life + STALE_SECONDS)
