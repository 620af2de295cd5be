"""Jobs of Kubernetes: on a stub that holds requests and answers against the published schemas of 1.37."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import JobHandle, JobState, JobStatus
from airgate.jobs.kubernetes import KubernetesJob
from airgate.jobs.talk import carry
from airgate.policy.errors import Conflict, JobFailed, NotFound, Rejected, Unauthorized, Unavailable
from tests.jobs.kubernetes_server import ApiServerStub, kubernetes
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
def api() -> Iterator[ApiServerStub]:
    with kubernetes() as stub:
        yield stub
        assert stub.faults == []


@pytest.fixture
def hook(api: ApiServerStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayHook]:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", api.connection())
    with GatewayHook() as hook:
        yield hook


def submit(hook: GatewayHook, protocol: KubernetesJob, key: str = KEY) -> JobHandle:
    return carry(protocol.submit(key), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


def until(hook: GatewayHook, protocol: KubernetesJob, handle: JobHandle, state: JobState, phase: str = "") -> JobStatus:
    for _ in range(300):
        status = look(hook, protocol.status(handle))
        if status.state is state and phase in status.phase:
            return status
        time.sleep(0.05)
    raise AssertionError(f"{handle.id} never was {state} {phase}: {status}")


def manifest(image: str, **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "labels": {"team": "flights"}},
        "spec": {"template": {"metadata": {"labels": {"team": "flights"}}, "spec": pod}, **spec},
    }


def test_a_job_of_an_image_is_submitted_waited_for_and_summed_up(
    api: ApiServerStub, hook: GatewayHook, tmp_path: Path
) -> None:
    env = {"MODE": "full", "LIMIT": 3, "DRY": False, "PASSWORD": {"secretKeyRef": {"name": "database", "key": "pw"}}}
    protocol = KubernetesJob("flights", image="ok", command=["python"], args=["-m", "load"], env=env, name="load")
    came = run_deferred(protocol, tmp_path)
    assert came["namespace"] == "flights"
    assert (came["succeeded"], came["failed"]) == (1, 0)
    body = api.cluster.jobs("flights")[0].body
    assert body["metadata"]["name"] == came["name"]
    assert came["name"].startswith("load-")
    assert len(came["name"]) == len("load-") + 12
    container = body["spec"]["template"]["spec"]["containers"][0]
    assert [each.get("value") for each in container["env"]] == ["full", "3", "false", None]
    assert body["spec"]["backoffLimit"] == 0
    assert body["spec"]["ttlSecondsAfterFinished"] == 86_400


@pytest.mark.parametrize(("image", "came"), [("ok", {"rows": 42}), ("text", "all 42 rows written")])
def test_the_last_line_of_the_log_is_the_result(hook: GatewayHook, tmp_path: Path, image: str, came: object) -> None:
    assert run_here(KubernetesJob(manifest=manifest(image), output="log"), tmp_path) == came


def test_several_completions_give_a_list_and_a_percentage(hook: GatewayHook) -> None:
    """The API server gives the pods in pages."""
    protocol = KubernetesJob(manifest=manifest("ok", completions=5, parallelism=1), output="log")
    handle = submit(hook, protocol)
    until(hook, protocol, handle, JobState.RUNNING, "2 of 5 succeeded")
    assert look(hook, protocol.status(handle)).percent in {40.0, 60.0}
    until(hook, protocol, handle, JobState.SUCCEEDED)
    assert look(hook, protocol.result(handle)) == [{"rows": 42}] * 5


def test_a_failed_job_tells_reason_exit_code_and_the_end_of_the_log(
    api: ApiServerStub, hook: GatewayHook, tmp_path: Path
) -> None:
    with pytest.raises(JobFailed) as failed:
        run_deferred(KubernetesJob(image="fails"), tmp_path)
    told = failed.value
    assert "BackoffLimitExceeded: Job has reached the specified backoff limit" in told.reason
    assert "exited with 3" in told.reason
    lines = told.excerpt.splitlines()
    assert lines[-1] == "KeyError: 'carrier'"
    assert len(lines) == 50
    assert told.retryable
    assert told.job.startswith("default/airgate-")


FAILURES: list[tuple[dict[str, Any], str, bool]] = [
    ({"manifest": manifest("oom", backoffLimit=1)}, r"BackoffLimitExceeded.* exited with 137 \(OOMKilled\)", True),
    ({"image": "mistyped"}, "BackoffLimitExceeded.*ContainerCannotRun", False),
    ({"image": "slow", "active_deadline_seconds": 1}, "DeadlineExceeded: Job was active longer", False),
    (
        {
            "manifest": manifest(
                "fails",
                podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]},
            )
        },
        "PodFailurePolicy.*exited with 3",
        False,
    ),
]


@pytest.mark.parametrize(("fields", "told", "retryable"), FAILURES)
def test_why_it_failed_says_whether_another_job_may_succeed(
    hook: GatewayHook, tmp_path: Path, fields: dict[str, Any], told: str, retryable: bool
) -> None:
    with pytest.raises(JobFailed, match=told) as failed:
        run_here(KubernetesJob(**fields), tmp_path)
    assert failed.value.retryable is retryable


STUCK = [
    ("absent", "ImagePullBackOff", 'container main: Back-off pulling image "absent"'),
    ("keyless", "CreateContainerConfigError", 'container main: secret "database" not found'),
    ("huge", "Unschedulable", "0/3 nodes are available"),
]


@pytest.mark.parametrize(("image", "phase", "message"), STUCK)
def test_pods_that_do_not_start_say_why(hook: GatewayHook, image: str, phase: str, message: str) -> None:
    protocol = KubernetesJob(image=image)
    status = until(hook, protocol, submit(hook, protocol), JobState.QUEUED, phase)
    assert status.message.startswith(message)


def test_a_suspended_job_waits(hook: GatewayHook) -> None:
    """As one does that a queue such as Kueue holds back."""
    protocol = KubernetesJob(manifest=manifest("ok", suspend=True))
    assert until(hook, protocol, submit(hook, protocol), JobState.QUEUED).phase == "suspended"


def test_the_same_key_is_the_same_job(api: ApiServerStub, hook: GatewayHook) -> None:
    protocol = KubernetesJob(image="ok")
    handle = submit(hook, protocol)
    assert submit(hook, protocol) == handle
    assert submit(hook, protocol, "another") != handle
    until(hook, protocol, handle, JobState.SUCCEEDED)
    assert submit(hook, protocol) == handle
    assert api.cluster.created == 2


def test_another_manifest_under_the_same_key_is_refused(api: ApiServerStub, hook: GatewayHook) -> None:
    submit(hook, KubernetesJob(image="ok"))
    with pytest.raises(Conflict, match="another manifest"):
        submit(hook, KubernetesJob(image="text"))
    assert api.cluster.created == 1


def test_a_job_of_somebody_else_is_left_alone(api: ApiServerStub, hook: GatewayHook) -> None:
    protocol = KubernetesJob(image="ok")
    handle = submit(hook, protocol)
    job = api.cluster.jobs("default")[0]
    job.body["metadata"]["labels"] = {}
    with pytest.raises(Conflict, match="not this task's"):
        submit(hook, protocol)
    assert look(hook, protocol.find(KEY)) is None
    job.body["metadata"]["uid"] = "born-again"
    with pytest.raises(NotFound, match="another one has its name"):
        look(hook, protocol.status(handle))


def test_a_task_killed_before_it_stored_the_handle_goes_on_with_the_same_job(
    api: ApiServerStub, hook: GatewayHook, tmp_path: Path
) -> None:
    protocol = KubernetesJob(image="ok", output="log")
    killed_before_the_handle(protocol, tmp_path)
    assert run_here(protocol, tmp_path) == {"rows": 42}
    assert api.cluster.created == 1


@pytest.mark.parametrize("fields", [{"image": "slow", "name": "load"}, {"manifest": manifest("slow")}])
def test_the_job_of_a_killed_task_that_is_not_tried_again_is_ended_by_others(
    api: ApiServerStub, hook: GatewayHook, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Its name follows from the key and from what it begins with; the manifest is not stored."""
    protocol = KubernetesJob("flights", **fields)
    killed_before_the_handle(protocol, tmp_path)
    assert "containers" not in str(order_of(tmp_path))
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    assert (api.cluster.created, api.asked.count("delete_job")) == (1, 1)


