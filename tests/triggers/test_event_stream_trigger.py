"""A stream of server-sent events that is watched: it goes on after the last message that Airflow has stored."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airgate.events import EventFields, EventStreamTrigger
from airgate.triggers.acknowledged import AcknowledgedProducer
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
        # The deadline and the patience of calls: a stream is held to neither.
        extra = {"backoff": 0.001, "attempts": 2, "auth": "bearer", "deadline": 1, "read_timeout": 0.3}
        gateway = {"conn_type": "gateway", "host": address, "password": "secret-of-the-stream", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
        yield service


def trigger(**options: Any) -> EventStreamTrigger:
    return EventStreamTrigger("/stream", **{"linger": 0.02, "reconnect": 0.05, "longest_pause": 0.2} | options)


def numbered(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


async def test_messages_are_told_as_they_come_over_one_connection(service: FeedService) -> None:
    state = AssetState()
    async with watching(trigger(), state) as seen:
        for number in range(4):
            service.tell(event(number))
            await seen.until(lambda: len(seen.ids) == number + 1)  # noqa: B023 - awaited within the round
            await seen.rounds(20)  # longer in all than a call of this connection may take
        await seen.until(lambda: state.position() == {"version": 1, "last_event_id": "4"})
    assert seen.ids == numbered(*range(4))
    assert service.connections == 1
    assert service.asked[0]["headers"]["Authorization"] == "Bearer secret-of-the-stream"
    assert service.asked[0]["headers"]["Accept"] == "text/event-stream"
    assert "Last-Event-ID" not in service.asked[0]["headers"]


async def test_a_burst_shares_an_asset_event(service: FeedService) -> None:
    service.tell(*map(event, range(200)))
    async with watching(trigger(linger=0.5), AssetState()) as seen:
        await seen.until(lambda: len(seen.ids) == 200)
    assert len(seen.told) <= 2


async def test_after_a_break_it_goes_on_after_the_last_message(service: FeedService) -> None:
    service.cut_after = 2
    service.tell(*map(event, range(7)))
    async with watching(trigger(), AssetState()) as seen:
        await seen.until(lambda: len(seen.ids) == 7)
    assert seen.ids == numbered(*range(7))
    assert [one["headers"].get("Last-Event-ID") for one in service.asked[:4]] == [None, "2", "4", "6"]


async def test_what_was_not_stored_when_a_triggerer_died_is_asked_for_again(service: FeedService) -> None:
    state = AssetState()
    service.tell(event(0))
    async with watching(trigger(), state) as first:
        await first.until(lambda: state.position() is not None)
        first.keeps = False
        service.tell(event(1))
        await first.until(lambda: len(first.ids) == 2)
    async with watching(trigger(heartbeat=30), state) as second:
        await second.until(lambda: second.ids)
    assert second.ids == numbered(1)


async def test_a_server_that_has_fallen_silent_is_left_for_a_new_connection(
    service: FeedService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(heartbeat=0.5), AssetState()) as seen:
            service.tell(event(0))
            await seen.until(lambda: seen.ids)
            service.silent = True
            await seen.until(lambda: service.connections >= 2)
            service.silent = False
            service.tell(event(1))
            await seen.until(lambda: len(seen.ids) == 2)
    assert seen.ids == numbered(0, 1)
    assert "silence for 0.5 s" in caplog.text


async def test_a_stream_that_is_over_is_asked_for_now_and_then(service: FeedService) -> None:
    service.over = True
    async with watching(trigger(ended_pause=0.3), AssetState()) as seen:
        await seen.until(lambda: service.connections == 2)
        service.over = False
        service.tell(event(0))
        await seen.until(lambda: seen.ids)
    assert service.connections <= 4


async def test_messages_without_ids_are_told_with_a_warning_of_what_that_costs(
    service: FeedService, caplog: pytest.LogCaptureFixture
) -> None:
    service.ids = False
    state = AssetState()
    with caplog.at_level(logging.WARNING):
        async with watching(trigger(), state) as seen:
            service.tell(event(0))
            await seen.until(lambda: seen.ids)
            await seen.rounds()
    assert state.position() is None
    assert "have no ids: what comes while the connection is broken is lost" in caplog.text


async def test_data_that_is_no_cloud_event_is_an_event_by_the_names_of_its_message(service: FeedService) -> None:
    service.tell("plain text", '{"a": 1}', event(3))
    async with watching(trigger(), AssetState()) as seen:
        await seen.until(lambda: len(seen.ids) == 3)
    first, second, third = (told for batch in seen.told for told in batch.events)
    assert (first.id, first.type, first.source, first.data) == ("1", "shop", "/gateway_default/stream", "plain text")
    assert (second.id, second.data) == ("2", {"a": 1})
    assert (third.id, third.source) == ("e3", "/shop")


async def test_a_poison_message_is_told_as_unreadable_and_passed(service: FeedService) -> None:
    state = AssetState()
    service.tell('{"order": null}', '{"order": 5}')
    fields = EventFields(id="order", default_type="order")
    async with watching(trigger(fields=fields), state) as seen:
        await seen.until(lambda: state.position() == {"version": 1, "last_event_id": "2"})
    assert seen.ids == ["5"]
    (unreadable,) = [entry for batch in seen.told for entry in batch.unreadable]
    assert (unreadable.where, unreadable.raw) == ("a message of /stream with the id 1", '{"order": null}')


async def test_only_the_types_that_are_wanted_are_told_and_the_position_moves_past_the_others(
    service: FeedService,
) -> None:
    state = AssetState()
    service.tell(event(0))
    async with watching(trigger(types=["other"]), state) as seen:
        await seen.until(lambda: state.position() is not None)
    assert not seen.told


async def test_a_start_may_be_an_id(service: FeedService) -> None:
    service.tell(*map(event, range(5)))
    async with watching(trigger(start={"id": "3"}), AssetState()) as seen:
        await seen.until(lambda: len(seen.ids) == 2)
    assert seen.ids == numbered(3, 4)


async def test_an_answer_that_is_no_stream_is_said_and_asked_for_again(
    service: FeedService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with watching(EventStreamTrigger("/feed", reconnect=0.05), AssetState()) as seen:
            await seen.until(lambda: len(service.asked) == 2)
    assert "must be text/event-stream, not 'application/json; charset=utf-8'" in caplog.text
    assert "secret-of-the-stream" not in caplog.text


def test_a_stream_survives_airflows_serialization() -> None:
    made = trigger(fields={"id": "a", "type": "b"}, start={"id": "5"}, types={"b", "a"}, query={"x": "1"})
    classpath, kwargs = made.serialize()
    assert classpath == f"{EventStreamTrigger.__module__}.EventStreamTrigger"
    assert EventStreamTrigger(**json.loads(json.dumps(kwargs))).serialize() == made.serialize()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"path": ""}, "path"),
        ({"start": "earliest"}, "start"),
        ({"start": {"id": 5}}, "start"),
        ({"heartbeat": 0}, "heartbeat"),
        ({"linger": -1}, "linger"),
        ({"headers": {"Authorization": "x"}}, "Authorization"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said_when_the_dag_is_parsed(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        EventStreamTrigger(**{"path": "/stream"} | wrong)
