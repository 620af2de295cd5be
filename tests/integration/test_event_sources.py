"""Sources of events in a whole Airflow: what they tell is stored, whatever is killed and whatever is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import marks
from tests.integration.event_stack import PATIENCE, EventStack, event_stack, until

pytestmark = pytest.mark.integration

SOURCES = ("feed", "stream", "redis")
WAVES, WAVE = 60, 10
EVENTS = WAVES * WAVE


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStack]:
    home = tmp_path_factory.mktemp("events") / "home"
    with event_stack(home) as stack:
        yield stack
    assert marks.marked(home) == []


def missing(at: EventStack, source: str, number: int) -> set[str]:
    """Of so many events of a source, those that are not in the log of its asset."""
    return {f"e{one}" for one in range(number)} - set(at.ids(f"shop_{source}"))


def stored(at: EventStack, source: str, number: int) -> Callable[[], bool]:
    """Whether Airflow has stored so many events of a source."""
    return lambda: not missing(at, source, number)


def test_no_event_is_lost_while_triggerers_are_killed_and_a_trigger_is_replaced(at: EventStack) -> None:
    """600 events of each of three sources, two kills, and a DAG file that changes the feed's trigger twice."""
    at.tell(range(WAVE))
    for source in SOURCES:
        until(stored(at, source, WAVE), PATIENCE, lambda: _story(at))
    for wave in range(1, WAVES):
        at.tell(range(wave * WAVE, (wave + 1) * WAVE))
        if wave in {8, 35}:
            at.kill_triggerer()
        if wave in {20, 48}:
            at.set_limit(wave)
        time.sleep(0.4)  # events come one after the other: this is the pace of the test, it waits for nothing
    for source in SOURCES:
        until(stored(at, source, EVENTS), PATIENCE, lambda: _story(at))
        assert not [entry for batch in at.batches(f"shop_{source}") for entry in batch.unreadable]
    until(
        lambda: at.limits()[-1] == 48,
        PATIENCE,
        lambda: f"the DAG file did not replace the feed's trigger: {_story(at)}\n{at.supervisor.said('dag-processor')}",
    )
    last = str(EVENTS)
    until(lambda: [one["cursor"] for one in at.positions("shop_feed")] == [last], PATIENCE, lambda: _story(at))
    until(
        lambda: [one["last_event_id"] for one in at.positions("shop_stream")] == [str(EVENTS)], 60, lambda: _story(at)
    )
    until(lambda: at.redis.xpending("shop", "airflow")["pending"] == 0, PATIENCE, lambda: _story(at))
    # At least once: what is told twice is told because of a kill or a replaced trigger, not in the usual course.
    assert all(len(at.ids(f"shop_{source}")) < 2 * EVENTS for source in SOURCES), _story(at)


def test_a_watchers_trigger_that_raises_is_started_again(at: EventStack) -> None:
    """What an event source relies on where Airflow could not store what it told."""
    raised = at.layout.home / "raised"
    until(lambda: raised.exists() and len(raised.read_text()) > 3, PATIENCE, lambda: "it was not started again")


def test_events_wake_the_dags_of_their_asset(at: EventStack) -> None:
    until(
        lambda: at.airflow.runs("watched", "asset_triggered", ["success"]), PATIENCE, lambda: "no run of the DAG ended"
    )


def test_what_events_hold_is_not_in_the_triggerers_log(at: EventStack) -> None:
    logs = [path for path in Path(at.layout.logs).rglob("*") if path.is_file()]
    told = [path for path in logs if b"SourceEvent<" in path.read_bytes()]
    assert told
    assert not [path for path in logs if b"order.placed" in path.read_bytes()]


def _story(at: EventStack) -> str:
    lost = {source: sorted(missing(at, source, EVENTS))[:5] for source in SOURCES}
    told = {source: len(at.ids(f"shop_{source}")) for source in SOURCES}
    positions = [at.positions(f"shop_{source}") for source in ("feed", "stream")]
    return f"missing {lost}, told {told}, positions {positions}, pages of {at.limits()}"
