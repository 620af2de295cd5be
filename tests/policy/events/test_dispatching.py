"""A dispatcher's work over any history of a log, with processes that die between any two steps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.events.batch import EventBatch
from airgate.policy.events.dispatch import ROUND_EVENTS, Entry, Routes
from airgate.policy.events.dispatching import Dispatching, Made, Make, NotDispatched, NotMade, Park, Refused, Save
from airgate.policy.events.event import Event
from airgate.policy.events.log_position import LogPosition, Mark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOKBACK = timedelta(seconds=60)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class World:
    """A log, the runs that were made, and the position as it was saved last."""

    batch: int | None
    routes: Routes = "take"
    poison: frozenset[str] = frozenset()
    gone: set[str] = field(default_factory=set)
    """DAGs that are not there."""
    rows: list[Entry] = field(default_factory=list)
    clock: float = 100.0
    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    saved: str = field(default_factory=lambda: json.dumps(LogPosition(NOON).to_json()))
    counts: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    """How often runs of a DAG were asked for."""

    def since(self, at: datetime) -> Iterator[Entry]:
        yield from sorted((row for row in self.rows if row.mark.at >= at), key=lambda row: row.mark.at)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.clock)

    def tell(self, *events: Event, behind: float = 0.0) -> None:
        """A row becomes visible now that was written that many seconds ago."""
        self.clock += 1
        mark = Mark(len(self.rows) + 1, NOON + timedelta(seconds=self.clock - behind))
        self.rows.append(Entry(mark, EventBatch(events)))

    def dispatch(self, dies_after: int = 10**6) -> None:
        """One try; it dies after that many steps, the last of them done without anybody hearing of it."""
        self.counts = Counter()
        steps = Dispatching(self, self.routes, self.batch, LOOKBACK, self.now, self.counts).steps(
            LogPosition.read(json.loads(self.saved))
        )
        answer: Made | Refused | NotMade | None = None
        for done in range(10**6):
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            match step:
                case Save(position):
                    self.saved = json.dumps(position.to_json())
                case Park(_, what, _):
                    self.parked.add(what.id if isinstance(what, Event) else what.where)
                case Make(delivery):
                    names = tuple(event.id for event in delivery.events)
                    self.asked[delivery.dag_id] += 1
                    if delivery.dag_id in self.gone:
                        answer = NotMade("there is no such DAG")
                    elif self.poison & set(names):
                        answer = Refused("its Params")
                    else:
                        answer = Made(now=delivery.run_id not in self.runs)
                        assert self.runs.setdefault(delivery.run_id, names) == names
            if done + 1 >= dies_after:
                raise Killed

    @property
    def dispatched(self) -> list[str]:
        return [name for names in self.runs.values() for name in names]


def event(name: object, kind: str = "placed") -> Event:
    return Event("/orders", str(name), kind)


HISTORY = st.lists(
    st.one_of(
        # A row with some of the events, told for the first time or again, and how late it becomes visible.
        st.tuples(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.floats(0, 50)),
        # A dispatcher that dies after so many steps.
        st.integers(1, 12),
        # One that does not.
        st.none(),
    ),
    max_size=25,
)


@given(HISTORY, st.sampled_from([None, 1, 3, 100]), st.frozensets(st.integers(0, 40).map(str), max_size=3))
def test_whatever_happens_every_event_is_dispatched_or_parked(
    history: list[tuple[list[int], float] | int | None], batch: int | None, poison: frozenset[str]
) -> None:
    """Late rows, repeats, and deaths between any two steps; single events are in one run and no more."""
    world, told = World(batch, poison=poison), set[str]()
    for moment in history:
        if isinstance(moment, tuple):
            names, behind = moment
            world.tell(*map(event, names), behind=behind)
            told |= set(map(str, names))
        else:
            try:
                world.dispatch(10**6 if moment is None else moment)
            except Killed:
                continue
    world.dispatch()
    assert set(world.dispatched) == told - poison
    assert world.parked == told & poison
    if batch is None:
        assert len(world.dispatched) == len(set(world.dispatched))
    before = dict(world.runs)
    world.dispatch()
    assert world.runs == before
    assert not world.counts["entries"]


@pytest.mark.parametrize("dies_after", range(1, 20))
def test_a_batch_that_was_begun_is_made_again_as_it_was(dies_after: int) -> None:
    """Also when more has come before its repeat, some of it late: no event is in two runs that was told once."""
    world = World(batch=3)
    for name in range(4):
        world.tell(event(name))
    try:
        world.dispatch(dies_after)
    except Killed:
        world.tell(event("late"), behind=3.5)
        world.tell(event("new"))
    world.dispatch()
    assert sorted(world.dispatched) == sorted(set(world.dispatched))
    assert {"0", "1", "2", "3"} <= set(world.dispatched)


def test_a_dag_that_is_not_there_keeps_its_events_in_the_log() -> None:
    """Those of the same rows for other DAGs are dispatched, and when it comes back, its own."""
    world = World(batch=None, routes={"placed": "take", "paid": "book"}, gone={"book"})
    world.tell(event(1), event(2, "paid"), event(3), event(4, "paid"))
    for tries in (1, 2):
        with pytest.raises(NotDispatched, match="no such DAG"):
            world.dispatch()
        assert sorted(world.dispatched) == ["1", "3"]
        assert world.asked["book"] == tries  # once, as each time it would take Airflow its while to say so
    assert world.parked == set()
    world.gone.clear()
    world.dispatch()
    assert sorted(world.dispatched) == ["1", "2", "3", "4"]
    assert world.counts["already"] == 2


def test_rows_that_were_begun_and_are_gone_are_counted() -> None:
    """Somebody has cleaned the database meanwhile; what is left of them is dispatched."""
    world = World(batch=3)
    world.tell(event(1))
    world.tell(event(2))
    with pytest.raises(Killed):
        world.dispatch(1)
    del world.rows[0]
    world.dispatch()
    assert world.dispatched == ["2"]
    assert (world.counts["gone"], world.counts["resumed"]) == (1, 1)


def test_a_row_that_comes_late_by_more_than_a_span_is_counted() -> None:
    """So that whoever looks at the summary sees whether the lookback is needed."""
    world = World(batch=None)
    for name in range(100):
        world.tell(event(name))
    world.dispatch()
    world.tell(event("late"), behind=30)
    world.dispatch()
    assert "late" in world.dispatched
    assert (world.counts["late"], world.counts["entries"]) == (1, 1)


@pytest.mark.parametrize("batch", [None, 50])
def test_a_long_backlog_is_read_as_it_is_dispatched(batch: int | None) -> None:
    """Never further ahead than the rows that are dispatched together, so memory does not grow with the log."""
    read = 0

    class LongLog:
        def since(self, at: datetime) -> Iterator[Entry]:
            nonlocal read
            for number in range(20_000):
                read += 1
                mark = Mark(number, NOON + timedelta(seconds=1 + number))
                yield Entry(mark, EventBatch((event(number),)))

    counts = Counter[str]()
    steps = Dispatching(LongLog(), "take", batch, LOOKBACK, lambda: NOON + timedelta(days=1), counts).steps(
        LogPosition(NOON)
    )
    furthest, step = 0, next(steps)
    while True:
        furthest = max(furthest, read - counts["dispatched"])
        if isinstance(step, Save):
            assert len(json.dumps(step.position.to_json())) < 64 * 1024
        try:
            step = steps.send(Made(now=True) if isinstance(step, Make) else None)
        except StopIteration:
            break
    assert counts["dispatched"] == 20_000
    assert furthest <= ROUND_EVENTS + 1
