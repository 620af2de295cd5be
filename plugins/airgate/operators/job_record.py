"""What a task remembers of its job over all tries: kept in Airflow's task state store before anything is waited for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client import clock
from airgate.jobs.job import JobHandle, JobStatus
from airgate.policy.idempotency import idempotency_key

RECORD_KEY = "airgate.job"
"""Of the task state store."""
_VERSION = 1


@dataclass(slots=True)
class JobRecord:
    """One job after the other: a new generation begins when the one before is proven to be over."""

    generation: int = 0
    settles_at: float | None = None
    """When nothing of this generation's submission can arrive any more, Unix time; None before it is sent."""
    handle: JobHandle | None = None
    started_at: float | None = None
    """When the handle was known."""
    ends: float | None = None
    """Unix time at which the task's patience is over."""
    max_tries: int = 0
    """Of the task instance when this was stored; only a clear changes it."""
    ending: bool = False
    """Whether the job is only waited for to be over, so that another may follow."""
    reported: bool = False
    """Whether a try has ended with this job's failure: the next one submits another."""
    ended: bool = False
    """Whether a try that was told to end has ended it: unless it succeeds all the same, the next submits another."""
    polls: int = 0
    callback: Mapping[str, Any] | None = None
    """What makes the address that this generation's service may call; None without one."""
    cancel: Mapping[str, Any] | None = None
    """What others than this task end the job with: ``gateway_conn_id`` and ``protocol``, a reference; None where it is
    to be left alone."""
    trace: Mapping[str, Any] | None = None
    """What others than this task find the job with while its submission is under way, see ``trace_of``; None where they
    cannot, or there is nothing to be found."""
    over: bool = False
    """Whether the job was seen to be over."""

    @classmethod
    def load(cls, context: Any) -> JobRecord:
        """What the tries before stored; an empty record without one."""
        stored = context["task_state_store"].get(RECORD_KEY)
        if stored is None:
            return cls(max_tries=context["ti"].max_tries)
        handle = stored["handle"]
        fields = {name: value for name, value in stored.items() if name not in {"version", "handle"}}
        return cls(**fields, handle=None if handle is None else JobHandle.from_json(handle))

    def save(self, context: Any) -> None:
        """Store it; durable when this returns."""
        stored = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        stored["handle"] = None if self.handle is None else self.handle.to_json()
        context["task_state_store"].set(RECORD_KEY, {"version": _VERSION, **stored})

    def next_generation(self) -> None:
        """The job is over, and another one is wanted."""
        self.generation += 1
        self.settles_at = self.handle = self.started_at = self.callback = self.trace = None
        self.ending = self.reported = self.ended = self.over = False

    def key(self, context: Any, epoch: str) -> str:
        """The idempotency key of this generation's submission."""
        ti = context["ti"]
        return idempotency_key(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            call="job",
            epoch=epoch,
            generation=self.generation,
        )

    def summary(self, status: JobStatus) -> dict[str, Any]:
        """What became of the job, as JSON.

        Args:
            status: How it ended.
        """
        return {
            "version": 1,
            "job": None if self.handle is None else self.handle.id,
            **status.to_json(),
            "generation": self.generation,
            "polls": self.polls,
            "seconds": round(self.waited, 3),
        }

    @property
    def waited(self) -> float:
        """Seconds since the handle was known."""
        return 0.0 if self.started_at is None else max(0.0, clock.now() - self.started_at)
