"""Key sets of token issuers: fetched for each token as the gateway does, or kept and refreshed in strict mode."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from airgate.edge.connection import CallFailed
from airgate.edge.whole_call import Call, HttpCalls
from airgate.spec.authorizer import TokenVerifier
from airgate.spec.freshness import Freshness
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable, Refused
from airgate.spec.url import parse_origin

T = TypeVar("T")

_log = logging.getLogger("airgate.edge")

_FETCH_SECONDS = 5.0
_AGAIN_SECONDS = 5.0
"""After a fetch, how long a key that is not in the set leads to no other one."""
_FAILED_SECONDS = 2.0
"""After a fetch that failed, how long there is no other one."""
_ACCEPT = [("accept", "application/json, application/jwk-set+json")]


class Keys(Protocol):
    """Gives the key sets that decisions wait for."""

    async def keys(self, need: NeedKeys[T]) -> KeySet | Refused:
        """The set, or why there is none."""

    async def close(self) -> None:
        """End what is under way."""


class FetchedKeys:
    """Compatible mode: one fetch for each token."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def keys(self, need: NeedKeys[T]) -> KeySet | Refused:
        """The set, or why there is none."""
        try:
            answer = await self._calls.call(Call.to("GET", need.uri, _ACCEPT, None, _FETCH_SECONDS))
            return KeySet.read(answer.body) if answer.status == 200 else KeysUnavailable()
        except CallFailed:
            return KeysUnavailable()
        except Refused as refused:
            return refused

    async def close(self) -> None:
        """Nothing is under way but for requests."""


@dataclass(frozen=True, slots=True)
class _Kept:
    keys: KeySet
    freshness: Freshness


class KeptKeys:
    """Strict mode: each set is kept in memory and fetched anew before it is out of date.

    A token with an unknown key has the set fetched again, at most once in five seconds, so that new keys work at once
    and made-up ones cost nothing. While the server cannot be reached, the last set counts for another hour, but says
    nothing about unknown keys; then nobody is let in.

    Args:
        calls: Makes the requests.
        clock: Seconds on a clock that never goes back.
    """

    def __init__(self, calls: HttpCalls, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._tried: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._failing: set[str] = set()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def keys(self, need: NeedKeys[T]) -> KeySet | Refused:
        """The set, or that there is none for now."""
        uri, now = need.uri, self._clock()
        kept = self._kept.get(uri)
        if kept is None or not _knows(kept.keys, need) or self._tried[uri] < kept.freshness.stale_at <= now:
            await self._fetched(uri)
            kept = self._kept.get(uri)
        elif now >= kept.freshness.refresh_at:  # also during an outage: nobody waits for a server that fails
            self._fetch_unless_tried(uri)
        unsure = uri in self._failing and kept is not None and not _knows(kept.keys, need)  # it may be a new key
        if kept is None or unsure or self._clock() >= kept.freshness.dead_at:
            return KeysUnavailable(retry_after=max(1.0, self._next[uri] - self._clock()))
        return kept.keys

    def take_over(self, earlier: "KeptKeys") -> None:
        """Begin with the sets that others kept: a changed file is no reason to depend on the servers of keys."""
        self._kept.update(earlier._kept)
        self._tried.update(earlier._tried)
        self._next.update(earlier._next)
        self._failing.update(earlier._failing)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetched(self, uri: str) -> None:
        """Wait for a fetch, the one under way or a new one; not for one that failed just now."""
        task = self._fetch_unless_tried(uri)
        if task is not None:
            await asyncio.shield(task)  # others wait for it, too: a client that leaves must not end it

    def _fetch_unless_tried(self, uri: str) -> asyncio.Task[None] | None:
        running = self._under_way.get(uri)
        if running is not None:
            return running
        now = self._clock()
        if now < self._next.get(uri, now):
            return None
        self._tried[uri], self._next[uri] = now, now + _AGAIN_SECONDS
        task = self._under_way[uri] = asyncio.create_task(self._fetch(uri))
        task.add_done_callback(lambda _: self._under_way.pop(uri, None))
        return task

    async def _fetch(self, uri: str) -> None:
        """Fetch a set and keep it; what is no key set leaves the old one in place."""
        host = _host(uri)
        try:
            answer = await self._calls.call(Call.to("GET", uri, _ACCEPT, None, _FETCH_SECONDS))
            keys = KeySet.read(answer.body) if answer.status == 200 else None
        except CallFailed as failed:
            _log.warning("the server of the key set, %s, %s", host, failed.what)
        except Refused:
            _log.warning("the server of the key set, %s, sent no JSON with a list of keys", host)
        else:
            if keys is not None:
                self._kept[uri] = _Kept(keys, Freshness.of(answer.headers, self._clock()))
                self._failing.discard(uri)
                return
            _log.warning("the server of the key set, %s, answered with the status %s", host, answer.status)
        self._failing.add(uri)
        self._next[uri] = self._clock() + _FAILED_SECONDS


def _host(uri: str) -> str:
    """The server of an address, for the log: the rest may hold a secret."""
    try:
        return parse_origin(uri).host
    except ValueError:
        return "a server without a name"


def _knows(keys: KeySet, need: NeedKeys[T]) -> bool:
    """Whether a set has a key for a token. A token that no set could serve counts as known: fetching would not help."""
    try:
        return bool(keys.fitting(need.algorithm, need.key_id))
    except Refused:
        return True


async def verified(verifier: TokenVerifier, token: str, keys: Keys, now: float) -> dict[str, object]:
    """The claims of a valid token.

    Raises:
        Refused: it does not pass, or its keys cannot be had.
    """
    found = verifier.claims(token, now)
    return found.resume(await keys.keys(found)) if isinstance(found, NeedKeys) else found
