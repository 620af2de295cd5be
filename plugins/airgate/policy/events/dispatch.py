"""What becomes of the rows of an event log: which runs of which DAGs they make, and what nobody can take.

All of it follows from the rows alone, so whoever dispatches them a second time asks for the same runs under the same
ids, and is told that they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from airgate.policy.events.batch import EventBatch, Unreadable, slices
from airgate.policy.events.event import Event
from airgate.policy.events.log_position import Mark
from airgate.policy.idempotency import digest

Routes: TypeAlias = str | Mapping[str, str | None]
"""The DAG of all events, or of each type; ``*`` stands for all other types, and a DAG of None leaves events out."""

ANY_TYPE: Final = "*"
LARGEST_BATCH: Final = 1000
"""Events of one run."""
LARGEST_CONF: Final = 512 * 1024
"""Bytes of the events of one run, unless one alone has more: each task of the run is handed all of them."""
ROUND_EVENTS: Final = 500
"""Events that are dispatched between two notes of the position, at least where there are as many."""
ROUND_BYTES: Final = 8 * 1024 * 1024
"""Bytes of them: what a dispatcher holds in memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log, and the events in it."""

    mark: Mark
    batch: EventBatch
    size: int = 0
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One run to be made."""

    dag_id: str
    events: tuple[Event, ...]
    batched: bool
    """Whether its conf has a list, also of one."""

    @property
    def run_id(self) -> str:
        """The same for the same events: of a single one ``Event.run_id``, of several a digest of which they are."""
        if not self.batched:
            return self.events[0].run_id(self.dag_id)
        return batch_run_id(self.dag_id, self.events)

    def conf(self) -> dict[str, Any]:
        """The run's: ``{"event": …}`` or ``{"events": […]}`` in CloudEvents' JSON format."""
        told = [event.to_json() for event in self.events]
        return {"events": told} if self.batched else {"event": told[0]}

    def note(self) -> str:
        """What Airflow shows of the run."""
        first = self.events[0]
        if len(self.events) == 1:
            return f"{first.type} {first.id} of {first.source}"[:900]
        return f"{len(self.events)} events, the first one {first.type} {first.id} of {first.source}"[:900]

    def halves(self) -> tuple[Delivery, Delivery]:
        """Two runs for the events of one that was refused, to find out whose fault it is."""
        middle = len(self.events) // 2
        return (
            Delivery(self.dag_id, self.events[:middle], self.batched),
            Delivery(self.dag_id, self.events[middle:], self.batched),
        )


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """What no run can be made for."""

    why: str
    what: Event | Unreadable
    dag_id: str = ""
    """The DAG that it was for, where one is known."""


@dataclass(frozen=True, slots=True)
class Round:
    """What becomes of some rows."""

    deliveries: tuple[Delivery, ...]
    undeliverable: tuple[Undeliverable, ...]
    left_out: int
    """Events of types that the routes leave out."""
    repeated: int
    """Events that stand in the rows more than once."""


def batch_run_id(dag_id: str, events: Iterable[Event]) -> str:
    """The id of the run of a DAG that stands for several events, ``evs__`` and 32 hexadecimal digits."""
    names = [part for event in events for part in (event.source, event.id)]
    return f"evs__{digest(('events run', dag_id, *names))[:32]}"


def check_routes(routes: object) -> None:
    """Check where events are to go.

    Raises:
        ValueError: They can go nowhere; the message says what is wrong.
    """
    if isinstance(routes, str):
        if not routes:
            raise ValueError("to must name a DAG, and is empty")
        return
    if not isinstance(routes, Mapping) or not routes:
        raise ValueError(
            f"to must be the id of a DAG, or say for event types which DAG takes them, such as "
            f"{{'com.example.order.placed': 'take_order', '*': None}}, not {routes!r:.80}"
        )
    for kind, dag_id in routes.items():
        if not isinstance(kind, str) or not kind:
            raise ValueError(f"to: {kind!r:.80} is no event type; '*' stands for all that are not named")
        if dag_id is not None and (not isinstance(dag_id, str) or not dag_id):
            raise ValueError(f"to: the DAG of {kind!r:.80} must be an id, or None to leave such events out")


def plan_round(entries: Sequence[Entry], routes: Routes, batch: int | None) -> Round:
    """Say what becomes of rows.

    Args:
        entries: Rows, in their order.
        routes: Where events go.
        batch: Most events of a run; None for a run for each.
    """
    events, undeliverable, left_out, repeated = dict[str, list[Event]](), list[Undeliverable](), 0, 0
    met: set[tuple[str, str]] = set()
    for entry in entries:
        undeliverable += [Undeliverable(each.why, each) for each in entry.batch.unreadable]
        for event in entry.batch.events:
            if (event.source, event.id) in met:
                repeated += 1
                continue
            met.add((event.source, event.id))
            known, dag_id = _dag_of(event.type, routes)
            if not known:
                undeliverable.append(Undeliverable(f"`to` names no DAG for events of the type {event.type}", event))
            elif dag_id is None:
                left_out += 1
            else:
                events.setdefault(dag_id, []).append(event)
    deliveries: list[Delivery] = []
    for dag_id, some in events.items():
        for share in slices(some, most_events=batch or 1, most_bytes=LARGEST_CONF):
            if share.events:
                deliveries.append(Delivery(dag_id, share.events, batched=batch is not None))
            undeliverable += [Undeliverable(each.why, each, dag_id) for each in share.unreadable]
    return Round(tuple(deliveries), tuple(undeliverable), left_out, repeated)


def rounds(entries: Iterable[Entry], batch: int | None) -> Iterator[list[Entry]]:
    """Rows in groups that are dispatched together: large enough to fill a batch, small enough for memory."""
    group: list[Entry] = []
    events = size = 0
    for entry in entries:
        group.append(entry)
        events += len(entry.batch)
        size += entry.size
        if events >= max(batch or 1, ROUND_EVENTS) or size >= ROUND_BYTES or len(group) >= ROUND_EVENTS:
            yield group
            group, events, size = [], 0, 0
    if group:
        yield group


def _dag_of(kind: str, routes: Routes) -> tuple[bool, str | None]:
    """Whether events of a type have a place to go, and which one."""
    if isinstance(routes, str):
        return True, routes
    name = kind if kind in routes else ANY_TYPE
    return name in routes, routes.get(name)
