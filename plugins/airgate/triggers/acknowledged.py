"""Sources of events that go on only behind what Airflow has kept.

What Airflow 3.3.2 does, read in ``airflow.triggers.shared_stream`` and run: a watcher's trigger whose
``create_shared_stream_producer`` is its own gets a *producer*, which reads the source, and the trigger itself makes
asset events of what the producer gives. ``advance`` of the producer is called for what was stored in Airflow's database
and for nothing else. Only the trigger is given the asset's state store, so it hands it to its producer here.

A watcher's trigger that raises is started again by the next round of the triggerer, a second or two later, from the
position that was written. Nothing else happens: no task depends on it. So an error of the source never raises, it is
logged and waited out; only what Airflow could not keep does, as the source has to be read anew then.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airgate.policy.events.batch import EventBatch
from airgate.triggers.positions import StateOfAsset, states_of

IN_FLIGHT = 16
"""Asset events that may wait to be kept at the same time: what is read ahead of Airflow's database."""
_PATIENCE = 30.0
"""Seconds within which a trigger hands over its state store; it does so in the moment in which it starts."""


class NotKept(RuntimeError):
    """Airflow did not keep an asset event, so the source is read anew from the position behind what it kept."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a source tells at once."""

    batches: Sequence[EventBatch]
    """Each becomes an asset event; none where only the position moves."""
    mark: Any
    """What the source needs to know of, once these are kept."""


class SourceEvent(TriggerEvent):
    """An asset event to be, which does not show what it holds: Airflow writes each into the triggerer's log."""

    def __repr__(self) -> str:
        events, unreadable = (self.payload.get(name) or () for name in ("events", "unreadable"))
        return f"SourceEvent<{len(events)} events, {len(unreadable)} unreadable>"

    __str__ = __repr__


class EventSource(BaseEventTrigger):
    """A trigger for an ``AssetWatcher`` whose position moves only when its events are kept."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def shared_stream_key(self) -> Hashable:
        """All that the trigger is made of: a producer serves one trigger."""
        classpath, kwargs = self.serialize()
        return classpath, json.dumps(kwargs, sort_keys=True)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """What reads the source."""
        source = cls(**kwargs)
        return source.producer(_expect(source.shared_stream_key()))

    @abstractmethod
    def producer(self, handed_over: asyncio.Future[list[StateOfAsset]]) -> AcknowledgedProducer:
        """What reads the source.

        Args:
            handed_over: The state of the assets, once the trigger has handed it over.
        """

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """The asset events of what the producer gives."""
        _hand_over(self.shared_stream_key(), states_of(self.asset_state_store))
        async for told in shared_stream:
            for batch in told:
                yield SourceEvent(payload=batch.to_json())

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Refuse: there is nobody to tell what was kept.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"{type(self).__name__} belongs on an AssetWatcher: a task that is deferred to it cannot tell it what "
            "was kept"
        )


class AcknowledgedProducer(SharedStreamProducer):
    """Reads a source, and tells it what was kept.

    Args:
        handed_over: The state of the assets, once the trigger has handed it over.
    """

    settles_after: ClassVar[float] = 3.0
    """Seconds from Airflow's word that events are kept to the position behind them.

    When a DAG file changes what a watcher is made of, Airflow takes the old trigger from the asset first and stops it a
    round or two later. What the old one tells in between is stored nowhere, and Airflow says all the same that it is.
    A trigger that is stopped meanwhile does not move its position, and the new one tells it again.
    """

    def __init__(self, handed_over: asyncio.Future[list[StateOfAsset]]) -> None:
        self._handed_over = handed_over
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._closing = asyncio.Event()

    @abstractmethod
    def read(self, states: list[StateOfAsset]) -> AsyncGenerator[Told, None]:
        """What the source tells, for as long as somebody listens; waits errors of the source out."""

    @abstractmethod
    async def settle(self, marks: list[Any]) -> None:
        """Tell the source that all up to the last of these marks is kept; logs what fails."""

    async def open_stream(self) -> AsyncGenerator[tuple[Sequence[EventBatch], Any], None]:
        """What the source tells, each part with its mark."""
        try:
            states = await asyncio.wait_for(asyncio.shield(self._handed_over), _PATIENCE)
            async with aclosing(self.read(states)) as source:
                async for told in source:
                    await self._room.acquire()
                    yield told.batches, told.mark
        finally:
            self._closing.set()

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Move the position behind what was kept.

        Raises:
            NotKept: Something was not. Airflow ends the stream then, and the trigger starts again.
        """
        for _ in batch:
            self._room.release()
        kept = []
        for item in batch:
            if not item.outcome.is_clean:
                break
            kept.append(item.broker_payload)
        if kept and not await self._is_closed_within(self.settles_after):
            await self.settle(kept)
        if len(kept) < len(batch):
            raise NotKept("Airflow did not store an asset event of this source in time; the source is read anew")

    async def _is_closed_within(self, seconds: float) -> bool:
        if seconds <= 0:
            return self._closing.is_set()
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return False
        return True


_handed: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Future[list[StateOfAsset]]]] = (
    WeakKeyDictionary()
)
"""By the key of a stream, what its trigger has handed over and its producer has not taken yet, or the other way."""


def _hand_over(key: Hashable, states: list[StateOfAsset]) -> None:
    """Give a producer its states, whether it was made already or will be in a moment."""
    here = _of_loop()
    waiting = here.pop(key, None)
    if waiting is None or waiting.done():  # one that is done was for a producer that did not need it
        waiting = here[key] = asyncio.get_running_loop().create_future()
    waiting.set_result(states)


def _expect(key: Hashable) -> asyncio.Future[list[StateOfAsset]]:
    here = _of_loop()
    if (waiting := here.get(key)) is not None and waiting.done():
        return here.pop(key)
    waiting = here[key] = asyncio.get_running_loop().create_future()
    return waiting


def _of_loop() -> dict[Hashable, asyncio.Future[list[StateOfAsset]]]:
    return _handed.setdefault(asyncio.get_running_loop(), {})
