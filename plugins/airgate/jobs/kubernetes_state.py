"""What a Kubernetes Job and its pods say about how the work stands: pure readings of what the API server answers.

Checked against the batch/v1 and core/v1 APIs of Kubernetes 1.37: conditions of Jobs, states of containers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airgate.jobs.job import JobState, JobStatus

Object = Mapping[str, Any]
_STARTING = {"ContainerCreating", "PodInitializing", ""}
_CANNOT_RUN = {
    "ContainerCannotRun",
    "StartError",
    "CreateContainerError",
    "CreateContainerConfigError",
    "RunContainerError",
}
_COMMAND_NOT_FOUND = {126, 127}
_MAY_PASS = {"BackoffLimitExceeded", "FailedIndexes", "MaxFailedIndexesExceeded"}


def job_status(job: Object, pods: Sequence[Object] | None = None) -> JobStatus:
    """How a Job stands.

    Args:
        job: As the API server answered.
        pods: Its pods, where they were asked for: they tell why none has started.
    """
    over = outcome(job)
    if over is not None:
        state = JobState.SUCCEEDED if over["type"] == "Complete" else JobState.FAILED
        percent = 100.0 if state is JobState.SUCCEEDED else _percent(job)
        return JobStatus(state, percent, phase=_counts(job), message=_why(over) if state is JobState.FAILED else "")
    status, metadata = job.get("status") or {}, job.get("metadata") or {}
    active, failed = int(status.get("active") or 0), int(status.get("failed") or 0)
    state, phase, message = JobState.RUNNING, _counts(job), ""
    if metadata.get("deletionTimestamp"):
        phase = "being deleted"
    elif ending := _condition(job, "FailureTarget"):
        phase, message = "failing, its pods are being ended", _why(ending)
    elif _condition(job, "SuccessCriteriaMet"):
        phase = "succeeding, its pods are being ended"
    elif held := _condition(job, "Suspended"):
        state, phase, message = JobState.QUEUED, "suspended", str(held.get("message") or "")
    elif not int(status.get("ready") or 0):
        trouble = next((each for each in map(_trouble, pods or ()) if each), None)
        state = JobState.RUNNING if failed or status.get("succeeded") or _any_runs(pods or ()) else JobState.QUEUED
        if trouble is not None:
            phase, message = trouble
        elif not active and failed:
            phase = f"{phase}, waits before the next pod"
    return JobStatus(state, _percent(job), phase=phase, message=message)


def owned(pods: Iterable[Object], uid: str) -> list[Object]:
    """The pods that the Job of a uid owns."""
    return [
        pod for pod in pods if any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences") or [])
    ]


def has_no_pod_ready(job: Object) -> bool:
    """Whether the pods are worth a look: the Job wants some, and none is ready."""
    status = job.get("status") or {}
    return outcome(job) is None and bool(status.get("active")) and not status.get("ready")


def outcome(job: Object) -> dict[str, Any] | None:
    """The condition that ended the Job, None while there is none."""
    return _condition(job, "Complete") or _condition(job, "Failed")


def summary(job: Object) -> dict[str, Any]:
    """What a Job came to, as JSON."""
    status, metadata = job.get("status") or {}, job["metadata"]
    return {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "succeeded": int(status.get("succeeded") or 0),
        "failed": int(status.get("failed") or 0),
        "started_at": status.get("startTime"),
        "completed_at": status.get("completionTime"),
        "seconds": _seconds(status.get("startTime"), status.get("completionTime")),
    }


def completions(job: Object) -> int:
    """How many pods must succeed."""
    return int((job.get("spec") or {}).get("completions") or 1)


@dataclass(frozen=True, slots=True)
class Culprit:
    """The container that a failure is put down to."""

    pod: str
    container: str
    why: str
    previous: bool = False
    """Whether its log is that of the run before the present one."""
    runnable: bool = True
    """Whether it could run at all: what cannot will not at the next try either."""


def culprit(pods: Iterable[Object]) -> Culprit | None:
    """The container that failed last, None where no pod tells."""
    found = [(when, each) for pod in pods for when, each in _failures(pod)]
    return max(found, key=lambda each: each[0])[1] if found else None


def succeeded(pods: Iterable[Object]) -> list[Object]:
    """Pods that ended well, by completion index, else in the order in which they were made."""
    ended = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    return sorted(ended, key=lambda pod: (_index(pod), str(pod["metadata"].get("creationTimestamp", ""))))


def logged_container(pod: Object, wanted: str = "") -> str:
    """The container whose log is a pod's: the one that is named, else the pod's default or first."""
    named = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    return wanted or named or str(pod["spec"]["containers"][0]["name"])


def may_pass(failed: Object, cause: Culprit | None) -> bool:
    """Whether another Job may succeed where this one failed.

    A pod that ended badly may do better, and one that could not even be started will not. A deadline is the author's
    own (``activeDeadlineSeconds``), and a pod failure policy says in so many words that the failure is final.
    """
    return failed.get("reason") in _MAY_PASS and (cause is None or cause.runnable)


def _condition(job: Object, kind: str) -> dict[str, Any] | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and each.get("status") == "True"), None)


def _why(condition: Object) -> str:
    return ": ".join(str(condition[name]) for name in ("reason", "message") if condition.get(name))


def why_failed(job: Object) -> str:
    """Reason and message of the Failed condition."""
    return _why(_condition(job, "Failed") or {})


def _percent(job: Object) -> float | None:
    wanted = completions(job)
    return None if wanted < 2 else min(100.0, 100.0 * int((job.get("status") or {}).get("succeeded") or 0) / wanted)


def _counts(job: Object) -> str:
    status, wanted = job.get("status") or {}, completions(job)
    done = f"{int(status.get('succeeded') or 0)} of {wanted} succeeded" if wanted > 1 else ""
    counts = [f"{int(status[name])} {name}" for name in ("active", "ready", "failed") if status.get(name)]
    return ", ".join([*counts, *([done] if done else [])])


def _trouble(pod: Object) -> tuple[str, str] | None:
    """Why a pod does not start: a word and its explanation."""
    status = pod.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (each.get("state") or {}).get("waiting") or {}
        if (reason := str(waiting.get("reason") or "")) not in _STARTING:
            return reason, f"container {each.get('name')}: {waiting.get('message') or reason}"
    for each in status.get("conditions") or []:
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return str(each.get("reason") or "Unschedulable"), str(each.get("message") or "")
    return None


def _any_runs(pods: Iterable[Object]) -> bool:
    return any((pod.get("status") or {}).get("phase") == "Running" for pod in pods)


def _failures(pod: Object) -> list[tuple[str, Culprit]]:
    """Containers of a pod that failed, with the time at which they did."""
    status, name = pod.get("status") or {}, str(pod["metadata"]["name"])
    found = []
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        container, state = str(each.get("name")), each.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        last = (each.get("lastState") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            found.append((str(ended.get("finishedAt") or ""), _ended(name, container, ended)))
        elif not ended and last and last.get("exitCode"):
            found.append((str(last.get("finishedAt") or ""), _ended(name, container, last, previous=True)))
        elif (reason := str(waiting.get("reason") or "")) not in _STARTING:
            why = f"container {container} of pod {name} did not start: {reason}: {waiting.get('message') or ''}"
            found.append(("", Culprit(name, container, why.rstrip(": "), runnable=reason not in _CANNOT_RUN)))
    if not found and status.get("phase") == "Failed":  # such as an evicted one, whose containers tell nothing
        why = f"pod {name}: {status.get('reason') or 'failed'}: {status.get('message') or ''}"
        found.append(("", Culprit(name, logged_container(pod), why.rstrip(": "))))
    return found


def _ended(pod: str, container: str, ended: Object, *, previous: bool = False) -> Culprit:
    code, reason = int(ended["exitCode"]), str(ended.get("reason") or "")
    told = ", ".join(part for part in ("" if reason == "Error" else reason, str(ended.get("message") or "")) if part)
    why = f"container {container} of pod {pod} exited with {code}" + (f" ({told})" if told else "")
    runnable = reason not in _CANNOT_RUN and code not in _COMMAND_NOT_FOUND
    return Culprit(pod, container, why, previous, runnable)


def _index(pod: Object) -> int:
    return int((pod["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index") or 0)


def _seconds(start: Any, end: Any) -> float | None:
    if not isinstance(start, str) or not isinstance(end, str):
        return None
    return (dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(start)).total_seconds()
