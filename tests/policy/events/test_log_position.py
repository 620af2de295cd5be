"""A position in an event log: what it knows, what it forgets, how it is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.events.log_position import MOST_REMEMBERED, LogPosition, Mark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def mark(id_: int, seconds: float) -> Mark:
    return Mark(id_, NOON + timedelta(seconds=seconds))


def after(*marks: Mark, position: LogPosition | None = None, now: float = 10**6) -> LogPosition:
    position = position or LogPosition(NOON)
    return position.begin(marks).finish(NOON + timedelta(seconds=now), MINUTE)


def test_a_row_that_becomes_visible_late_is_not_known() -> None:
    """Unlike the younger ones that were dispatched before it."""
    position = after(mark(7, 100), mark(8, 101))
    assert position.knows(mark(7, 100))
    assert position.knows(mark(8, 101))
    assert not position.knows(mark(6, 99.5))


def test_what_is_older_than_the_lookback_is_forgotten_and_known() -> None:
    """It is below the floor, in spans of ten seconds."""
    position = after(mark(1, 5), mark(2, 300))
    assert position.floor == NOON + timedelta(seconds=240)
    assert list(position.seen.values()) == [frozenset({2})]
    assert position.knows(mark(1, 5))


def test_a_clock_that_is_ahead_hides_nothing() -> None:
    """A row of tomorrow is remembered, and the floor stays behind the reader's own clock."""
    position = after(mark(1, 86_400), now=30)
    assert position.floor == NOON
    assert position.knows(mark(1, 86_400))
    assert not position.knows(mark(2, 20))


def test_the_floor_never_falls() -> None:
    """Also when rows of long ago were begun."""
    position = after(mark(1, 500))
    assert after(mark(0, 10), position=position).floor == position.floor


def test_what_is_remembered_is_bounded() -> None:
    """A log that grows faster than that is looked back at for less; what is forgotten counts as dispatched."""
    position = after(*(mark(n, n / 250) for n in range(3 * MOST_REMEMBERED)))
    assert sum(map(len, position.seen.values())) <= MOST_REMEMBERED
    assert all(position.knows(mark(n, n / 250)) for n in range(3 * MOST_REMEMBERED))
    assert len(json.dumps(position.to_json())) < 64 * 1024  # beyond that Airflow warns


def test_nothing_begun_changes_nothing() -> None:
    """Finishing twice is finishing once."""
    position = after(mark(1, 5))
    assert position.finish(NOON, MINUTE) == position


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=30, unique_by=lambda each: each[0]),
    st.integers(0, 20),
)
def test_a_stored_position_is_the_same(rows: list[tuple[int, int]], begun: int) -> None:
    """Through JSON, microseconds included."""
    marks = [Mark(id_, NOON + timedelta(microseconds=at)) for id_, at in rows]
    position = after(*marks[begun:]).begin(marks[:begun])
    assert LogPosition.read(json.loads(json.dumps(position.to_json()))) == position


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "a position is an object, not NoneType"),
        ({"version": 2}, "version 2 was written by another release"),
        ({"version": 1}, "floor, seen and begun"),
        ({"version": 1, "floor": "x", "seen": [], "begun": []}, "floor, seen and begun"),
        ({"version": 1, "floor": 10**30, "seen": [], "begun": []}, "floor, seen and begun"),
        ({"version": 1, "floor": 0, "seen": [[]], "begun": []}, "floor, seen and begun"),
    ],
)
def test_what_is_no_position_is_refused(told: object, said: str) -> None:
    """With a word on what is wrong."""
    with pytest.raises(ValueError, match=said):
        LogPosition.read(told)
