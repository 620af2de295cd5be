"""Work that is answered 202: at the work service behind a real edge that does not rewrite Location."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import JobHandle, JobState
from airgate.jobs.accepted import Accepted
from airgate.jobs.protocol import reference
from airgate.jobs.talk import Ask, carry
from airgate.policy.errors import DeadlineExceeded, InvalidResponse, JobFailed, NotFound, Rejected, Unprocessable
from airgate.triggers.job import JobTrigger, Waiting
from tests.jobs.accepted_service import WorkService, work_service
from tests.jobs.one_task import ended_by_others, killed_before_the_handle, order_of, run_deferred, run_here

KEYED: dict[str, Any] = {"honours_keys": True, "base": "/work"}
FOUND: dict[str, Any] = {"find_path": "/jobs?key={key}", "found": "jobs[0]", "status_path": "/jobs/{id}"}
BY_REFERENCE = FOUND | {"find_path": "/jobs?reference={key}", "key_in": "json:reference"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkService]:
    with work_service(tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture(autouse=True)
def clean(service: WorkService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection())


@pytest.fixture
def hook() -> Iterator[GatewayHook]:
    with GatewayHook() as hook:
        yield hook


def build(**fields: Any) -> Accepted:
    """A build that takes no time, unless its fields say otherwise."""
    body = {"name": "web", "seconds": 0, **fields.pop("order", {})}
    return Accepted(**{"path": "/builds", "json": body, **KEYED, **fields})


def submit(hook: GatewayHook, protocol: Accepted, key: str = "k-1") -> JobHandle:
    def send(ask: Ask) -> Any:
        request = hook.request(call_of(ask))
        return hook.send(request.with_headers({"Idempotency-Key": key}), expect=ask.expect)

    return carry(protocol.submit(key), send)


def over(hook: GatewayHook, protocol: Accepted, handle: JobHandle) -> JobState:
    ends = time.monotonic() + 20
    while not (status := look(hook, protocol.status(handle))).over:
        assert time.monotonic() < ends
        time.sleep(0.02)
    return status.state


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_job_with_a_status_document_is_submitted_and_gives_its_result(
    service: WorkService, tmp_path: Path, run: Any
) -> None:
    """The task's result is what output finds in the document; the service saw one submission."""
    result = run(build(order={"seconds": 0.5, "revision": "v1"}, output="result"), tmp_path)
    assert (result["artifact"], service.truth()["submissions"]) == ("web-v1", 1)


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_job_that_speaks_in_statuses_gives_what_it_leads_to(service: WorkService, tmp_path: Path, run: Any) -> None:
    """202 while it runs, then 303 to the rows."""
    export = build(path="/exports", order={"seconds": 0.5, "rows": 2})
    assert run(export, tmp_path) == {"rows": [{"row": 0, "of": "web"}, {"row": 1, "of": "web"}]}
    assert service.truth()["submissions"] == 1


def test_a_status_tells_percent_phase_and_when_to_ask_again(service: WorkService, hook: GatewayHook) -> None:
    """The service's words, and its Retry-After."""
    service.switch(retry_after=7)
    protocol = build(order={"seconds": 10})
    handle = submit(hook, protocol)
    status = look(hook, protocol.status(handle))
    while status.state is JobState.QUEUED:
        time.sleep(0.05)
        status = look(hook, protocol.status(handle))
    assert (status.state, status.phase, status.retry_after) == (JobState.RUNNING, "checkout", 7.0)
    assert status.percent is not None
    assert 10 <= status.percent < 25
    assert "web" in status.message


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_failed_job_says_why_and_shows_the_end_of_its_log(tmp_path: Path, run: Any) -> None:
    """With the service's word on whether another one may succeed."""
    protocol = build(order={"fail": "no space left"}, log_path="/jobs/{id}/log")
    with pytest.raises(JobFailed, match="no space left") as raised:
        run(protocol, tmp_path)
    assert raised.value.excerpt.endswith("failed: no space left\n")
    assert (raised.value.retryable, raised.value.state) == (False, "failed")


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_failed_export_is_a_failed_job(tmp_path: Path, run: Any) -> None:
    """A 4xx where the job is, is how the job ended."""
    with pytest.raises(JobFailed, match="disk full"):
        run(build(path="/exports", order={"fail": "disk full"}), tmp_path)


