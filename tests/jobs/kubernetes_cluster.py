"""Jobs and pods of a cluster that is none: a stub of Kubernetes' Job controller, scheduler and kubelet.

Built from the published API schemas and the documentation of Jobs. What a container does is said by its image; time
runs by the clock, and everything is as old as the last look at it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

STARTS_AFTER = 0.15
FOREGROUND = 0.3
"""Seconds that the pods of a deleted Job take to end."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the containers of an image do."""

    seconds: float = 0.2
    exit_code: int = 0
    reason: str = ""
    log: str = "hello\n"
    waiting: tuple[str, str] | None = None
    """Why a container never starts."""
    unschedulable: str = ""


BEHAVIOURS = {
    "ok": Behaviour(log='reading\n{"rows": 42}\n\n'),
    "text": Behaviour(log="reading\nall 42 rows written\n"),
    "fails": Behaviour(exit_code=3, log="".join(f"line {n}\n" for n in range(100)) + "KeyError: 'carrier'\n"),
    "oom": Behaviour(exit_code=137, reason="OOMKilled", log="much to remember\n"),
    "mistyped": Behaviour(exit_code=127, reason="ContainerCannotRun", log="no such file: trian.py\n"),
    "slow": Behaviour(seconds=600.0),
    "absent": Behaviour(waiting=("ImagePullBackOff", 'Back-off pulling image "absent"')),
    "keyless": Behaviour(waiting=("CreateContainerConfigError", 'secret "database" not found')),
    "huge": Behaviour(unschedulable="0/3 nodes are available: 3 Insufficient memory."),
}


