"""Waits until a moment: what a long wait of a call is spent in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airgate.client import clock

_STEP = 60.0
"""Seconds of one sleep: a clock that is set forward is noticed soon."""


class WaitTrigger(BaseTrigger):
    """Sleeps until a moment, and does nothing else; the call is made on the worker afterwards.

    Args:
        until: Unix time in seconds. A triggerer that starts again goes on with the same moment.
        ends: Handed on to whoever is woken: when its whole waiting is over.
    """

    def __init__(self, until: float, ends: float | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.ends = ends

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and the moment."""
        return "airgate.triggers.wait.WaitTrigger", {"until": self.until, "ends": self.ends}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, then say so."""
        await sleep_until(self.until)
        yield TriggerEvent({"until": self.until, "ends": self.ends})  # type: ignore[no-untyped-call]


async def sleep_until(moment: float) -> None:
    """Sleep until a Unix time."""
    while (left := moment - clock.now()) > 0:
        await clock.asleep(min(left, _STEP))
