"""The memory of the cache: whole answers by key, bounded in bytes; what was not asked for longest goes first."""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from hishel import Entry

_OVERHEAD = 512
"""Bytes that an entry costs besides its body and headers, roughly."""


@dataclass(frozen=True, slots=True)
class Key:
    """All that an answer depends on before `Vary` is looked at, so that a changed file needs to drop none."""

    method: str
    server: str
    """Scheme, host and port."""
    target: str
    signed: bool = False
    """Whether the caller shows who it is: what anybody got is not what somebody would get, nor the other way round."""
    mapped: tuple[tuple[str, str], ...] = ()
    """Headers that mapping sets for the upstream, such as the caller's name: no upstream says it varies by these."""
    ttl: float | None = None
    """Seconds of freshness that the route gives to answers which do not say."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept answer: request and response as the rules of HTTP see them, and the body."""

    entry: Entry
    body: bytes

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        headers = (*self.entry.request.headers.items(), *self.entry.response.headers.items())
        return _OVERHEAD + len(self.body) + sum(len(name) + len(value) for name, value in headers)


class CacheMemory:
    """Kept answers of one process.

    Args:
        limit: Bytes of all of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, dict[UUID, Kept]] = OrderedDict()
        self._keys: dict[tuple[str, str], set[Key]] = {}
        self.size = 0
        """Bytes that are in use."""

    def of(self, key: Key) -> list[Kept]:
        """The answers under a key, which count as asked for."""
        if key not in self._kept:
            return []
        self._kept.move_to_end(key)
        return list(self._kept[key].values())

    def put(self, key: Key, kept: Kept) -> None:
        """Keep an answer, or replace the one of its id."""
        self.drop(key, kept.entry.id)
        self._kept.setdefault(key, {})[kept.entry.id] = kept
        self._kept.move_to_end(key)
        self._keys.setdefault((key.server, key.target), set()).add(key)
        self.size += kept.size
        while self.size > self._limit:
            oldest = next(iter(self._kept))
            self.drop(oldest, next(iter(self._kept[oldest])))

    def drop(self, key: Key, identity: UUID) -> None:
        """Forget an answer; one that is not there is no error."""
        answers = self._kept.get(key, {})
        gone = answers.pop(identity, None)
        if gone is not None:
            self.size -= gone.size
        if not answers and key in self._kept:
            del self._kept[key]
            same = self._keys[key.server, key.target]
            same.discard(key)
            if not same:
                del self._keys[key.server, key.target]

    def invalidate(self, server: str, target: str) -> None:
        """Forget all answers about a target, after an unsafe request to it succeeded (RFC 9111, 4.4)."""
        for key in list(self._keys.get((server, target), ())):
            for identity in list(self._kept[key]):
                self.drop(key, identity)
