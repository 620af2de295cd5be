"""What a job's task was told by its operator, once templates are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airgate.jobs.pace import PollPace

OnKill = Literal["cancel", "leave"]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is waited for and ended. Times are seconds."""

    pace: PollPace
    timeout: float | None = None
    stall: float | None = None
    poll_timeout: float = 30.0
    wait: bool = True
    deferrable: bool = True
    on_kill: OnKill = "cancel"
    epoch: str = ""
    job: str | Mapping[str, Any] | None = None
    """Handle of a job that runs already; None to submit one."""
    callback: bool = False
    """Whether the service is given an address to call when the job is over."""