def test_a_cancelled_job_is_gone_only_when_its_pods_are(api: ApiServerStub, hook: GatewayHook) -> None:
    protocol = KubernetesJob(image="slow")
    handle = submit(hook, protocol)
    until(hook, protocol, handle, JobState.RUNNING, "ready")
    for _ in range(2):
        end(hook, protocol.cancel(handle))
    with pytest.raises(Unavailable, match="being deleted"):
        submit(hook, protocol)
    while api.cluster.jobs("default"):
        assert look(hook, protocol.status(handle)).phase == "being deleted"
        time.sleep(0.05)
        api.cluster.step()
    with pytest.raises(NotFound, match="deleted"):
        look(hook, protocol.status(handle))
    assert api.cluster.running() == 0
    end(hook, protocol.cancel(handle))
    assert api.asked.count("delete_job") == 1


def test_a_job_that_is_over_keeps_its_log_when_it_is_cancelled(api: ApiServerStub, hook: GatewayHook) -> None:
    protocol = KubernetesJob(image="ok", output="log")
    handle = submit(hook, protocol)
    until(hook, protocol, handle, JobState.SUCCEEDED)
    end(hook, protocol.cancel(handle))
    assert look(hook, protocol.result(handle)) == {"rows": 42}
    assert "delete_job" not in api.asked


