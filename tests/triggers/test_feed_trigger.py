"""A feed that is watched: nothing is lost, and the position moves only behind what Airflow has stored."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from airgate.events import EventFields, FeedTrigger
from airgate.triggers import acknowledged
from airgate.triggers.acknowledged import AcknowledgedProducer, NotKept
from airgate.triggers.watch import watches
from tests.feed_service import FeedService, event, feed_service
from tests.triggers.watching import AssetState, watching


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AcknowledgedProducer, "settles_after", 0.05)


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FeedService]:
    """Behind the gateway of the test."""
    service = FeedService()
    async with feed_service(service) as address:
        extra = {"backoff": 0.001, "attempts": 2, "auth": "bearer"}
        gateway = {"conn_type": "gateway", "host": address, "password": "secret-of-the-feed", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
        yield service


def trigger(**options: Any) -> FeedTrigger:
    return FeedTrigger("/feed", **{"interval": 0.1, "limit": 3} | options)


def numbered(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


async def test_what_a_feed_has_is_told_page_by_page_and_then_what_comes(service: FeedService) -> None:
    state = AssetState()
    service.tell(*map(event, range(7)))
    async with watching(trigger(), state) as seen:
        await seen.until(lambda: len(seen.ids) == 7)
        service.tell(event(7))
        await seen.until(lambda: len(seen.ids) == 8)
        await seen.until(lambda: state.position() and state.position()["cursor"] == "8")
    assert seen.ids == numbered(*range(8))
    assert [len(batch) for batch in seen.told] == [3, 3, 1, 1]
    assert service.asked[0]["headers"]["Authorization"] == "Bearer secret-of-the-feed"


async def test_the_position_stays_until_airflow_has_stored_the_events(service: FeedService) -> None:
    state = AssetState()
    service.tell(event(1))
    async with watching(trigger(), state, keeps=False) as seen:
        await seen.until(lambda: seen.ids == numbered(1))
        await seen.rounds(15)
        assert state.position() is None
        seen.confirm()
        await seen.until(lambda: state.position() is not None)
    assert state.position()["cursor"] == "1"


async def test_what_was_not_stored_when_a_triggerer_died_is_told_again(service: FeedService) -> None:
    state = AssetState()
    service.tell(*map(event, range(5)))
    async with watching(trigger(), state, keeps=False) as first:
        await first.until(lambda: len(first.ids) == 5)
        first.confirm(1)
        await first.until(lambda: state.position() is not None)
    async with watching(trigger(), state) as second:
        await second.until(lambda: second.ids)
    assert second.ids == numbered(3, 4)


async def test_events_that_airflow_said_to_be_stored_as_their_trigger_was_taken_away_are_told_again(
    service: FeedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow says so of events that it stored nowhere, when a DAG file has just replaced the trigger."""
    monkeypatch.setattr(AcknowledgedProducer, "settles_after", 30.0)
    state = AssetState()
    service.tell(event(1))
    async with watching(trigger(), state, keeps=False) as first:
        await first.until(lambda: first.ids)
        first.confirm()
        await first.rounds()
    assert state.position() is None
    async with watching(trigger(interval=0.2), state) as second:
        await second.until(lambda: second.ids)
    assert second.ids == numbered(1)


async def test_a_trigger_ends_when_airflow_cannot_store_what_it_tells(service: FeedService) -> None:
    """Airflow starts it again, and what was not stored is told again."""
    state = AssetState()
    service.tell(event(1))
    async with watching(trigger(), state, keeps=False, ack_timeout=0.1) as first:
        with pytest.raises(Exception, match="did not finish processing event 0"):
            await first.until(lambda: False)
    assert state.position() is None
    async with watching(trigger(), state) as second:
        await second.until(lambda: second.ids == numbered(1))


async def test_no_more_is_read_ahead_than_airflow_keeps_up_with(
    service: FeedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledged, "IN_FLIGHT", 2)
    state = AssetState()
    service.tell(*map(event, range(30)))
    async with watching(trigger(), state, keeps=False) as seen:
        await seen.until(lambda: len(seen.told) == 2)
        await seen.rounds(10)
        assert len(seen.told) == 2
        seen.keeps = True
        seen.confirm()
        await seen.until(lambda: len(seen.ids) == 30)


async def test_changed_pauses_go_on_at_the_same_position_and_another_query_is_another_feed(
    service: FeedService,
) -> None:
    state = AssetState()
    service.tell(event(1))
    async with watching(trigger(), state) as first:
        await first.until(lambda: state.position() is not None)
    service.tell(event(2))
    async with watching(trigger(interval=0.15, longest_pause=60), state) as second:
        await second.until(lambda: second.ids)
    async with watching(trigger(query={"kind": "x"}), state) as third:
        await third.until(lambda: len(third.ids) == 2)
    assert (second.ids, third.ids) == (numbered(2), numbered(1, 2))


