"""The triggerer finds the job of a submission whose answer nobody heard, and ends it, unless the task runs again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.callback import CallbackTrigger

from airgate.client import clock
from airgate.errors import Rejected, Unavailable
from airgate.hooks.gateway import GatewayHook
from airgate.operators.job_trace import trace_of
from airgate.testing.time import InstantTime
from airgate.triggers.ending import HEAD_START, PATIENCE
from airgate.triggers.lost_job import GRACE, KEY_SECONDS, end_lost_job
from tests.job_farm import Farm, FarmJob, farm

BODY = {"name": "render"}
ARRIVES = 100.0
"""Seconds in which the submission may still arrive."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """A farm behind the gateway of the test, whose jobs go on and on."""
    with farm() as known:
        known.over_after = None
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", connection(known))
        yield known


@pytest.fixture
def instant() -> Iterator[InstantTime]:
    """Pauses take no time."""
    with clock.running(InstantTime()):
        time = clock.current()
        assert isinstance(time, InstantTime)
        yield time


@pytest.fixture(autouse=True)
def states(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """How Airflow says that the task stands, each time it is asked; the last one stays."""
    told: list[str | None] = ["failed"]

    def ask(*, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> dict[str, Any]:
        assert (dag_id, task_ids, run_ids, map_index) == ("d", ["t"], ["r"], -1)
        return {"r": {"t": told.pop(0) if len(told) > 1 else told[0]}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(ask))
    monkeypatch.setattr(RuntimeTaskInstance, "get_dagrun_state", staticmethod(lambda dag_id, run_id: "running"))
    return told


def connection(known: Farm, password: str = "only-to-seal-with") -> str:
    extra = {"auth": "none", "backoff": 0.001, "attempts": 2}
    return json.dumps({"conn_type": "gateway", "host": known.address, "password": password, "extra": extra})


def order(**fields: Any) -> dict[str, Any]:
    """What Airflow stores, after a submission of a farm job under the key ``k``."""
    protocol = FarmJob(BODY, **fields)
    with GatewayHook() as hook:
        trace = trace_of(hook.gateway, protocol, protocol, "k")
    assert trace is not None
    instance = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
    settles_at = clock.now() + ARRIVES
    what = {"gateway_conn_id": "gateway_default", "trace": trace, "settles_at": settles_at, "instance": instance}
    return dict(json.loads(json.dumps({**what, "ordered_at": clock.now(), "task": "d.t (r)"})))


FOUND: list[dict[str, Any]] = [{"header": False}, {"header": True}]
REPEATED = {"can_find": False}


@pytest.mark.parametrize("fields", [*FOUND, REPEATED])
def test_a_job_is_found_and_cancelled_after_a_while_for_its_own_task(
    at: Farm, instant: InstantTime, fields: dict[str, Any]
) -> None:
    at.submit("k", {})
    said = asyncio.run(end_lost_job(**order(**fields)))
    assert said == "job job-1 of d.t (r): found by its key, cancelled, as the task was ended"
    assert at.only().state == "cancelled"
    assert instant.waits[0] == HEAD_START


def test_airflows_own_trigger_of_callbacks_carries_it_out(at: Farm, instant: InstantTime) -> None:
    at.submit("k", {})
    trigger = CallbackTrigger("airgate.triggers.lost_job.end_lost_job", order())

    async def run() -> list[Any]:
        return [event.payload["state"] async for event in trigger.run()]

    assert asyncio.run(run()) == ["running", "success"]
    assert at.only().state == "cancelled"


def test_a_job_that_shows_late_is_waited_for(at: Farm, instant: InstantTime) -> None:
    at.submit("k", {})
    at.unseen = 4
    asyncio.run(end_lost_job(**order()))
    assert at.only().state == "cancelled"


def test_a_submission_that_never_arrived_is_looked_for_until_it_cannot_arrive_any_more(
    at: Farm, instant: InstantTime
) -> None:
    assert asyncio.run(end_lost_job(**order())) == "d.t (r): its submission left no job"
    assert ARRIVES + GRACE < instant.skipped < ARRIVES + GRACE + 30
    assert not at.jobs


@pytest.mark.parametrize("fields", [*FOUND, REPEATED])
def test_a_job_that_is_over_is_left_alone(at: Farm, instant: InstantTime, fields: dict[str, Any]) -> None:
    at.submit("k", {})
    at.only().state = "succeeded"
    assert asyncio.run(end_lost_job(**order(**fields))).endswith("over already")
    assert at.only().cancels == 0


def test_a_service_that_is_away_is_asked_again(at: Farm, instant: InstantTime) -> None:
    at.submit("k", {})
    at.refuse_cancels = 6
    asyncio.run(end_lost_job(**order()))
    assert at.only().state == "cancelled"


def test_a_service_that_stays_away_is_given_up_in_the_end(at: Farm, instant: InstantTime) -> None:
    at.submit("k", {})
    at.refuse_cancels = 10_000
    with pytest.raises(Unavailable):
        asyncio.run(end_lost_job(**order()))
    assert ARRIVES + PATIENCE - 60 < instant.skipped < ARRIVES + PATIENCE + 60


def test_a_refusal_is_not_waited_for(at: Farm, instant: InstantTime) -> None:
    at.submit("k", {})
    at.refuse_with = 403
    with pytest.raises(Rejected):
        asyncio.run(end_lost_job(**order()))
    assert instant.skipped < HEAD_START + 5


@pytest.mark.parametrize("fields", [*FOUND, REPEATED])
@pytest.mark.parametrize("state", [None, "scheduled", "running", "deferred", "up_for_retry"])
def test_the_job_of_a_task_that_was_cleared_is_left_to_it(
    at: Farm, instant: InstantTime, states: list[str | None], fields: dict[str, Any], state: str | None
) -> None:
    """Its next try submits under the same key: the job that is found would be its own."""
    at.submit("k", {})
    states[:] = [state]
    assert asyncio.run(end_lost_job(**order(**fields))) == "d.t (r): runs again, and sees to its job itself"
    assert at.only().cancels == 0
    assert at.requests == []


@pytest.mark.parametrize("state", ["queued", "running", "deferred", "up_for_retry"])
@pytest.mark.parametrize("run", ["failed", "success"])
def test_no_task_of_a_run_that_has_ended_keeps_its_job(
    at: Farm, instant: InstantTime, monkeypatch: pytest.MonkeyPatch, states: list[str | None], run: str, state: str
) -> None:
    """A scheduler that had the task in its hands while its run was marked has put it back in line."""
    at.submit("k", {})
    states[:] = [state]
    monkeypatch.setattr(RuntimeTaskInstance, "get_dagrun_state", staticmethod(lambda dag_id, run_id: run))
    assert asyncio.run(end_lost_job(**order())).endswith("found by its key, cancelled, as the task was ended")
    assert at.only().state == "cancelled"


def test_a_task_that_is_cleared_while_its_job_is_looked_for_keeps_it(
    at: Farm, instant: InstantTime, states: list[str | None]
) -> None:
    at.submit("k", {})
    states[:] = ["failed", None]
    assert asyncio.run(end_lost_job(**order())).endswith("goes on, as the task runs again")
    assert at.only().cancels == 0


def test_where_airflow_does_not_tell_how_the_task_stands_the_job_is_ended(
    at: Farm, instant: InstantTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(**_: Any) -> None:
        raise ConnectionError("the api-server is away")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(silent))
    at.submit("k", {})
    asyncio.run(end_lost_job(**order()))
    assert at.only().state == "cancelled"


def test_a_submission_is_sent_once_more_as_it_was(at: Farm, instant: InstantTime) -> None:
    """The service makes one job of a key, so it names the one that is there; where none is, it makes one that ends."""
    asyncio.run(end_lost_job(**order(**REPEATED)))
    assert (at.only().body, at.only().key, at.only().state) == ({**BODY, "key": "k"}, "k", "cancelled")


def test_a_submission_is_not_sent_once_more_when_its_key_may_be_forgotten(at: Farm, instant: InstantTime) -> None:
    late = order(**REPEATED)
    instant.skip(ARRIVES + KEY_SECONDS)
    assert "cannot be told any more" in asyncio.run(end_lost_job(**late))
    assert at.requests == []


def test_a_submission_that_cannot_be_opened_any_more_says_so(
    at: Farm, instant: InstantTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = order(**REPEATED)
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", connection(at, "another"))
    with pytest.raises(ValueError, match="sealed with secrets that the connection gateway_default no longer has"):
        asyncio.run(end_lost_job(**sealed))
    assert at.requests == []


def test_what_is_asked_for_again_is_done_again(at: Farm, instant: InstantTime, states: list[str | None]) -> None:
    """The task was cleared, and ended once more before its next try."""
    at.submit("k", {})

    async def twice() -> None:
        states[:] = [None]
        first = order()
        await end_lost_job(**first)
        states[:] = ["failed"]
        await end_lost_job(**first)  # handed around: done already
        assert at.only().cancels == 0
        await end_lost_job(**{**first, "ordered_at": first["ordered_at"] + 1})

    asyncio.run(twice())
    assert at.only().state == "cancelled"
