"""Runs of a GitHub workflow, against a stub that holds each request against GitHub's published description."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgate.errors import JobFailed, NotFound, OutcomeUnknown, RateLimited, Unauthorized, Unavailable, Unprocessable
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import JobHandle, JobState
from airgate.jobs.github_actions import GithubWorkflow
from airgate.jobs.talk import carry
from airgate.operators import GatewayJobOperator
from tests.jobs.github_server import Github, Run, github
from tests.jobs.one_task import (
    context_of,
    ended_by_others,
    killed_before_the_handle,
    operator_of,
    order_of,
    run_deferred,
    run_here,
)

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    """GitHub behind the gateway of the test."""
    with github() as known:
        extra = {"auth": "bearer", "backoff": 0.001, "attempts": 2, "read_timeout": 2, "max_inline_wait": 2}
        fields = {"conn_type": "gateway", "host": known.address, "password": "t0ken-of-the-test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(fields))
        yield known


@pytest.fixture
def hook(at: Github) -> Iterator[GatewayHook]:
    with GatewayHook() as hook:
        yield hook


def workflow(**fields: Any) -> GithubWorkflow:
    """The protocol, behind the prefix of the test."""
    return GithubWorkflow(**{"repository": "octo-org/octo-repo", "workflow": "build.yml", "base": "/github", **fields})


def found_by_key(**fields: Any) -> GithubWorkflow:
    return workflow(key_input="airgate_key", **fields)


def submit(hook: GatewayHook, protocol: GithubWorkflow, key: str = KEY) -> JobHandle:
    return carry(protocol.submit(key), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


@pytest.mark.parametrize("version", ["2022-11-28", "2026-03-10"])
@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_workflow_is_dispatched_waited_for_and_gives_its_run(
    at: Github, tmp_path: Path, run: Any, version: str
) -> None:
    result = run(found_by_key(inputs={"tag": "v1", "fast": True, "n": 3}, api_version=version), tmp_path)
    made = at.only()
    assert made.inputs.pop("airgate_key") in made.title
    assert made.inputs == {"tag": "v1", "fast": "true", "n": "3"}
    assert result["run_id"] == made.id
    assert result["conclusion"] == "success"
    assert result["artifacts"] == ["Rails", "Test output"]
    assert len(result["head_sha"]) == 40
    assert not [request for request in at.requests if request.startswith("GET /workflows/")]


def test_a_run_shows_its_jobs_and_steps(at: Github, hook: GatewayHook) -> None:
    handle = submit(hook, workflow())
    first = look(hook, workflow().status(handle))
    assert (first.state, first.phase) == (JobState.RUNNING, "build / Check out")
    assert first.percent == 50.0
    assert look(hook, workflow().status(handle)).percent == pytest.approx(66.7, abs=0.1)
    assert str(at.only().id) in first.message


def test_a_deployment_that_waits_for_a_person_says_so(at: Github, hook: GatewayHook) -> None:
    handle = submit(hook, workflow())
    at.only().state, at.only().stays = "waiting", True
    status = look(hook, workflow().status(handle))
    assert status.state is JobState.RUNNING
    assert status.phase == "waiting for approval of the deployment to staging"


@pytest.mark.parametrize(
    ("conclusion", "state", "retryable"),
    [
        ("failure", "failed", True),
        ("timed_out", "failed", True),
        ("stale", "failed", True),
        ("startup_failure", "failed", False),
        ("action_required", "failed", False),
        ("skipped", "failed", False),
        ("cancelled", "cancelled", False),
    ],
)
def test_each_end_without_success_is_a_failure(
    at: Github, tmp_path: Path, conclusion: str, state: str, retryable: bool
) -> None:
    at.conclusion = conclusion
    with pytest.raises(JobFailed) as failed:
        run_here(workflow(), tmp_path)
    assert failed.value.state == state
    assert failed.value.retryable is retryable
    assert f"ended as {conclusion}" in failed.value.reason
    assert f"https://github.example/octo-org/octo-repo/actions/runs/{at.only().id}" in failed.value.reason


@pytest.mark.parametrize("conclusion", ["neutral", "skipped"])
def test_what_counts_as_success_can_be_said(at: Github, tmp_path: Path, conclusion: str) -> None:
    at.conclusion = conclusion
    assert run_deferred(workflow(accepts=["success", conclusion]), tmp_path)["conclusion"] == conclusion


def test_a_failure_names_job_and_step_and_follows_no_signed_address(at: Github, tmp_path: Path) -> None:
    at.conclusion = "failure"
    with pytest.raises(JobFailed) as failed:
        run_deferred(workflow(), tmp_path)
    assert ": build / Upload; see https://github.example/" in failed.value.reason
    assert failed.value.reason.endswith("/job/2")
    assert "GET /jobs/2/logs" in at.requests
    assert "s3cret" not in str(failed.value)


def test_a_log_that_the_gateway_gives_is_in_the_error(at: Github, tmp_path: Path) -> None:
    at.conclusion, at.log_here = "failure", "x" * 5000 + "\nerror: no chair is left\n"
    with pytest.raises(JobFailed) as failed:
        run_here(workflow(), tmp_path)
    assert failed.value.excerpt.endswith("error: no chair is left")
    assert len(failed.value.excerpt) == 2000


@pytest.mark.parametrize(("force", "verb"), [(False, "cancel-workflow-run"), (True, "force-cancel-workflow-run")])
def test_a_run_is_cancelled_once_and_twice(at: Github, hook: GatewayHook, force: bool, verb: str) -> None:
    protocol = workflow(force_cancel=force)
    handle = submit(hook, protocol)
    end(hook, protocol.cancel(handle))
    end(hook, protocol.cancel(handle))
    end(hook, protocol.cancel(JobHandle("404404")))
    assert at.only().cancels == [verb]
    assert look(hook, protocol.status(handle)).state is JobState.CANCELLED


def test_a_run_that_is_gone_is_not_found(at: Github, hook: GatewayHook) -> None:
    with pytest.raises(NotFound):
        look(hook, workflow().status(JobHandle("404404")))


def test_a_lost_answer_to_the_dispatch_makes_no_second_run(at: Github, tmp_path: Path) -> None:
    at.drop_answers = 1
    result = run_here(found_by_key(), tmp_path)
    assert result["run_id"] == at.only().id


def test_without_a_key_in_its_name_a_lost_dispatch_is_an_error(at: Github, tmp_path: Path) -> None:
    at.drop_answers = 1
    with pytest.raises(OutcomeUnknown) as unknown:
        run_here(workflow(), tmp_path)
    assert not unknown.value.retryable
    assert len(at.runs) == 1


def test_a_task_killed_with_the_answer_in_its_hands_finds_its_run(at: Github, tmp_path: Path) -> None:
    killed_before_the_handle(found_by_key(), tmp_path)
    assert len(at.runs) == 1
    assert run_here(found_by_key(), tmp_path)["run_id"] == at.only().id


def test_the_run_of_a_killed_task_that_is_not_tried_again_is_cancelled_by_others(at: Github, tmp_path: Path) -> None:
    """Also where it shows in the list only a little later; the inputs are not stored."""
    protocol = found_by_key(inputs={"tag": "of-the-test"})
    at.unseen = 2
    killed_before_the_handle(protocol, tmp_path)
    assert "of-the-test" not in str(order_of(tmp_path))
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    assert at.only().cancels == ["cancel-workflow-run"]


def test_a_server_that_names_no_run_is_searched_for_it(at: Github, tmp_path: Path) -> None:
    """As an Enterprise Server of today: 204, and the run shows in the list a little later."""
    at.knows_details, at.unseen = False, 2
    result = run_deferred(found_by_key(run_details=False), tmp_path)
    assert result["run_id"] == at.only().id
    assert not [request for request in at.requests if request == "GET /runs/9000"]


def test_a_run_that_does_not_show_yet_is_queued_and_cannot_be_cancelled(at: Github, hook: GatewayHook) -> None:
    at.knows_details, at.unseen = False, 1000
    protocol = found_by_key(run_details=False)
    handle = submit(hook, protocol)
    assert handle.id == f"dispatch {KEY}"
    assert look(hook, protocol.status(handle)).state is JobState.QUEUED
    with pytest.raises(Unavailable, match="cannot be cancelled before"):
        end(hook, protocol.cancel(handle))
    long_ago = JobHandle(handle.id, {**handle.data, "sent": time.time() - 3600})
    with pytest.raises(NotFound, match=r"run-name must show \$\{\{ inputs\.airgate_key \}\}"):
        look(hook, protocol.status(long_ago))
    at.only().unseen, at.only().stays = 0, True
    end(hook, protocol.cancel(handle))
    assert at.only().cancels == ["cancel-workflow-run"]


def test_a_server_that_does_not_know_run_details_is_explained(at: Github, tmp_path: Path) -> None:
    at.knows_details = False
    with pytest.raises(Unprocessable, match="set run_details=False and give key_input"):
        run_here(workflow(), tmp_path)
    assert not at.runs


def test_a_key_is_looked_for_in_all_pages(at: Github, hook: GatewayHook) -> None:
    first = submit(hook, found_by_key())
    at.runs |= {number: Run(number, f"Build {number:032}", {}, "main") for number in range(120)}
    assert look(hook, found_by_key().find(KEY)) == first
    assert look(hook, found_by_key().find("f" * 32)) is None


LIMITS = [
    ({"retry-after": "40"}, "You have exceeded a secondary rate limit.", 40),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "RESET"}, "API rate limit exceeded for user ID 1.", 90),
    ({}, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", 60),
]


def refused(headers: dict[str, str], message: str) -> tuple[int, Any, dict[str, str]]:
    reset = str(int(time.time()) + 91)
    return 403, {"message": message}, {name: value.replace("RESET", reset) for name, value in headers.items()}


@pytest.mark.parametrize(("headers", "message", "seconds"), LIMITS)
def test_a_limit_is_told_from_a_missing_permission(
    at: Github, hook: GatewayHook, headers: dict[str, str], message: str, seconds: float
) -> None:
    handle = submit(hook, workflow())
    at.refuse.append(refused(headers, message))
    with pytest.raises(RateLimited) as limited:
        look(hook, workflow().status(handle))
    assert limited.value.retry_after == pytest.approx(seconds, abs=2)
    assert message[:30] in str(limited.value)


def test_a_permission_that_is_missing_is_final(at: Github, hook: GatewayHook) -> None:
    at.refuse.append((403, {"message": "Resource not accessible by personal access token"}, {}))
    with pytest.raises(Unauthorized, match="Resource not accessible") as missing:
        look(hook, workflow().status(JobHandle("9000")))
    assert not missing.value.retryable


def test_a_dispatch_that_meets_a_limit_may_be_tried_again(at: Github, tmp_path: Path) -> None:
    at.refuse.append((403, {"message": "You have exceeded a secondary rate limit."}, {}))
    with pytest.raises(RateLimited) as limited:
        run_here(workflow(), tmp_path)
    assert limited.value.retryable
    assert limited.value.retry_after == 60
    assert run_here(workflow(), tmp_path)["run_id"] == at.only().id


def test_many_runs_are_looked_at_with_one_list(at: Github, hook: GatewayHook) -> None:
    handles = [submit(hook, workflow(), f"{number:032}") for number in range(10)]
    for run in at.runs.values():
        run.stays = True
    at.runs[9003].state = "in_progress"
    at.requests.clear()
    found = look(hook, workflow().statuses([*handles, JobHandle("404404")]))
    assert sorted(found) == sorted(handle.id for handle in handles)
    assert [each.state for each in found.values()].count(JobState.RUNNING) == 1
    assert at.requests == ["GET /runs", "GET /runs/9003/jobs"]
    assert found["9003"] == look(hook, workflow().status(handles[3]))


def test_triggers_of_one_gateway_share_their_looks(at: Github, hook: GatewayHook) -> None:
    """Ten waits, each to its end, cost less than a request a look."""
    from airgate.jobs.protocol import reference
    from airgate.triggers.job import JobTrigger, Waiting

    handles = [submit(hook, workflow(details=False), f"{number:032}") for number in range(10)]
    at.requests.clear()
    waiting = {
        "protocol": reference(workflow(details=False)),
        "started_at": time.time(),
        "shortest": 0.3,
        "longest": 0.3,
    }

    async def first(handle: JobHandle) -> Any:
        async for event in JobTrigger("gateway_default", Waiting(handle=handle.to_json(), **waiting)).run():
            return event.payload["status"]["state"]
        raise AssertionError("no event")

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(first, handles))

    assert asyncio.run(all_of_them()) == ["succeeded"] * 10
    assert at.requests.count("GET /runs") < 20
    assert "POST" not in "".join(at.requests)


def test_a_killed_task_cancels_its_run(at: Github, tmp_path: Path) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    at.stays = True
    with pytest.raises(TaskDeferred) as deferred:
        operator_of(workflow()).execute(context_of(tmp_path))
    asyncio.run(deferred.value.trigger.on_kill())
    assert at.only().cancels == ["cancel-workflow-run"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"repository": "octo-repo"}, "repository must be owner/name, not 'octo-repo'"),
        ({"workflow": ""}, "workflow is missing"),
        ({"workflow": ".github/workflows/build.yml"}, "must be the file's name alone"),
        ({"ref": ""}, "ref is missing"),
        ({"base": "github"}, "base must be a path behind the gateway that begins with /"),
        ({"accepts": "success"}, "accepts must be a list"),
        ({"run_details": False}, "give key_input"),
        ({"key_input": "my key"}, "key_input must be the name of an input"),
        ({"key_input": "k", "inputs": {"k": "1"}}, "inputs: 'k' is key_input"),
        ({"inputs": {"list": [1]}}, "inputs: 'list' must be a text, a number or a truth value, not a list"),
        ({"inputs": {str(n): "" for n in range(25)}, "key_input": "k"}, "GitHub takes 25 at most"),
        ({"inputs": ["a"]}, "inputs must be an object, not a list"),
    ],
)
def test_what_cannot_work_is_refused_while_the_dag_is_parsed(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="task 't': protocol: ") as refused:
        GatewayJobOperator(task_id="t", protocol=workflow(**fields))
    assert message in str(refused.value)


def test_templates_are_taken_on_trust() -> None:
    template = "{{ params.x }}"
    assert workflow(repository=template, workflow=template, inputs=template, base=template).problem() is None
