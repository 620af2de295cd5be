"""What waits in the triggerer."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize

from airgate.errors import DeadlineExceeded, NotFound, RateLimited
from airgate.hooks.failures import error_from_json, error_to_json
from airgate.testing import FakeGateway, instant_time, timeout
from airgate.triggers import PollTrigger, WaitTrigger
from airgate.triggers.poll import Poll
from tests.scripted_server import Answer, ScriptedServer


async def event_of(trigger: Any) -> dict[str, Any]:
    """The trigger's one event, after the way through Airflow's database."""
    path, kwargs = trigger.serialize()
    again = import_string(path)(**deserialize(json.loads(json.dumps(serialize(kwargs)))))
    assert again.serialize() == trigger.serialize()
    events = [event.payload async for event in again.run()]
    [event] = events
    return json.loads(json.dumps(event))


def poll(**fields: Any) -> PollTrigger:
    """A trigger that polls every minute for an hour."""
    return PollTrigger(
        "gateway_default", Poll(**{"path": "/job", "interval": 60, "ends": time.time() + 3600, **fields})
    )


async def test_a_wait_ends_at_its_moment() -> None:
    """A triggerer that starts again has the same moment, and one that comes late does not wait."""
    until = time.time() + 3000
    with instant_time() as passed:
        assert await event_of(WaitTrigger(until, ends=9.0)) == {"until": until, "ends": 9.0}
        assert passed.skipped == pytest.approx(3000, abs=5)
    assert await event_of(WaitTrigger(time.time() - 5)) is not None


async def test_it_polls_until_the_predicate_holds(server: ScriptedServer) -> None:
    """Reads only, at the interval; the value comes with the event."""
    server.answers = [Answer(body=b'{"state": "open"}'), Answer(404), Answer(body=b'{"state": "done", "id": 7}')]
    with instant_time() as passed:
        event = await event_of(poll(predicate="state == 'done'", result="id", missing_is_false=True))
    assert event["value"] == 7
    assert {seen.method for seen in server.seen} == {"GET"}
    assert len(server.seen) == 3
    assert passed.skipped == pytest.approx(120, abs=10)


async def test_a_dotted_name_is_evaluated_in_the_triggerer(server: ScriptedServer) -> None:
    """The function gets the response."""
    server.answers = [Answer(body=b"7")]
    event = await event_of(poll(predicate="airgate.operators.gateway:plain_result"))
    assert event["value"] == 7


async def test_an_error_comes_back_as_an_event(server: ScriptedServer) -> None:
    """Raised here, it would arrive without its type."""
    server.answers = [Answer(404)]
    event = await event_of(poll())
    error = error_from_json(event["error"])
    assert isinstance(error, NotFound)
    assert error.status == 404


async def test_a_wait_that_the_server_asks_for_is_waited_for(server: ScriptedServer) -> None:
    """The triggerer has the time that a worker has not."""
    server.answers = [Answer(429, headers={"Retry-After": "600"}), Answer()]
    with instant_time() as passed:
        assert (await event_of(poll()))["value"] is True
    assert passed.skipped == pytest.approx(600, abs=10)


async def test_patience_goes_on_after_errors(server: ScriptedServer) -> None:
    """silent_fail of a sensor."""
    server.answers = [Answer(403), Answer(body=b"<"), Answer(body=b'{"a": 1}')]
    with instant_time():
        assert (await event_of(poll(predicate="a", patient=True)))["value"] == 1


async def test_it_ends_when_the_time_is_over(server: ScriptedServer) -> None:
    """Intervals grow, but never beyond the end."""
    ends = time.time() + 200
    server.answers = [Answer(body=b"{}")]
    with instant_time():
        event = await event_of(poll(predicate="a", ends=ends, growth=2.0))
    assert (event["timed_out"], event["ends"]) == (True, ends)
    assert len(server.seen) == event["calls"]["calls"] == 4


@pytest.mark.parametrize("patient", [False, True])
async def test_a_poll_does_not_outlast_the_waiting(patient: bool) -> None:
    """However long the connection would be patient with a silent service."""
    with FakeGateway(extra={"read_timeout": 60}) as gateway:
        gateway.on("GET", "/job", timeout(), repeat=True)
        ends = gateway.time.now() + 10
        event = await event_of(poll(interval=5, ends=ends, patient=patient))
        assert (event["timed_out"], event["ends"]) == (True, ends)
        assert gateway.time.now() == pytest.approx(ends, abs=1)


async def test_the_connections_own_deadline_is_an_error() -> None:
    """It says that a single poll took too long, not that the waiting is over."""
    with FakeGateway(extra={"deadline": 20}) as gateway:
        gateway.on("GET", "/job", timeout(), repeat=True)
        event = await event_of(poll())
        assert isinstance(error_from_json(event["error"]), DeadlineExceeded)
        assert gateway.time.skipped == pytest.approx(20, abs=1)


async def test_a_large_value_stays_out_of_the_event(server: ScriptedServer) -> None:
    """Events lie in Airflow's database."""
    server.answers = [Answer(body=json.dumps({"a": "x" * 20_000}).encode())]
    event = await event_of(poll(predicate="a"))
    assert event["ask_again"]
    assert "value" not in event


def test_a_poll_only_reads() -> None:
    """A trigger starts again when its triggerer dies, and would write twice."""
    with pytest.raises(ValueError, match="must be GET or HEAD"):
        Poll(path="/x", interval=1, ends=0, method="POST")


def test_a_trigger_row_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments lie in the database in plain text: they name the connection and nothing that is in it."""
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", '{"conn_type": "gateway", "host": "h", "password": "hunter2"}')
    trigger = poll(predicate="a")
    assert "hunter2" not in str(trigger.serialize())
    assert set(trigger.serialize()[1]) == {"gateway_conn_id", "poll"}
    assert asdict(trigger.poll)["headers"] == {}


@pytest.mark.parametrize("error", [RateLimited("x", status=429, retry_after=3.0, url="u"), ValueError("y")])
def test_an_error_survives_the_way_to_the_worker(error: Exception) -> None:
    """With what a retry policy needs."""
    again = error_from_json(json.loads(json.dumps(error_to_json(error))))
    assert (type(again), str(again)) == (type(error), str(error))
    assert getattr(again, "retry_after", None) == getattr(error, "retry_after", None)
