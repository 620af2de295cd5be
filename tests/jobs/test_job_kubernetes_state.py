"""What Jobs and pods of Kubernetes say, read from examples of each shape that the API has."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.jobs import JobState
from airgate.jobs.kubernetes_manifest import job_name, label_of, marked
from airgate.jobs.kubernetes_state import culprit, job_status, logged_container, may_pass, summary
from tests.jobs.kubernetes_schemas import problem_of


def job(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i"}]}}
    made = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "n"},
        "spec": {"template": template, **spec},
        "status": status,
    }
    assert problem_of("io.k8s.api.batch.v1.Job", made) is None
    return made


def pod(phase: str, *containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    shown = [{"image": "i", "imageID": "", "ready": False, "restartCount": 0, **each} for each in containers]
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "first"}, {"name": "main"}]},
        "status": {"phase": phase, "containerStatuses": shown, **status},
    }
    assert problem_of("io.k8s.api.core.v1.Pod", made) is None
    return made


def condition(kind: str, reason: str = "", message: str = "", status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def ended(code: int, at: str = "2026-01-01T00:00:00Z", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "finishedAt": at, "reason": reason}}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


STATUSES: list[tuple[dict[str, Any], dict[str, Any], JobState, float | None, str, str]] = [
    ({}, {}, JobState.QUEUED, None, "", ""),
    ({"active": 1, "ready": 0}, {}, JobState.QUEUED, None, "1 active", ""),
    ({"active": 1, "ready": 1}, {}, JobState.RUNNING, None, "1 active, 1 ready", ""),
    ({"failed": 1}, {"backoffLimit": 3}, JobState.RUNNING, None, "1 failed, waits before the next pod", ""),
    (
        {"active": 2, "ready": 2, "succeeded": 1},
        {"completions": 4},
        JobState.RUNNING,
        25.0,
        "2 active, 2 ready, 1 of 4 succeeded",
        "",
    ),
    (
        {"conditions": [condition("Suspended", "JobSuspended", "Job suspended")]},
        {"suspend": True},
        JobState.QUEUED,
        None,
        "suspended",
        "Job suspended",
    ),
    (
        {"active": 1, "ready": 1, "conditions": [condition("Suspended", status="False")]},
        {},
        JobState.RUNNING,
        None,
        "1 active, 1 ready",
        "",
    ),
    (
        {"active": 1, "conditions": [condition("SuccessCriteriaMet", "SuccessPolicy")]},
        {},
        JobState.RUNNING,
        None,
        "succeeding, its pods are being ended",
        "",
    ),
    (
        {"active": 1, "failed": 1, "conditions": [condition("FailureTarget", "PodFailurePolicy", "exit 3")]},
        {},
        JobState.RUNNING,
        None,
        "failing, its pods are being ended",
        "PodFailurePolicy: exit 3",
    ),
    ({"succeeded": 1, "conditions": [condition("Complete")]}, {}, JobState.SUCCEEDED, 100.0, "", ""),
    (
        {"failed": 1, "conditions": [condition("Failed", "DeadlineExceeded", "too long")]},
        {},
        JobState.FAILED,
        None,
        "1 failed",
        "DeadlineExceeded: too long",
    ),
]


@pytest.mark.parametrize(("status", "spec", "state", "percent", "phase", "message"), STATUSES)
def test_a_status_is_read_from_counts_and_conditions(
    status: dict[str, Any], spec: dict[str, Any], state: JobState, percent: float | None, phase: str, message: str
) -> None:
    read = job_status(job(status, **spec))
    assert (read.state, read.percent, read.phase, read.message) == (state, percent, phase, message)


def test_a_pod_that_crashes_again_and_again_runs_and_says_so() -> None:
    crashing = pod("Running", {"name": "main", "state": waits("CrashLoopBackOff", "back-off 10s")})
    read = job_status(job({"active": 1, "ready": 0}), [crashing])
    assert (read.state, read.phase) == (JobState.RUNNING, "CrashLoopBackOff")


CULPRITS: list[tuple[list[dict[str, Any]], tuple[str, bool, bool, str] | None]] = [
    ([], None),
    ([pod("Succeeded", {"name": "main", "state": ended(0)})], None),
    ([pod("Pending", {"name": "main", "state": waits("ContainerCreating")})], None),
    (
        [pod("Failed", {"name": "first", "state": ended(0)}, {"name": "main", "state": ended(3)})],
        ("main", False, True, "exited with 3"),
    ),
    (
        [
            pod(
                "Failed",
                {"name": "first", "state": ended(1, "2026-01-01T00:00:09Z")},
                {"name": "main", "state": ended(2, "2026-01-01T00:00:05Z")},
            )
        ],
        ("first", False, True, "exited with 1"),
    ),
    (
        [
            pod(
                "Running",
                {"name": "main", "state": waits("CrashLoopBackOff"), "lastState": ended(137, reason="OOMKilled")},
            )
        ],
        ("main", True, True, "exited with 137 (OOMKilled)"),
    ),
    (
        [pod("Failed", {"name": "main", "state": ended(128, reason="StartError")})],
        ("main", False, False, "exited with 128 (StartError)"),
    ),
    (
        [pod("Pending", {"name": "main", "state": waits("CreateContainerConfigError", "no secret")})],
        ("main", False, False, "did not start: CreateContainerConfigError: no secret"),
    ),
    (
        [pod("Pending", {"name": "main", "state": waits("ImagePullBackOff")})],
        ("main", False, True, "did not start: ImagePullBackOff"),
    ),
    (
        [pod("Failed", reason="Evicted", message="The node was low on memory.")],
        ("first", False, True, "pod p: Evicted: The node was low on memory."),
    ),
]


@pytest.mark.parametrize(("pods", "expected"), CULPRITS)
def test_a_failure_is_put_down_to_the_container_that_failed_last(
    pods: list[dict[str, Any]], expected: tuple[str, bool, bool, str] | None
) -> None:
    found = culprit(pods)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.container, found.previous, found.runnable) == expected[:3]
    assert found.why.endswith(expected[3])


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("BackoffLimitExceeded", True),
        ("FailedIndexes", True),
        ("MaxFailedIndexesExceeded", True),
        ("DeadlineExceeded", False),
        ("PodFailurePolicy", False),
        ("", False),
    ],
)
def test_a_pod_that_failed_may_do_better_and_a_limit_of_the_author_holds(reason: str, passes: bool) -> None:
    assert may_pass(condition("Failed", reason), None) is passes


def test_the_log_is_that_of_the_default_container() -> None:
    two = pod("Succeeded")
    assert logged_container(two) == "first"
    two["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "main"}
    assert logged_container(two) == "main"
    assert logged_container(two, "other") == "other"


def test_a_summary_tells_how_long_it_took() -> None:
    times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:30Z"}
    assert summary(job({**times, "succeeded": 1}))["seconds"] == 90.0
    assert summary(job({}))["seconds"] is None


def test_names_and_labels_stay_within_the_limits_of_the_api() -> None:
    key = "any key: however long, and of whatever characters " * 5
    made = marked(job({}), "a" * 50, "n", key)
    assert len(made["metadata"]["name"]) == 63
    assert len(label_of(key)) == 63
    assert label_of("0123456789abcdef") == "0123456789abcdef"
    assert job_name("a", key) != job_name("a", f"{key}.")
    assert problem_of("io.k8s.api.batch.v1.Job", made) is None
