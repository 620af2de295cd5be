"""Time that passes without anybody waiting for it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from airgate.client import clock


class InstantTime:
    """The machine's time, and what has been skipped of it."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        """Seconds of every wait, in order."""
        self._skipped = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """The Unix time in seconds."""
        return time.time() + self._skipped

    def sleep(self, seconds: float) -> None:
        """Skip the time and write it down."""
        self.waits.append(seconds)
        self.skip(seconds)

    async def asleep(self, seconds: float) -> None:
        """Skip the time and write it down; other tasks get their turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    @property
    def skipped(self) -> float:
        """Seconds skipped so far."""
        return self._skipped

    def skip(self, seconds: float) -> None:
        """Let time pass: for tokens to expire, windows to end."""
        with self._lock:
            self._skipped += max(0.0, seconds)


@contextmanager
def instant_time() -> Iterator[InstantTime]:
    """Make every wait of airgate, and of Airflow's sensors between two pokes, instant until the end of the context.

    Waits are written down, and the time that calls know moves on by them: deadlines pass, a ``Retry-After`` date
    comes. It holds for all threads of this process, not for other processes.
    """
    instant = InstantTime()
    with clock.running(instant), _instant_pokes(instant):
        yield instant


@contextmanager
def _instant_pokes(instant: InstantTime) -> Iterator[None]:
    # Nothing here imports Airflow: where no sensor is loaded, none can wait.
    sensor = sys.modules.get("airflow.sdk.bases.sensor")
    if sensor is None:
        yield
        return
    real = sensor.time
    skipping = {"sleep": instant.sleep, "monotonic": lambda: real.monotonic() + instant.skipped}
    vars(sensor)["time"] = SimpleNamespace(**{**vars(real), **skipping})
    try:
        yield
    finally:
        vars(sensor)["time"] = real
