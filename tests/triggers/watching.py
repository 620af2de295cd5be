"""Runs an event source as the triggerer does, with Airflow's own shared streams; the test says what was stored."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow.triggers.shared_stream import SharedStreamManager

from airgate.policy.events.batch import EventBatch
from airgate.triggers.acknowledged import EventSource


class AssetState:
    """The state of one asset, which outlives triggers."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.broken = 0
        """Questions that fail first."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        self._fail()
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        """Store JSON."""
        self._fail()
        self.values[key] = json.loads(json.dumps(value))

    def position(self) -> Any:
        """The only position that is stored, None when there is none."""
        assert len(self.values) <= 1
        return next(iter(self.values.values()), {"position": None})["position"]

    def _fail(self) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("the state store does not answer")


@dataclass
class Watching:
    """A running one."""

    manager: SharedStreamManager
    key: Any
    trigger_id: int
    task: asyncio.Task[None]
    told: list[EventBatch] = field(default_factory=list)
    unconfirmed: list[int] = field(default_factory=list)
    keeps: bool = True
    """Whether Airflow stores what it is told."""

    @property
    def ids(self) -> list[str]:
        """Of all events that were told, in order."""
        return [event.id for batch in self.told for event in batch.events]

    def confirm(self, most: int = 1_000_000) -> None:
        """Airflow has stored what it was told, at most so many asset events more."""
        stored, self.unconfirmed = self.unconfirmed[:most], self.unconfirmed[most:]
        self.manager.confirm_persisted(stored)

    async def until(self, holds: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait for it."""
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, f"it did not happen; told were {self.ids}"
            if self.task.done():
                self.task.result()
            await asyncio.sleep(0.01)

    async def rounds(self, number: int = 5) -> None:
        """Let the event loop go round for a while in which nothing should happen."""
        for _ in range(number):
            await asyncio.sleep(0.02)


_ids = itertools.count(1)


@asynccontextmanager
async def watching(
    trigger: EventSource, state: Any, *, keeps: bool = True, ack_timeout: float = 60.0
) -> AsyncIterator[Watching]:
    """Run a trigger of this making until the end of the context, as ``TriggerRunner.run_trigger`` does.

    Args:
        trigger: What a DAG file makes; run is what Airflow makes of its arguments.
        state: Of the watched asset.
        keeps: Whether Airflow stores at once what it is told; otherwise the test says so with ``confirm``.
        ack_timeout: Seconds that Airflow waits for what it is told to be stored.
    """
    _, kwargs = trigger.serialize()
    running = type(trigger)(**json.loads(json.dumps(kwargs)))
    running.asset_state_store = state
    manager = SharedStreamManager(ack_timeout=ack_timeout)
    key, trigger_id = running.shared_stream_key(), next(_ids)

    async def run() -> None:
        stream = manager.subscribe(trigger_id=trigger_id, trigger=running, key=key)
        async for event in running.filter_shared_stream(stream):
            seq = manager.bind_pending_event(trigger_id=trigger_id, key=key)
            assert seq is not None
            seen.told.append(EventBatch.read(json.loads(json.dumps(event.payload))))
            seen.unconfirmed.append(seq)
            if seen.keeps:
                asyncio.get_running_loop().call_later(0.005, seen.confirm)

    task = asyncio.create_task(asyncio.sleep(0))
    seen = Watching(manager, key, trigger_id, task, keeps=keeps)
    seen.task = asyncio.create_task(run())
    try:
        yield seen
    finally:
        seen.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await seen.task
        await manager.unsubscribe(trigger_id, key)
        await manager.stop_all()
