"""What becomes of rows of an event log: runs, ids, batches, routes, and what nobody takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airgate.policy.events.batch import LARGEST_EVENT, EventBatch, Unreadable
from airgate.policy.events.dispatch import (
    LARGEST_CONF,
    ROUND_BYTES,
    ROUND_EVENTS,
    Delivery,
    Entry,
    batch_run_id,
    check_routes,
    plan_round,
    rounds,
)
from airgate.policy.events.event import Event
from airgate.policy.events.log_position import Mark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(name: int | str, kind: str = "placed", data: Any = None) -> Event:
    return Event("/orders", str(name), kind, data=data)


def entry(*events: Event, id_: int = 1, unreadable: tuple[Unreadable, ...] = (), size: int = 1) -> Entry:
    return Entry(Mark(id_, NOON), EventBatch(events, unreadable), size)


def test_each_event_is_a_run_of_its_own() -> None:
    """Whose id is the event's and whose conf has it."""
    plan = plan_round([entry(event(1), event(2))], "take", None)
    assert [each.run_id for each in plan.deliveries] == [event(1).run_id("take"), event(2).run_id("take")]
    assert plan.deliveries[0].conf() == {"event": event(1).to_json()}


def test_batches_are_filled_over_several_rows() -> None:
    """In order; the last one has what is left, also as a list if it is one."""
    rows = [entry(event(1), event(2)), entry(event(3), id_=2), entry(event(4), event(5), id_=3)]
    plan = plan_round(rows, "take", 2)
    assert [[each.id for each in run.events] for run in plan.deliveries] == [["1", "2"], ["3", "4"], ["5"]]
    assert plan.deliveries[2].conf() == {"events": [event(5).to_json()]}


def test_batches_are_bounded_by_bytes() -> None:
    """As each task of a run is handed all of its conf."""
    large = "x" * (LARGEST_CONF // 2 - 200)
    plan = plan_round([entry(*(event(n, data=large) for n in range(5)))], "take", 100)
    assert [len(run.events) for run in plan.deliveries] == [2, 2, 1]


def test_the_id_of_a_batch_says_which_events_it_has() -> None:
    """And of which DAG; no two lists of names run together."""
    assert batch_run_id("take", [event(1), event(2)]) == batch_run_id("take", [event(1, "other"), event(2)])
    others = [("take", [event(2), event(1)]), ("take", [event(12)]), ("give", [event(1), event(2)])]
    assert len({batch_run_id(dag, some) for dag, some in [*others, ("take", [event(1), event(2)])]}) == 4


def test_an_event_told_twice_is_dispatched_once() -> None:
    """Within a round; over rounds its run is there already, and its key is known."""
    plan = plan_round([entry(event(1), event(2)), entry(event(1))], "take", 10)
    assert [each.id for each in plan.deliveries[0].events] == ["1", "2"]
    assert plan.repeated == 1


def test_types_go_to_their_dags() -> None:
    """Those that are not named to that of the star, and those of None nowhere."""
    routes = {"placed": "take", "noise": None, "*": "rest"}
    plan = plan_round([entry(event(1), event(2, "noise"), event(3, "paid"), event(4))], routes, 10)
    assert {run.dag_id: [each.id for each in run.events] for run in plan.deliveries} == {
        "take": ["1", "4"],
        "rest": ["3"],
    }
    assert (plan.left_out, plan.undeliverable) == (1, ())


def test_a_type_without_a_dag_is_undeliverable() -> None:
    """And says why; it may be that somebody forgot it."""
    plan = plan_round([entry(event(1), event(2, "paid"))], {"placed": "take"}, None)
    assert [(each.what, each.why, each.dag_id) for each in plan.undeliverable] == [
        (event(2, "paid"), "`to` names no DAG for events of the type paid", "")
    ]
    assert len(plan.deliveries) == 1


def test_unreadable_entries_are_undeliverable() -> None:
    """As their source told of them, and so is an event that is too large for any conf."""
    broken = Unreadable("page 3", "no id", "{}")
    huge = event(2, data="x" * LARGEST_EVENT)
    plan = plan_round([entry(event(1), huge, unreadable=(broken,))], "take", None)
    assert plan.undeliverable[0].what == broken
    assert plan.undeliverable[1].dag_id == "take"
    assert "bytes" in plan.undeliverable[1].why
    assert [run.events[0].id for run in plan.deliveries] == ["1"]


def test_a_refused_run_is_halved_until_the_culprit_is_alone() -> None:
    """Each half is a run of its own, with an id of its own."""
    whole = Delivery("take", tuple(event(n) for n in range(3)), batched=True)
    first, second = whole.halves()
    assert (len(first.events), len(second.events)) == (1, 2)
    assert len({whole.run_id, first.run_id, second.run_id}) == 3
    assert first.events + second.events == whole.events


@pytest.mark.parametrize(
    ("entries", "batch", "lengths"),
    [
        ([entry(event(n)) for n in range(ROUND_EVENTS + 1)], None, [ROUND_EVENTS, 1]),
        ([entry(*(event(n) for n in range(400)))] * 3, None, [2, 1]),
        ([entry(*(event(n) for n in range(400)))] * 3, 1000, [3]),
        ([entry(event(1), size=ROUND_BYTES // 2)] * 3, 1000, [2, 1]),
        ([], None, []),
    ],
)
def test_a_round_fills_batches_and_fits_into_memory(
    entries: list[Entry], batch: int | None, lengths: list[int]
) -> None:
    """By events, bytes and rows."""
    assert [len(group) for group in rounds(entries, batch)] == lengths


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ("", "must name a DAG"),
        ({}, "must be the id of a DAG, or say for event types"),
        (["take"], "must be the id of a DAG, or say for event types"),
        (None, "must be the id of a DAG, or say for event types"),
        ({"placed": ""}, "the DAG of 'placed' must be an id"),
        ({"placed": 3}, "the DAG of 'placed' must be an id"),
        ({"": "take"}, "'' is no event type"),
    ],
)
def test_routes_that_lead_nowhere_are_refused(routes: object, said: str) -> None:
    """With a word on what is wrong."""
    with pytest.raises(ValueError, match=said):
        check_routes(routes)


def test_a_note_says_which_event_a_run_is_for() -> None:
    """Short enough for Airflow."""
    assert Delivery("take", (event(1),), batched=False).note() == "placed 1 of /orders"
    many = Delivery("take", (Event("s" * 1000, "1", "t" * 1000), event(2)), batched=True)
    assert many.note().startswith("2 events")
    assert len(many.note()) <= 1000
