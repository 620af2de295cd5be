"""Many waits of one triggerer: one pool and one token, looked at together where the service can, none lost."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airgate.jobs.protocol import JobProtocol, recreate, reference
from airgate.triggers.job import JobTrigger, Waiting
from tests.job_farm import Farm, FarmJob, FarmJobs, farm


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    """A farm with 40 jobs behind the gateway of the test."""
    with farm() as known:
        extra = {"backoff": 0.001, "attempts": 2}
        value = {"conn_type": "gateway", "host": known.address, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(value))
        for number in range(40):
            known.submit(f"k{number}", {})
        yield known


def triggers(at: Farm, protocol: JobProtocol, **options: Any) -> list[JobTrigger]:
    """One for each job."""
    waiting = {"protocol": reference(protocol), "started_at": time.time(), "shortest": 0.2, "longest": 0.2} | options
    return [JobTrigger("gateway_default", Waiting(handle={"id": job}, **waiting)) for job in at.jobs]


async def events(many: list[JobTrigger]) -> list[dict[str, Any]]:
    """What each of them says."""

    async def first(trigger: JobTrigger) -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("no event")

    return await asyncio.gather(*map(first, many))


@pytest.mark.parametrize("protocol", [FarmJob(), FarmJobs()])
def test_every_wait_ends_with_its_job(at: Farm, protocol: FarmJob) -> None:
    said = asyncio.run(events(triggers(at, protocol)))
    assert [event["status"]["state"] for event in said] == ["succeeded"] * 40
    assert at.connections <= 32  # as many as polls go on at once


def test_jobs_of_one_gateway_are_looked_at_together(at: Farm) -> None:
    asyncio.run(events(triggers(at, FarmJobs())))
    # Two rounds of looks at forty jobs, ten a request; the intervals differ by a tenth, so a round is not one moment.
    assert len(at.requests) <= 30
    assert all(path.startswith("/jobs?ids=") or path.count("/") == 2 for _, path in at.requests)


def test_one_that_is_cancelled_takes_no_other_with_it(at: Farm) -> None:
    at.over_after = 5
    for job in at.jobs.values():
        job.over_after = 5

    async def most() -> list[dict[str, Any]]:
        many = triggers(at, FarmJobs())
        left = asyncio.create_task(events(many[:5]))
        kept = asyncio.create_task(events(many[5:]))
        await asyncio.sleep(0.3)
        left.cancel()
        return await kept

    assert [event["status"]["state"] for event in asyncio.run(most())] == ["succeeded"] * 35


def test_a_job_missing_from_the_list_is_asked_for_alone(at: Farm) -> None:
    many = triggers(at, FarmJobs())[:3]
    del at.jobs["job-2"]
    many[1] = JobTrigger("gateway_default", Waiting(**{**_fields(many[1]), "started_at": time.time() - 3600}))
    said = asyncio.run(events(many))
    assert [event.get("status", {}).get("state") for event in said] == ["succeeded", None, "succeeded"]
    assert said[1]["error"]["kind"] == "NotFound"


@pytest.mark.parametrize("status", [400, 404, 414])
def test_a_service_that_refuses_the_question_for_many_is_asked_for_each(at: Farm, status: int) -> None:
    at.refuse_many = status
    said = asyncio.run(events(triggers(at, FarmJobs())[:5]))
    assert [event["status"]["state"] for event in said] == ["succeeded"] * 5
    assert all(job.cancels == 0 for job in at.jobs.values())


def test_a_secret_changed_meanwhile_is_taken_over(at: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgate.triggers.watch._HOOK_SECONDS", 0.3)
    for job in at.jobs.values():
        job.over_after = None

    def secret(value: str) -> None:
        extra = {"auth": "bearer", "backoff": 0.001}
        connection = {"conn_type": "gateway", "host": at.address, "password": value, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(connection))

    async def watched() -> None:
        waiting = asyncio.create_task(events(triggers(at, FarmJob())[:3]))
        await asyncio.sleep(0.5)
        secret("new")
        await asyncio.sleep(1.0)
        for job in at.jobs.values():
            job.state = "succeeded"
        await waiting

    secret("old")
    asyncio.run(watched())
    assert (at.tokens[0], at.tokens[-1]) == ("Bearer old", "Bearer new")
    turned = at.tokens.index("Bearer new")
    assert "Bearer old" not in at.tokens[turned + 3 :]  # a look may be under way


def test_a_connection_that_is_not_there_is_an_error_on_the_worker(at: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    many = triggers(at, FarmJob())[:3]
    monkeypatch.delenv("AIRFLOW_CONN_GATEWAY_DEFAULT")
    said = asyncio.run(events(many))
    assert all("gateway_default" in event["error"]["reason"] for event in said)


def test_a_protocol_that_is_not_there_is_an_error_on_the_worker(at: Farm) -> None:
    fields = {**_fields(triggers(at, FarmJob())[0]), "protocol": {"class": "no.such:Thing", "fields": {}}}
    (event,) = asyncio.run(events([JobTrigger("gateway_default", Waiting(**fields))]))
    assert "no.such:Thing cannot be imported here" in event["error"]["reason"]


def test_a_reference_keeps_only_what_is_watched_with() -> None:
    stored = reference(FarmJob({"secret": 1}))
    assert stored == {"class": "tests.job_farm:FarmJob", "fields": {}}
    assert recreate(json.loads(json.dumps(stored))) == FarmJob()


def _fields(trigger: JobTrigger) -> dict[str, Any]:
    return dict(trigger.serialize()[1]["waiting"])