@pytest.mark.parametrize("path", ["/builds", "/exports"])
def test_to_cancel_twice_is_no_error(service: WorkService, hook: GatewayHook, path: str) -> None:
    """The job is cancelled once, and its result is that it was."""
    protocol = build(path=path, order={"seconds": 60})
    handle = submit(hook, protocol)
    end(hook, protocol.cancel(handle))
    end(hook, protocol.cancel(handle))
    truth = service.truth()
    assert (truth["cancellations"], truth["states"]["cancelled"]) == (1, 1)
    assert look(hook, protocol.status(handle)).state is JobState.CANCELLED
    with pytest.raises(JobFailed, match="cancelled") as raised:
        look(hook, protocol.result(handle))
    assert not raised.value.retryable


def test_a_service_that_refuses_to_cancel_is_not_taken_for_one_that_did(hook: GatewayHook) -> None:
    """A wrong path for cancelling is an error while the job runs, and none once it is over."""
    protocol = build(order={"seconds": 60}, cancels="POST /jobs/{id}/stop")
    handle = submit(hook, protocol)
    with pytest.raises(Rejected):
        end(hook, protocol.cancel(handle))
    end(hook, dataclasses.replace(protocol, cancels="DELETE").cancel(handle))
    end(hook, protocol.cancel(handle))


