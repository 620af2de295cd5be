"""The line of the log that says how far records are that are loaded, transformed or pushed."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airgate.client import clock
from airgate.client.message import Response
from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.sqlite import open_sqlite
from airgate.data.loads.load import Load
from airgate.data.pace_line import PaceLine, ticking, watched
from airgate.data.push.batches import PushBatch
from airgate.data.push.plan import Push
from airgate.data.push.pushing import push
from airgate.errors import Unavailable
from tests.data.reads import FileCheckpoint, local
from tests.data.test_push import answer, data_set


@dataclass
class Paced:
    """A line under a clock that is set by hand, and what it said."""

    total: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    now: float = 1000.0
    lines: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = PaceLine("t", self.total, clock=lambda: self.now, say=self._say, **self.options)

    def _say(self, event: str, **figures: float) -> None:
        self.lines.append((event, figures))

    @property
    def said(self) -> list[str]:
        return [event for event, _ in self.lines]

    def after(self, seconds: float, records: int, size: int = 0, **figures: float) -> None:
        self.now += seconds
        self.line.add(records, size, **figures)


def test_lines_come_when_they_are_due() -> None:
    """The first one after a second, then one every five, however often is counted between them."""
    paced = Paced(2_400)
    for _ in range(120):
        paced.after(0.1, 10)
    assert paced.said == [
        "t: 100 of 2,400 records, 4 % done, about 23 s left",
        "t: 600 of 2,400 records, 25 % done, about 18 s left",
        "t: 1,100 of 2,400 records, 45 % done, about 13 s left",
    ]


def test_quick_work_says_nothing() -> None:
    """What is over within a second needs no progress; so it is with each phase."""
    paced = Paced(100)
    for phase in ("staging", "waiting for other loads", "moving into the table"):
        paced.line.begin(phase)
        paced.after(0.9, 100, 1_000)
    assert paced.said == []


def test_a_line_has_the_figures() -> None:
    """Rates of late and overall, megabytes, and whatever is counted beside the records."""
    paced = Paced(1_000, {"figures": lambda: {"rows_written": 7}})
    paced.after(2, 100, 1_500_000, refused=1)
    paced.after(5, 350, 2_000_000, refused=2)
    assert [figures for _, figures in paced.lines] == [
        {"rows_per_s": 50, "rows_per_s_overall": 50, "mb": 1.5, "refused": 1, "rows_written": 7},
        {"rows_per_s": 70, "rows_per_s_overall": 64, "mb": 3.5, "refused": 3, "rows_written": 7},
    ]


def test_what_earlier_tries_did_counts_for_the_share_and_not_for_the_rate() -> None:
    """Half was there already; the other half goes at the rate of this try."""
    paced = Paced(1_000, {"before": 500})
    paced.after(10, 100)
    assert paced.lines == [
        ("t: 600 of 1,000 records, 60 % done, about 40 s left", {"rows_per_s": 10, "rows_per_s_overall": 10})
    ]


def test_a_phase_has_a_count_of_its_own() -> None:
    """It is named; what is refused adds up over all of them; where nobody counts, the time tells that it goes on."""
    paced = Paced(200)
    paced.line.begin("staging")
    paced.after(2, 100, refused=1)
    paced.after(1, 100)
    paced.line.begin("moving into the table")
    paced.after(12, 0)
    paced.after(6, 150)
    assert paced.lines == [
        (
            "t, staging: 100 of 200 records, 50 % done, about 2.0 s left",
            {"rows_per_s": 50, "rows_per_s_overall": 50, "refused": 1},
        ),
        ("t, moving into the table: 200 records, 12 s so far", {"refused": 1}),
        (
            "t, moving into the table: 150 of 200 records, 75 % done, about 6.0 s left",
            {"rows_per_s": 25, "rows_per_s_overall": 8, "refused": 1},
        ),
    ]


def test_a_line_needs_no_total() -> None:
    """Of frames that a generator makes nobody knows how many come."""
    paced = Paced()
    paced.now += 3
    paced.line.reach(30)
    paced.now += 5
    paced.line.reach(40)
    assert paced.said == ["t: 30 records", "t: 40 records"]


def test_a_table_counts_when_the_next_one_is_asked_for() -> None:
    """By then it has been written. It is not kept: two parts would be in memory where one is enough."""
    paced = Paced(5)
    tables = watched((pa.table({"n": range(count)}) for count in (2, 3)), paced.line)
    seen = []
    for count in (2, 3):
        paced.now += 6
        table = next(tables)
        assert table.num_rows == count
        seen.append(weakref.ref(table))
        del table
        gc.collect()
        assert seen[-1]() is None
    paced.now += 6
    assert next(tables, None) is None
    assert paced.said == [
        "t: 5 records, 6.0 s so far",
        "t: 2 of 5 records, 40 % done, about 18 s left",
        "t: 5 of 5 records, 100 % done",
    ]


def test_a_long_statement_does_not_silence_the_line() -> None:
    """A thread looks at the clock meanwhile, and is gone afterwards."""
    spoken = threading.Event()
    line = PaceLine("t", 9, every=0, say=lambda event, **figures: spoken.set())
    with ticking(line, 0.001):
        assert spoken.wait(30)
    assert not [thread for thread in threading.enumerate() if thread.name == "pace-line"]


@dataclass
class Slow:
    """A service that takes three seconds for each batch, and needs its first request twice; also the clock."""

    time: float = 1000.0
    sent: int = 0
    down: int = -1
    """Batch at which it is not there."""
    ends: float | None = None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def asleep(self, seconds: float) -> None:
        self.time += seconds

    def send(self, batch: PushBatch) -> Response:
        self.time += 3
        if batch.number == self.down:
            raise Unavailable("nobody is there", attempts=3)
        self.sent += 1_500_000
        return replace(answer(), attempts=1 if batch.number else 2)


def test_a_push_says_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a try before has settled counts for the share, and its calls do not."""
    caplog.set_level(logging.INFO, "airgate.data.progress")
    records, state = data_set(tmp_path, 20), FileCheckpoint(tmp_path / "state.json")
    plan = Push("POST /items", "one", batch_size=2, in_flight=1, repeatable=False)

    def run(service: Slow) -> list[str]:
        caplog.clear()
        with clock.running(service):
            push(plan, records, service, local(tmp_path / "out"), state, lambda: {"mb": service.sent / 1e6})
        return caplog.messages

    with pytest.raises(Unavailable):
        run(Slow(down=4))
    assert caplog.messages == [
        "POST /items: 2 of 20 records, 10 % done, about 27 s left rows_per_s=1 rows_per_s_overall=1 "
        "calls=2 retries=1 dead_letters=0 mb=1.5",
        "POST /items: 6 of 20 records, 30 % done, about 21 s left rows_per_s=1 rows_per_s_overall=1 "
        "calls=4 retries=1 dead_letters=0 mb=4.5",
        "POST /items: 8 of 20 records, 40 % done, about 20 s left rows_per_s=0 rows_per_s_overall=1 "
        "calls=8 retries=3 dead_letters=0 mb=6.0",
    ]
    assert run(Slow())[0] == (
        "POST /items: 10 of 20 records, 50 % done, about 15 s left rows_per_s=1 rows_per_s_overall=1 "
        "calls=1 retries=0 dead_letters=0 mb=1.5"
    )