def test_a_job_is_found_by_its_key_and_missed_when_it_has_vanished(api: ApiServerStub, hook: GatewayHook) -> None:
    protocol = KubernetesJob(image="ok")
    assert look(hook, protocol.find(KEY)) is None
    handle = submit(hook, protocol)
    assert look(hook, protocol.find(KEY)) == handle
    until(hook, protocol, handle, JobState.SUCCEEDED)
    api.cluster.expire()
    with pytest.raises(NotFound, match="ttlSecondsAfterFinished"):
        look(hook, protocol.status(handle))
    with pytest.raises(NotFound):
        look(hook, protocol.result(handle))


def test_a_job_that_runs_already_is_adopted_by_its_name(hook: GatewayHook, tmp_path: Path) -> None:
    handle = submit(hook, KubernetesJob("flights", image="ok"))
    name = handle.id.rpartition("/")[2]
    for number, (protocol, job) in enumerate(
        [(KubernetesJob("flights", output="log"), name), (KubernetesJob(output="log"), handle.id)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert run_here(protocol, folder, job=job) == {"rows": 42}


def test_many_jobs_are_looked_at_in_one_list(api: ApiServerStub, hook: GatewayHook) -> None:
    """And a second one for the pods of those that have not started."""
    handles = {
        image: submit(hook, KubernetesJob(image=image), image) for image in ("ok", "fails", "slow", "absent", "huge")
    }
    gone = JobHandle("default/gone", {"uid": "gone", "key": "gone"})
    protocol = KubernetesJob()  # the triggerer knows namespace and base only
    time.sleep(0.6)
    api.asked.clear()
    found = look(hook, protocol.statuses([*handles.values(), gone, JobHandle("default/by-name")]))
    assert {image: found[handle.id].state.value for image, handle in handles.items()} == {
        "ok": "succeeded",
        "fails": "failed",
        "slow": "running",
        "absent": "queued",
        "huge": "queued",
    }
    assert found[handles["absent"].id].phase == "ImagePullBackOff"
    assert found[handles["huge"].id].phase == "Unschedulable"
    assert set(found) == {handle.id for handle in handles.values()}
    assert api.asked == ["list_jobs"] * 3 + ["list_pods"]  # in the stub's pages of two
    for handle in handles.values():
        assert found[handle.id] == look(hook, protocol.status(handle))


def test_what_the_schema_does_not_know_is_refused_by_the_server(hook: GatewayHook) -> None:
    """A misspelt field would be dropped in silence without fieldValidation=Strict."""
    wrong = manifest("ok", backofLimit=3)
    with pytest.raises(Rejected, match="backofLimit"):
        submit(hook, KubernetesJob(manifest=wrong))


def test_an_account_without_permission_is_told(api: ApiServerStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", api.connection(auth="none"))
    with GatewayHook() as hook, pytest.raises(Unauthorized):
        submit(hook, KubernetesJob(image="ok"))


def test_a_short_time_to_live_is_warned_of(hook: GatewayHook, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        submit(hook, KubernetesJob(image="ok", ttl_seconds_after_finished=120))
    assert "deleted 120 s after its end may be gone" in caplog.text


def test_the_manifest_is_left_as_it_was(hook: GatewayHook) -> None:
    given = manifest("ok")
    before = json.dumps(given)
    submit(hook, KubernetesJob(manifest=given))
    assert json.dumps(given) == before


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({}, "give either image, or the manifest"),
    ({"image": "ok", "manifest": manifest("ok")}, "give either image, or the manifest"),
    ({"image": "ok", "namespace": "No_Such"}, "namespace must be at most 63"),
    ({"image": "ok", "name": "a" * 51}, "name must be at most 50"),
    ({"image": "ok", "name": "trailing-"}, "name must be at most 50"),
    ({"image": "ok", "command": "python -m load"}, "must be lists"),
    ({"image": "ok", "env": {"1=2": "x"}}, "env: '1=2' is no name"),
    ({"image": "ok", "env": {"A": ["x"]}}, "env: A must be text"),
    ({"image": "ok", "output": "xcom"}, "output must be 'log' or None"),
    ({"image": "ok", "backoff_limit": -1}, "backoff_limit must be 0 or more"),
    ({"image": "ok", "active_deadline_seconds": 0}, "active_deadline_seconds must be 1 or more"),
    ({"image": "ok", "ttl_seconds_after_finished": 0}, "must be at least 60"),
    ({"manifest": manifest("ok", ttlSecondsAfterFinished=5)}, "must be at least 60"),
    ({"manifest": manifest("ok", ttlSecondsAfterFinished="5")}, "must be a number"),
    ({"manifest": manifest("ok", completions=101), "output": "log"}, "reads at most 100 logs"),
    ({"manifest": "kind: Job"}, "manifest must be a dict"),
    ({"manifest": {"kind": "CronJob"}}, "manifest must be a Job"),
    ({"manifest": {"spec": []}}, "containers is missing"),
    ({"manifest": {**manifest("ok"), "metadata": {"generateName": "x-"}}}, "generateName"),
    ({"manifest": {**manifest("ok"), "metadata": {"namespace": "other"}}}, "metadata.namespace is 'other'"),
    ({"manifest": manifest("ok"), "env": {"A": "x"}}, "belong to image"),
    (
        {"manifest": {"spec": {"template": {"spec": {"containers": [{}], "restartPolicy": "Always"}}}}},
        "restartPolicy must be Never or OnFailure",
    ),
]


@pytest.mark.parametrize(("fields", "told"), PROBLEMS)
def test_what_cannot_work_is_refused_while_the_dag_is_parsed(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        operator_of(KubernetesJob(**fields))


def test_templates_are_let_pass() -> None:
    operator_of(KubernetesJob("{{ params.space }}", image="{{ params.image }}", name="{{ ds_nodash }}"))
    operator_of(KubernetesJob(manifest="{{ params.manifest }}"))


def test_the_api_server_may_stand_below_a_path_of_the_gateway() -> None:
    ask = next(KubernetesJob("flights", base="/clusters/north").status(JobHandle("flights/j")))
    assert ask.path == "/clusters/north/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
    assert ask.path_params == {"namespace": "flights", "name": "j"}


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_cleared_task_ends_the_job_before_it_submits_another(
    api: ApiServerStub, hook: GatewayHook, tmp_path: Path, run: Any
) -> None:
    """A Job that is cancelled is gone, with its pods, when it is over."""
    first = operator_of(KubernetesJob(image="slow"), wait=False).execute(context_of(tmp_path))
    assert api.cluster.running() == 1
    state = json.loads((tmp_path / "state.json").read_text())
    state["airgate.job"]["max_tries"] -= 1  # as if the task had been cleared since
    (tmp_path / "state.json").write_text(json.dumps(state))
    came = run(KubernetesJob(image="ok"), tmp_path)
    assert came["name"] != first["id"].rpartition("/")[2]
    assert api.cluster.running() == 0
    assert api.cluster.created == 2
