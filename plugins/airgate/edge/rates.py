"""How often routes and clients may call: exact windows, counted in this process or in a store of all workers."""

import asyncio
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from airgate.policy.limits import Granted, Limiter, Scope, longest_window, opens_at

_COMPACT = 64
_MOST_KEYS = 50_000
_LEASE = 1.0
"""Seconds; a store holds nothing for a rate, so nothing is ever given back."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a scope stands after a request: what is left of its tightest window, and when that is whole again."""

    scope: Scope
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a request may go on; if not, one may after `wait` seconds. `standing` is for its headers."""

    granted: bool
    wait: float = 0.0
    standing: tuple[Standing, ...] = ()


class Rates(Protocol):
    """Counts requests by scope."""

    async def take(self, scopes: Sequence[Scope]) -> Turn:
        """Take one request of every window of the scopes, or nothing."""


class _Log:
    """The times of the latest grants of one scope, in microseconds, oldest first."""

    __slots__ = ("_head", "_times")

    def __init__(self) -> None:
        self._times = array("q")
        self._head = 0

    def latest(self, place: int) -> int | None:
        """The time of the latest grant but `place - 1`, None when there were fewer."""
        index = len(self._times) - place
        return self._times[index] if index >= self._head else None

    def since(self, moment: int) -> int:
        """How many grants there were after a moment."""
        return len(self._times) - bisect_right(self._times, moment, self._head)

    def after(self, moment: int) -> int | None:
        """The first grant after a moment."""
        index = bisect_right(self._times, moment, self._head)
        return self._times[index] if index < len(self._times) else None

    def add(self, now: int, forget: int) -> None:
        """Note a grant, and forget those up to a moment."""
        self._head = bisect_right(self._times, forget, self._head)
        if self._head > _COMPACT and 2 * self._head > len(self._times):
            del self._times[: self._head]
            self._head = 0
        self._times.append(now)


class MemoryRates:
    """Counts in this process. A scope costs 8 bytes for each grant that its windows still hold.

    Args:
        clock: Seconds, never set back.
        most: Scopes that are remembered; beyond that those go whose latest grant is the oldest.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = _MOST_KEYS) -> None:
        self._clock = clock
        self._most = most
        self._logs: dict[str, _Log] = {}

    async def take(self, scopes: Sequence[Scope]) -> Turn:
        """Take one request of every window of the scopes, or nothing."""
        return self.take_now(scopes)

    def take_now(self, scopes: Sequence[Scope]) -> Turn:
        """The same, without waiting for anything."""
        now = int(self._clock() * 1_000_000)
        logs = [self._logs.get(scope.key) or _Log() for scope in scopes]
        wait = 0
        for scope, log in zip(scopes, logs, strict=True):
            wait = max(wait, opens_at(scope.limit, 0, log.latest, 0, 0, now) - now)
        if wait <= 0:
            for scope, log in zip(scopes, logs, strict=True):
                log.add(now, now - longest_window(scope.limit) - 1)
                self._logs.pop(scope.key, None)
                self._logs[scope.key] = log
            while len(self._logs) > self._most:
                del self._logs[next(iter(self._logs))]
        standing = tuple(_standing(scope, log, now) for scope, log in zip(scopes, logs, strict=True))
        return Turn(wait <= 0, max(0, wait) / 1_000_000, standing)


def _standing(scope: Scope, log: _Log, now: int) -> Standing:
    remaining, reset = min(
        (max(0, window.requests - log.since(now - window.micros - 1)), _reset(log, window.micros, now))
        for window in scope.limit.windows
    )
    return Standing(scope, remaining, reset)


def _reset(log: _Log, micros: int, now: int) -> float:
    first = log.after(now - micros - 1)
    return 0.0 if first is None else (first + micros - now) / 1_000_000


class StoreRates:
    """Counts in a store of `airgate.policy.store`, so that the limits hold over all workers and machines together.

    Args:
        limiter: The store. It is asked in a thread, as it waits for a file or a server.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def take(self, scopes: Sequence[Scope]) -> Turn:
        """Take one request of every window of the scopes, or nothing.

        Raises:
            StoreUnavailable: the store cannot be asked.
        """
        return await asyncio.to_thread(self._take, scopes)

    def _take(self, scopes: Sequence[Scope]) -> Turn:
        came = self._limiter.acquire(scopes, lease=_LEASE)
        if isinstance(came, Granted):
            return Turn(granted=True)
        self._limiter.release(came.ticket)  # a gateway turns away; nobody stands in line
        return Turn(granted=False, wait=came.wait, standing=tuple(Standing(scope, 0, came.wait) for scope in scopes))