def test_a_push_counts_batches_before_their_window_is_stored(tmp_path: Path) -> None:
    """A window of eight slow batches would be silent for too long."""
    said = threading.Event()

    class Held(Slow):
        def send(self, batch: PushBatch) -> Response:
            assert not batch.number or said.wait(30)
            return super().send(batch)

    def figures() -> dict[str, float]:
        said.set()
        return {}

    service, state = Held(), FileCheckpoint(tmp_path / "state.json")
    with clock.running(service):
        plan = Push("POST /items", "one", batch_size=2, in_flight=1)
        assert plan.window == 8
        report = push(plan, data_set(tmp_path, 4), service, local(tmp_path / "out"), state, figures)
    assert report.pushed == 4


@dataclass
class Told:
    """Writes down what a load tells."""

    phases: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    def begin(self, phase: str) -> None:
        self.phases[phase] = 0

    def add(self, records: int, /, *, refused: int = 0) -> None:
        self.refused += refused
        if self.phases:
            self.phases[[*self.phases][-1]] += records


BAD = pa.table({"id": [1, 2, 3, 4], "v": ["a", None, "c", "d"]})


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
@pytest.mark.parametrize("mode", ["merge", "append", "replace"])
def test_a_load_tells_its_phases_and_what_is_refused(tmp_path: Path, kind: str, mode: Any) -> None:
    """A row that is staged by itself, because the table refuses its part, is not counted twice."""
    opened, told = {"duckdb": open_duckdb, "sqlite": open_sqlite}[kind](str(tmp_path / "w")), Told()
    key = ("id",) if mode == "merge" else ()
    load = Load("t", key, "one", mode=mode, max_dead_letters=1, onlooker=told)
    with opened as warehouse:
        warehouse.query("CREATE TABLE t (id BIGINT, v TEXT NOT NULL)")
        result = warehouse.load(load, iter([BAD]))
    assert (result.inserted, result.dead_lettered, told.refused) == (3, 1, 1)
    straight = ["appending", "waiting for other loads"]
    assert [*told.phases] in (straight, ["staging", "waiting for other loads", "moving into the table"])
    # Here nobody counts the tables that come; so it is what the move tells: all rows, where it goes by savepoints.
    moved = told.phases.get("moving into the table", 0)
    assert moved == (4 if kind == "sqlite" and "staging" in told.phases else 0)
