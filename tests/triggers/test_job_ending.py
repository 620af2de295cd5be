"""The triggerer stands in for who should have ended a job: once, patiently, however Airflow treats the callback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.triggers.callback import CallbackTrigger

from airgate.client import clock
from airgate.errors import Unavailable
from airgate.jobs.protocol import reference
from airgate.testing.time import InstantTime
from airgate.triggers.ending import HEAD_START, PATIENCE, end_job
from tests.job_farm import Farm, FarmJob, farm


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """A farm with one job that goes on and on, behind the gateway of the test."""
    with farm() as known:
        extra = {"backoff": 0.001, "attempts": 2}
        value = {"conn_type": "gateway", "host": known.address, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(value))
        known.over_after = None
        known.submit("k", {})
        yield known


@pytest.fixture
def instant() -> Iterator[InstantTime]:
    """Pauses take no time."""
    with clock.running(InstantTime()):
        time = clock.current()
        assert isinstance(time, InstantTime)
        yield time


def order(job: str = "job-1") -> dict[str, Any]:
    """What Airflow stores."""
    handle = {"version": 1, "id": job, "data": {}}
    return {"gateway_conn_id": "gateway_default", "protocol": reference(FarmJob()), "handle": handle, "task": "d.t (r)"}


def test_a_job_that_still_runs_is_cancelled_after_a_while_for_its_own_task(at: Farm, instant: InstantTime) -> None:
    assert asyncio.run(end_job(**order())) == "job job-1 of d.t (r): cancelled, as the task was ended"
    assert at.only().state == "cancelled"
    assert instant.waits[0] == HEAD_START


@pytest.mark.parametrize(("job", "state"), [("job-1", "succeeded"), ("job-2", "running")])
def test_a_job_that_is_over_or_unknown_is_left_alone(at: Farm, instant: InstantTime, job: str, state: str) -> None:
    at.only().state = state
    assert asyncio.run(end_job(**order(job))) == f"job {job} of d.t (r): over already"
    assert at.only().cancels == 0


def test_airflows_own_trigger_of_callbacks_carries_it_out(at: Farm, instant: InstantTime) -> None:
    trigger = CallbackTrigger("airgate.triggers.ending.end_job", json.loads(json.dumps(order())))

    async def run() -> list[Any]:
        return [event.payload["state"] async for event in trigger.run()]

    assert asyncio.run(run()) == ["running", "success"]
    assert at.only().state == "cancelled"


def refusing(at: Farm, *, cancellations: int) -> None:
    """Let the service refuse the look before as many cancellations, and these too."""
    at.refuse = [(503, {})] * 2 * cancellations
    at.refuse_cancels = 2 * cancellations


def test_a_service_that_is_away_is_asked_again(at: Farm, instant: InstantTime) -> None:
    refusing(at, cancellations=3)
    asyncio.run(end_job(**order()))
    assert at.only().state == "cancelled"
    assert [wait for wait in instant.waits if wait >= 2] == [HEAD_START, 2, 4, 8]


def test_a_service_that_stays_away_is_given_up_in_the_end(at: Farm, instant: InstantTime) -> None:
    refusing(at, cancellations=1000)
    with pytest.raises(Unavailable):
        asyncio.run(end_job(**order()))
    assert PATIENCE - 60 < instant.skipped < PATIENCE + 60


def test_a_callback_that_airflow_hands_to_and_fro_ends_the_job_once(at: Farm) -> None:
    async def handed_around() -> str:
        for _ in range(5):
            waiting = asyncio.create_task(end_job(**order()))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        while not at.only().cancels:  # noqa: ASYNC110 - the service is in another thread
            await asyncio.sleep(0.05)
        return await end_job(**order())

    async def begun_early() -> str:
        return await asyncio.wait_for(handed_around(), 20)

    assert asyncio.run(begun_early()).endswith("cancelled, as the task was ended")
    assert at.only().cancels == 1