def test_a_service_that_cannot_cancel_says_so(
    service: WorkService, hook: GatewayHook, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent, and the log has it."""
    protocol = build(order={"seconds": 60}, cancels=None)
    end(hook, protocol.cancel(submit(hook, protocol)))
    assert "cannot cancel" in caplog.text
    assert service.truth()["cancel_requests"] == 0


def test_a_timeout_cancels_the_job(service: WorkService, tmp_path: Path) -> None:
    """The task is out of time, and so is the job."""
    with pytest.raises(DeadlineExceeded, match="cancelled"):
        run_here(build(order={"seconds": 60}), tmp_path, timeout=0.5)
    assert service.truth()["states"]["cancelled"] == 1


@pytest.mark.parametrize("fields", [KEYED, {"base": "/work", "honours_keys": False, **BY_REFERENCE}])
def test_a_killed_submission_makes_one_job(service: WorkService, tmp_path: Path, fields: dict[str, Any]) -> None:
    """The process died with the answer in its hands; the next try gets that job, by its key or by looking."""
    protocol = build(order={"seconds": 1}, output="result.job", **fields)
    killed_before_the_handle(protocol, tmp_path)
    assert service.truth()["jobs"] == 1
    assert run_here(protocol, tmp_path).startswith("build-")
    assert service.truth()["jobs"] == 1


@pytest.mark.parametrize(
    ("fields", "sealed"),
    [
        ({"honours_keys": False, **BY_REFERENCE}, False),
        ({"honours_keys": True, **FOUND}, False),
        ({"honours_keys": True}, True),
    ],
)
def test_the_job_of_a_killed_task_that_is_not_tried_again_is_ended_by_others(
    service: WorkService, tmp_path: Path, fields: dict[str, Any], sealed: bool
) -> None:
    """It is found by its key; where the service only knows a key again, it is submitted once more."""
    killed_before_the_handle(build(order={"seconds": 3600, "name": "of-the-test"}, **fields), tmp_path)
    order = order_of(tmp_path)
    assert ("sealed" in order["trace"]) == sealed
    assert "of-the-test" not in str(order)
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    truth = service.truth()
    assert (truth["jobs"], truth["states"]["cancelled"]) == (1, 1)


def test_lost_answers_and_a_killed_service_leave_one_job(service: WorkService, tmp_path: Path) -> None:
    """Every submission's first answers are dropped after their effect, and the service dies in the middle."""
    service.switch(dropped=1.0)
    protocol = build(order={"seconds": 1.5}, output="result.job")
    stored = run_here(protocol, tmp_path, wait=False)
    service.switch(preset="none")
    service.kill()
    assert run_here(protocol, tmp_path) == stored["id"]
    truth = service.truth()
    assert truth["jobs"] == 1
    assert truth["replays"] >= 1


def test_the_job_of_a_key_is_found(service: WorkService, hook: GatewayHook) -> None:
    """And none where there is none; what was found can be looked at."""
    protocol = build(**FOUND)
    assert look(hook, protocol.find("k-1")) is None
    handle = submit(hook, protocol)
    found = look(hook, protocol.find("k-1"))
    assert found is not None
    assert found.id == handle.id
    assert over(hook, protocol, found) is JobState.SUCCEEDED
    assert look(hook, protocol.find("k-2")) is None


def test_another_order_under_the_key_is_refused(hook: GatewayHook) -> None:
    """By the service's own word."""
    submit(hook, build())
    with pytest.raises(Unprocessable, match="another order"):
        submit(hook, build(order={"name": "other"}))


@pytest.mark.parametrize("path", ["/builds", "/exports"])
def test_a_job_that_vanished_is_not_found(service: WorkService, hook: GatewayHook, path: str) -> None:
    """Its service forgot it."""
    protocol = build(path=path)
    handle = submit(hook, protocol)
    service.reset()
    with pytest.raises(NotFound):
        look(hook, protocol.status(handle))


def test_many_jobs_are_asked_for_at_once(service: WorkService, hook: GatewayHook) -> None:
    """One request; unknown ones are left out."""
    protocol = build(batch_path="/jobs?ids={ids}", listed="jobs")
    handles = [submit(hook, protocol, f"k-{number}") for number in range(3)]
    failed = submit(hook, build(order={"fail": "x"}), "k-f")
    before = service.truth()["served_counts"]["requests"]
    found = look(hook, protocol.statuses([*handles, failed, JobHandle("build-0", {"at": {"path": "/x"}})]))
    assert service.truth()["served_counts"]["requests"] == before + 1
    states = {id_: status.state.value for id_, status in found.items()}
    assert states == {**{handle.id: "succeeded" for handle in handles}, failed.id: "failed"}
    assert (protocol.batch, build().batch) == (50, 0)


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({"base": "/work"}, {}),  # the gateway took /work away, and Location does not have it
        ({"base": "", "path": "/work/builds", "location_prefix": "/work"}, {}),
        ({"base": ""}, {}),  # nothing was taken away
        ({"base": "", "location_prefix": ""}, {"location": "path"}),
        ({"base": "/work", "foreign_location": "path"}, {"location": "absolute"}),
    ],
)
def test_the_address_of_a_job_is_found_behind_the_gateway(
    hook: GatewayHook, fields: dict[str, Any], order: dict[str, Any]
) -> None:
    """Whatever the gateway takes from the path; the host in it is never used."""
    protocol = build(order=order, **fields)
    assert over(hook, protocol, submit(hook, protocol)) is JobState.SUCCEEDED


def test_the_address_of_the_service_itself_is_refused(service: WorkService, hook: GatewayHook) -> None:
    """It is another host than the gateway's, which is where the credentials belong."""
    with pytest.raises(InvalidResponse, match=f"another origin, {service.url}.*foreign_location='path'"):
        submit(hook, build(order={"location": "absolute"}))


async def test_triggers_of_one_gateway_look_together(service: WorkService, hook: GatewayHook) -> None:
    """Ten jobs are waited for with far fewer requests than polls."""
    protocol = build(order={"seconds": 2}, batch_path="/jobs?ids={ids}", listed="jobs")
    handles = [submit(hook, protocol, f"k-{number}") for number in range(10)]
    before = service.truth()["served_counts"]["requests"]
    # As Airflow stores it.
    stored = json.loads(json.dumps(reference(protocol)))

    async def ended(handle: JobHandle) -> Any:
        waiting = Waiting(stored, handle.to_json(), time.time(), shortest=0.3, longest=0.3)
        async for event in JobTrigger("gateway_default", waiting).run():
            return event.payload
        return None

    events = await asyncio.wait_for(asyncio.gather(*map(ended, handles)), 60)
    assert [event["status"]["state"] for event in events] == ["succeeded"] * 10
    requests = service.truth()["served_counts"]["requests"] - before
    assert requests * 2 < sum(event["polls"] for event in events)
