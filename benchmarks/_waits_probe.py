"""A trigger that measures how late the triggerer's event loop is."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

STEP = 0.02
"""Seconds of one sleep."""
_SAMPLE = struct.Struct("dd")


class LagTrigger(BaseTrigger):
    """Sleeps over and over, and writes down when it woke and how many seconds too late.

    Args:
        path: File that the samples are appended to.
    """

    def __init__(self, path: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and the file."""
        return "_waits_probe.LagTrigger", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Measure until the triggerer ends."""
        with Path(self.path).open("ab", buffering=0) as file:  # noqa: ASYNC230 - one short write
            while True:
                due = time.monotonic() + STEP
                await asyncio.sleep(STEP)
                file.write(_SAMPLE.pack(time.time(), time.monotonic() - due))
        yield TriggerEvent(None)


def lags(path: Path, since: float, until: float) -> list[float]:
    """Seconds that the loop was late, at each moment at which a timer may have been due.

    A sample that came late stands for all the timers that were due meanwhile: each is as late as it is.

    Args:
        path: What the trigger wrote.
        since: Unix time of the first sample that counts.
        until: The same of the last one.
    """
    content = path.read_bytes()
    found = []
    for woke, late in _SAMPLE.iter_unpack(content[: len(content) // _SAMPLE.size * _SAMPLE.size]):
        if since <= woke <= until:
            found.append(max(late, 0.0))
            found += [late - STEP * missed for missed in range(1, int(late / STEP) + 1)]
    return sorted(found)