async def test_latest_tells_only_what_comes_after_the_start_even_if_that_was_long_ago(service: FeedService) -> None:
    state = AssetState()
    service.tell(*map(event, range(8)))
    async with watching(trigger(start="latest"), state) as first:
        await first.until(lambda: state.position() and not state.position().get("passing"))
    service.tell(event(8))
    async with watching(trigger(start="latest"), state) as second:
        await second.until(lambda: second.ids)
    assert (first.ids, second.ids) == ([], numbered(8))


async def test_a_start_may_be_a_cursor(service: FeedService) -> None:
    service.tell(*map(event, range(5)))
    async with watching(trigger(start={"cursor": "4"}), AssetState()) as seen:
        await seen.until(lambda: seen.ids)
    assert seen.ids == numbered(4)


@pytest.mark.parametrize(("begins", "told"), [("earliest", [5, 6]), ("latest", [])])
async def test_a_cursor_that_the_service_has_dropped_is_told_of_and_read_past(
    service: FeedService, caplog: pytest.LogCaptureFixture, begins: str, told: list[int]
) -> None:
    state = AssetState()
    service.tell(event(0))
    async with watching(trigger(), state) as first:
        await first.until(lambda: state.position() is not None)
    service.tell(*map(event, range(1, 7)))
    service.dropped = 5
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(on_expired=begins), state) as second:
            await second.until(lambda: state.position()["cursor"] == "7" and not state.position().get("passing"))
            service.tell(event(7))
            await second.until(lambda: "e7" in second.ids)
    assert second.ids == numbered(*told, 7)
    assert f"does not know the cursor any longer (status 410): it is read from the {begins} on" in caplog.text


async def test_failures_are_waited_out_with_growing_pauses_and_never_end_the_trigger(
    service: FeedService, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [web.json_response({}, status=403) for _ in range(3)]
    service.bad = [*refused, web.Response(text="<html>"), web.json_response({"data": []})]
    service.tell(event(1))
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(interval=0.1, longest_pause=0.4), AssetState()) as seen:
            await seen.until(lambda: seen.ids)
    said = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(said) == 5
    assert "403" in said[0]
    assert "not JSON" in said[3]
    assert "no list at 'events'" in said[4]
    assert "secret-of-the-feed" not in caplog.text


async def test_a_service_that_asks_to_wait_is_left_alone_for_that_long(service: FeedService) -> None:
    service.bad = [web.json_response({}, status=429, headers={"Retry-After": "1"}) for _ in range(2)]
    service.tell(event(1))
    began = time.monotonic()
    async with watching(trigger(), AssetState()) as seen:
        await seen.until(lambda: seen.ids)
    assert time.monotonic() - began > 1.9


async def test_a_page_that_did_not_change_is_asked_for_by_its_etag(service: FeedService) -> None:
    service.etags = True
    service.tell(event(1))
    async with watching(trigger(interval=0.1), AssetState()) as seen:
        await seen.until(lambda: service.statuses.count(304) >= 2)
        service.tell(event(2))
        await seen.until(lambda: len(seen.ids) == 2)
    assert seen.ids == numbered(1, 2)


async def test_a_feed_whose_cursor_ends_is_asked_for_its_last_page_and_tells_what_is_new_there(
    service: FeedService,
) -> None:
    pages = [{"events": [event(1), {"no": "event"}]}, {"events": [event(1), {"no": "event"}, event(2)]}]
    service.bad = [web.json_response(page) for page in [pages[0], pages[0], pages[1], pages[1]]]
    async with watching(trigger(), AssetState()) as seen:
        await seen.until(lambda: not service.bad)
        await seen.until(lambda: len(seen.ids) == 2)
    assert seen.ids == numbered(1, 2)
    assert sum(len(batch.unreadable) for batch in seen.told) == 1


async def test_a_poison_record_is_told_as_unreadable_and_does_not_stop_the_feed(service: FeedService) -> None:
    state = AssetState()
    service.tell(event(1), {"specversion": "1.0", "id": 5}, "text", event(2) | {"data": "\ud800"}, event(3))
    async with watching(trigger(limit=10), state) as seen:
        await seen.until(lambda: state.position() is not None)
    assert seen.ids == numbered(1, 3)
    (batch,) = seen.told
    assert [entry.where for entry in batch.unreadable] == [
        "record 1 of a page of /feed",
        "record 2 of a page of /feed",
        "event e2 of /shop",
    ]
    assert state.position()["cursor"] == "5"


