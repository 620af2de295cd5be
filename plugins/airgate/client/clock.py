"""Time as calls know it: the one place where a test can make waiting instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> float:
        """The Unix time in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Come back that much later."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Come back that much later; the event loop goes on meanwhile."""
        ...


class SystemClock:
    """The machine's own."""

    now = staticmethod(time.time)
    sleep = staticmethod(time.sleep)
    asleep = staticmethod(asyncio.sleep)


_clock: Clock = SystemClock()


def now() -> float:
    """The Unix time in seconds."""
    return _clock.now()


def sleep(seconds: float) -> None:
    """Wait in this thread."""
    _clock.sleep(seconds)


async def asleep(seconds: float) -> None:
    """Wait on the event loop."""
    await _clock.asleep(seconds)


@contextmanager
def running(clock: Clock) -> Iterator[None]:
    """Put another clock in place, for all threads, until the end of the context."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before


def current() -> Clock:
    """The clock that is in place."""
    return _clock
