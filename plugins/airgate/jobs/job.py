"""A job as its caller knows it: the handle to find it by, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

LONGEST_TEXT = 2000
"""Characters of a message, a reason or a log excerpt: statuses travel through Airflow's database."""


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True, slots=True)
class JobHandle:
    """What finds a job again. It is stored in Airflow's database, so nothing in it may be secret."""

    id: str
    """The service's name of the job, for people and logs."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What else its protocol needs, as JSON."""

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"version": 1, "id": self.id, "data": dict(self.data)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | str) -> JobHandle:
        """Read what ``to_json`` gave; a text alone is the id.

        Raises:
            ValueError: It is no handle.
        """
        if isinstance(stored, str) and stored:
            return cls(stored)
        if not isinstance(stored, Mapping) or not isinstance(stored.get("id"), str) or not stored["id"]:
            raise ValueError("a job's handle must be its id, or what GatewayJobOperator(wait=False) returned")
        return cls(stored["id"], dict(stored.get("data") or {}))


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands."""

    state: JobState
    percent: float | None = None
    """Share that is done, 0 to 100, where the service tells."""
    phase: str = ""
    """What it is doing, in the service's words."""
    message: str = ""
    retry_after: float | None = None
    """Seconds after which the service wants to be asked again."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", self.phase[:LONGEST_TEXT])
        object.__setattr__(self, "message", self.message[:LONGEST_TEXT])

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.state.over

    @property
    def progress(self) -> tuple[object, ...]:
        """What changes while the job gets on."""
        return (self.state, self.percent, self.phase, self.message)

    def to_json(self) -> dict[str, Any]:
        """As it travels from the triggerer to the worker."""
        return {**asdict(self), "state": self.state.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobStatus:
        """Read what ``to_json`` gave."""
        return cls(**{**stored, "state": JobState(stored["state"])})

    def __str__(self) -> str:
        percent = "" if self.percent is None else f"{self.percent:.0f} %"
        return ", ".join(part for part in (self.state.value, percent, self.phase, self.message) if part)