async def test_other_records_become_events_by_where_their_parts_stand(service: FeedService) -> None:
    service.tell({"order": {"id": 7}, "kind": "placed", "at": 1767323045, "lines": [{"sku": "a"}]})
    fields = EventFields(id="order.id", type="kind", time="at", subject="/lines/0/sku", data="lines")
    async with watching(trigger(fields=fields), AssetState()) as seen:
        await seen.until(lambda: seen.ids)
    (told,) = seen.told[0].events
    assert told.to_json() == {
        "specversion": "1.0",
        "source": "/gateway_default/feed",
        "id": "7",
        "type": "placed",
        "time": "2026-01-02T03:04:05+00:00",
        "subject": "a",
        "datacontenttype": "application/json",
        "data": [{"sku": "a"}],
    }


async def test_a_state_store_that_does_not_answer_is_waited_for_and_not_taken_for_an_empty_one(
    service: FeedService,
) -> None:
    state = AssetState()
    service.tell(event(1))
    async with watching(trigger(), state) as first:
        await first.until(lambda: state.position() is not None)
    service.tell(event(2))
    state.broken = 1
    async with watching(trigger(), state) as second:
        await second.until(lambda: second.ids)
    assert second.ids == numbered(2)


async def test_a_position_that_cannot_be_written_costs_no_event(service: FeedService) -> None:
    state = AssetState()
    async with watching(trigger(), state) as seen:
        await seen.until(lambda: service.asked)
        state.broken = 2
        service.tell(event(1))
        await seen.until(lambda: state.position() is not None)
    assert seen.ids == numbered(1)


async def test_a_position_is_kept_with_every_asset_and_the_furthest_one_counts(service: FeedService) -> None:
    """Airflow runs one trigger for all assets whose watchers are the same."""
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    old, late = AssetState(), AssetState()
    service.tell(event(1))
    async with watching(trigger(), old) as first:
        await first.until(lambda: old.position() is not None)
    service.tell(event(2))
    both = AssetStateStoreAccessors(inlets=[])
    both._by_name = {"late": late, "old": old}  # type: ignore[dict-item]
    async with watching(trigger(), both) as second:
        await second.until(lambda: late.position() is not None)
    assert second.ids == numbered(2)
    assert late.position() == old.position()


async def test_one_that_is_asked_to_run_alone_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match="belongs on an AssetWatcher"):
        trigger().run()


def test_it_survives_airflows_serialization_and_shows_no_secret() -> None:
    made = trigger(fields={"id": "a", "default_type": "t"}, start={"cursor": 5}, query={"kind": ["a", "b"]})
    classpath, kwargs = made.serialize()
    assert classpath == f"{FeedTrigger.__module__}.FeedTrigger"
    assert FeedTrigger(**json.loads(json.dumps(kwargs))).serialize() == made.serialize()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"path": ""}, "path"),
        ({"interval": 0}, "interval"),
        ({"limit": 0}, "limit"),
        ({"cursor_header": "X-Next", "cursor_item": "id"}, "cursor_header and cursor_item"),
        ({"cursor_field": ""}, "cursor_field"),
        ({"start": "newest"}, "start"),
        ({"start": {"cursor": None}}, "start"),
        ({"on_expired": "stop"}, "on_expired"),
        ({"longest_pause": 1, "interval": 5}, "longest_pause"),
        ({"headers": {"X-Api-Key": "k"}}, "X-Api-Key"),
        ({"query": {"access_token": "k"}}, "access_token"),
        ({"fields": {"id": "a"}}, "default_type"),
    ],
)
def test_what_is_wrong_is_said_when_the_dag_is_parsed(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FeedTrigger(**{"path": "/feed"} | wrong)


async def test_triggers_of_one_gateway_share_its_connections_and_the_last_one_leaves_none(service: FeedService) -> None:
    service.tell(event(1))
    gateways = watches().gateways
    async with AsyncExitStack() as many:
        seen = [
            await many.enter_async_context(watching(trigger(query={"n": str(number)}), AssetState()))
            for number in range(5)
        ]
        for one in seen:
            await one.until(lambda one=one: one.ids)  # type: ignore[misc]
        assert list(gateways._shared) == ["gateway_default"]
    assert not gateways._shared


def test_a_rejected_event_ends_the_stream_as_one_that_was_not_stored() -> None:
    from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

    async def advance() -> list[Any]:
        settled: list[Any] = []

        class Producer(AcknowledgedProducer):
            def read(self, states: Any) -> Any:
                raise NotImplementedError

            async def settle(self, marks: list[Any]) -> None:
                settled.extend(marks)

        producer = Producer(asyncio.get_running_loop().create_future())
        producer.settles_after = 0.0  # type: ignore[misc]
        clean, lost = AdvanceOutcome(1, 0), AdvanceOutcome(0, 1)
        with pytest.raises(NotKept):
            await producer.advance([AdvanceItem(1, clean), AdvanceItem(2, lost), AdvanceItem(3, clean)])
        return settled

    assert asyncio.run(advance()) == [1]