def stamp(at: float) -> str:
    """A Unix time as the API writes it."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Pod:
    """One pod, with one container."""

    name: str
    job: dict[str, Any]
    born: float
    index: int
    image: str

    @property
    def does(self) -> Behaviour:
        """What its container does."""
        return BEHAVIOURS[self.image]

    @property
    def stuck(self) -> bool:
        """Whether it never starts."""
        return bool(self.does.waiting or self.does.unschedulable)

    def phase(self, now: float) -> str:
        """Of its life."""
        age = now - self.born
        if self.stuck or age < STARTS_AFTER:
            return "Pending"
        if age < STARTS_AFTER + self.does.seconds:
            return "Running"
        return "Failed" if self.does.exit_code else "Succeeded"

    def to_json(self, now: float) -> dict[str, Any]:
        """As the API shows it."""
        phase, container = self.phase(now), self.job["spec"]["template"]["spec"]["containers"][0]
        state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        if self.does.waiting:
            state = {"waiting": {"reason": self.does.waiting[0], "message": self.does.waiting[1]}}
        elif phase == "Running":
            state = {"running": {"startedAt": stamp(self.born)}}
        elif phase in {"Failed", "Succeeded"}:
            reason = self.does.reason or ("Error" if self.does.exit_code else "Completed")
            ended = {"startedAt": stamp(self.born), "finishedAt": stamp(self.born + self.does.seconds)}
            state = {"terminated": {"exitCode": self.does.exit_code, "reason": reason, **ended}}
        scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True"}
        if self.does.unschedulable:
            scheduled = {**scheduled, "status": "False", "reason": "Unschedulable", "message": self.does.unschedulable}
        status: dict[str, Any] = {"phase": phase, "conditions": [scheduled]}
        if not self.does.unschedulable:
            shown = {"name": container["name"], "image": self.image, "imageID": "", "restartCount": 0}
            status["containerStatuses"] = [{**shown, "ready": phase == "Running", "state": state}]
        metadata = self.job["metadata"]
        template = self.job["spec"]["template"].get("metadata") or {}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": metadata["namespace"],
                "uid": self.name,
                "creationTimestamp": stamp(self.born),
                "labels": {**(template.get("labels") or {}), "batch.kubernetes.io/job-name": metadata["name"]},
                "annotations": {"batch.kubernetes.io/job-completion-index": str(self.index)},
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            },
            "spec": self.job["spec"]["template"]["spec"],
            "status": status,
        }


@dataclass
class Job:
    """One Job with its pods."""

    body: dict[str, Any]
    born: float
    pods: list[Pod] = field(default_factory=list)
    deleted: float | None = None
    ended: tuple[str, str, str, float] | None = None
    """Type, reason, message and time of the last condition."""

    @property
    def wanted(self) -> int:
        """How many pods must succeed."""
        return int(self.body["spec"].get("completions", 1))

    def counts(self, now: float) -> dict[str, int]:
        """Pods by phase."""
        phases = [pod.phase(now) for pod in self.pods]
        return {phase: phases.count(phase) for phase in ("Pending", "Running", "Succeeded", "Failed")}

    def step(self, now: float, number: Any) -> None:
        """Do what the controller does: count, end, or start pods."""
        spec = self.body["spec"]
        if self.ended or self.deleted is not None or spec.get("suspend"):
            return
        counts = self.counts(now)
        deadline = spec.get("activeDeadlineSeconds")
        if counts["Succeeded"] >= self.wanted:
            self._end("Complete", "CompletionsReached", "Reached expected number of succeeded pods", now)
        elif self._final(now):
            self._end("Failed", "PodFailurePolicy", "Container main failed with exit code matching FailJob rule", now)
        elif counts["Failed"] > spec.get("backoffLimit", 6):
            self._end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", now)
        elif deadline is not None and now - self.born >= deadline:
            self.pods = [pod for pod in self.pods if pod.phase(now) in {"Succeeded", "Failed"}]
            self._end("Failed", "DeadlineExceeded", "Job was active longer than specified deadline", now)
        else:
            busy = counts["Pending"] + counts["Running"]
            room = min(spec.get("parallelism", 1), self.wanted - counts["Succeeded"]) - busy
            for _ in range(room):
                self._start(now, next(number))

    def to_json(self, now: float) -> dict[str, Any]:
        """As the API shows it."""
        counts, spec = self.counts(now), self.body["spec"]
        active = counts["Pending"] + counts["Running"]
        status: dict[str, Any] = {"startTime": stamp(self.born), "ready": counts["Running"]}
        numbers = {"active": 0 if self.ended else active, "succeeded": counts["Succeeded"], "failed": counts["Failed"]}
        status |= {name: number for name, number in numbers.items() if number}
        if self.ended:
            kind, reason, message, at = self.ended
            first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
            told = {"status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp(at)}
            status["conditions"] = [{"type": first, **told}, {"type": kind, **told}]
            if kind == "Complete":
                status["completionTime"] = stamp(at)
        elif spec.get("suspend"):
            held = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
            status = {"conditions": [held]}
        body = {**self.body, "status": status}
        if self.deleted is not None:
            gone = {"deletionTimestamp": stamp(self.deleted), "finalizers": ["foregroundDeletion"]}
            body["metadata"] = {**body["metadata"], **gone}
        return body

    def _final(self, now: float) -> bool:
        """Whether a pod failed in a way that the policy calls final."""
        rules = (self.body["spec"].get("podFailurePolicy") or {}).get("rules") or []
        codes = {code for rule in rules if rule["action"] == "FailJob" for code in rule["onExitCodes"]["values"]}
        return any(pod.phase(now) == "Failed" and pod.does.exit_code in codes for pod in self.pods)

    def _start(self, now: float, number: int) -> None:
        metadata = self.body["metadata"]
        image = self.body["spec"]["template"]["spec"]["containers"][0]["image"]
        index = len([pod for pod in self.pods if pod.phase(now) != "Failed"])
        self.pods.append(Pod(f"{metadata['name']}-{number:05d}", self.body, now, index, image))

    def _end(self, kind: str, reason: str, message: str, now: float) -> None:
        self.ended = (kind, reason, message, now)


class Cluster:
    """All Jobs, by namespace and name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.created = 0
        self._jobs: dict[tuple[str, str], Job] = {}
        self._numbers = itertools.count(1)

    def create(self, body: dict[str, Any]) -> Job | None:
        """A new Job; None where its name is taken."""
        with self.lock:
            self.step()
            metadata = body["metadata"]
            place = (metadata["namespace"], metadata["name"])
            if place in self._jobs:
                return None
            self.created += 1
            now = time.time()
            metadata |= {"uid": f"uid-{self.created}", "creationTimestamp": stamp(now)}
            job = self._jobs[place] = Job(body, now)
            self.step()
            return job

    def step(self) -> float:
        """Let time take its course; gives the time."""
        with self.lock:
            now = time.time()
            for place, job in list(self._jobs.items()):
                job.step(now, self._numbers)
                if job.deleted is not None and now - job.deleted >= FOREGROUND:
                    del self._jobs[place]
            return now

    def job(self, namespace: str, name: str) -> Job | None:
        """One of them."""
        return self._jobs.get((namespace, name))

    def jobs(self, namespace: str) -> list[Job]:
        """Those of a namespace."""
        return [job for (space, _), job in self._jobs.items() if space == namespace]

    def pods(self, namespace: str) -> list[Pod]:
        """Their pods."""
        return [pod for job in self.jobs(namespace) for pod in job.pods]

    def running(self) -> int:
        """Pods that work, or are about to."""
        with self.lock:
            now = self.step()
            jobs = [job for job in self._jobs.values() if not job.ended]
            return sum(job.counts(now)["Pending"] + job.counts(now)["Running"] for job in jobs)

    def expire(self) -> None:
        """Every Job that is over is deleted, as when its time to live is over."""
        with self.lock:
            self.step()
            self._jobs = {place: job for place, job in self._jobs.items() if not job.ended}
