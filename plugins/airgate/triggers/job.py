"""Waits for a job's end: looks at it with safe requests only, and cancels it when a person ends the task."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airgate.client import clock
from airgate.hooks.failures import error_to_json
from airgate.jobs.job import JobHandle, JobStatus
from airgate.jobs.pace import SETTLING, PollPace
from airgate.policy.errors import GatewayError, NotFound
from airgate.triggers.ending import end_running
from airgate.triggers.wait import sleep_until
from airgate.triggers.watch import Watch, watches

_TOLD_EVERY = 10.0
"""Seconds between two lines of progress in the log."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for, and how. Times are seconds; nothing in it is secret."""

    protocol: Mapping[str, Any]
    """What ``airgate.jobs.protocol.reference`` gave."""
    handle: Mapping[str, Any]
    started_at: float
    """When the job was submitted, Unix time."""
    shortest: float
    longest: float
    """Bounds of the interval between polls."""
    ends: float | None = None
    """Unix time at which the waiting is over; None for never."""
    stall: float | None = None
    """Longest time without progress; None for any."""
    poll_timeout: float = 30.0
    cancels: bool = True
    """Whether the job is cancelled when a person ends the task."""
    ending: bool = False
    """Whether the job was cancelled already and is only waited for to be over."""
    polls: int = 0
    """Made before, by another process."""
    callback: str = ""
    """What the nonce of the service's callback is known by; empty without one."""


class JobTrigger(BaseTrigger):
    """Looks at a job until it is over; errors come back as events and are raised on the worker.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
        waiting: What is waited for: a ``Waiting``, or its fields.
    """

    def __init__(self, gateway_conn_id: str, waiting: Waiting | Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.gateway_conn_id = gateway_conn_id
        self.waiting = waiting if isinstance(waiting, Waiting) else Waiting(**waiting)
        self._polls = self.waiting.polls

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class, the connection's id and what is waited for."""
        return (
            "airgate.triggers.job.JobTrigger",
            {"gateway_conn_id": self.gateway_conn_id, "waiting": asdict(self.waiting)},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is over, then say how it ended."""
        try:
            async with watches().watch(self.gateway_conn_id, self.waiting.protocol) as watch:
                event = await self._wait(watch)
        except Exception as error:  # raised as what it is on the worker; here Airflow would lose its type
            event = {"error": error_to_json(error)}
        yield TriggerEvent({**event, "polls": self._polls})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the job: a person marked the task failed or successful, or cleared it."""
        if not self.waiting.cancels:
            await self._tell("info", "job %s goes on: on_kill is leave", self.waiting.handle["id"])
            return
        handle = JobHandle.from_json(self.waiting.handle)
        if await end_running(self.gateway_conn_id, self.waiting.protocol, handle, self._tell):
            await self._tell("info", "job %s: cancelled, as the task was ended by hand", handle.id)

    async def _wait(self, watch: Watch) -> dict[str, Any]:
        waiting, handle = self.waiting, JobHandle.from_json(self.waiting.handle)
        pace = PollPace(waiting.shortest, waiting.longest)
        asked: float | None = None
        told = _Progress(clock.now())
        while True:
            due = clock.now() + pace.interval(clock.now() - waiting.started_at, asked, random.random())  # noqa: S311
            ends = self._ends(told.moved)
            await sleep_until(due if ends is None else min(due, ends))
            try:
                status = await watch.status(handle, seconds=waiting.poll_timeout)
            except GatewayError as error:
                if not self._passes(error):
                    raise
                await self._tell("warning", "job %s: the poll failed, again later: %s", handle.id, error)
                asked = error.retry_after
            else:
                asked = status.retry_after
                if status.over:  # Airflow logs the event
                    return {"status": status.to_json()}
                if told.heard(status):
                    await self._tell("info", "job %s: %s", handle.id, status)
            finally:
                self._polls += 1
            ends = self._ends(told.moved)
            if ends is not None and clock.now() >= ends:
                return {"timed_out": "total" if ends == waiting.ends else "stall", "last": told.last()}

    async def _tell(self, level: str, *line: object) -> None:
        # A line goes through a pipe to Airflow's process that writes to the database, and waits while that one is at
        # it: when many jobs end together, for many seconds, in which nothing else on this loop would go on.
        await asyncio.to_thread(getattr(self.log, level), *line)

    def _ends(self, moved: float) -> float | None:
        """When the waiting is over, by its whole length or for want of progress."""
        waiting = self.waiting
        times = [waiting.ends, None if waiting.stall is None else moved + waiting.stall]
        return min((each for each in times if each is not None), default=None)

    def _passes(self, error: GatewayError) -> bool:
        """Whether an error is one that another poll may not meet: the job goes on whatever the poll came to."""
        if error.retryable or not error.status:
            return True
        return (
            isinstance(error, NotFound) and not self.waiting.ending and clock.now() < self.waiting.started_at + SETTLING
        )


class _Progress:
    """What was heard of a job, and when it last got on."""

    def __init__(self, now: float) -> None:
        self.moved = now
        self._status: JobStatus | None = None
        self._told = 0.0
        self._news = False

    def heard(self, status: JobStatus) -> bool:
        """Take a status; whether it is worth a line in the log."""
        now = clock.now()
        if self._status is None or status.progress != self._status.progress:
            self.moved, self._news = now, True
        turned = self._status is None or status.state is not self._status.state
        self._status = status
        if not self._news or not (turned or now - self._told >= _TOLD_EVERY):
            return False
        self._told, self._news = now, False
        return True

    def last(self) -> str:
        """The last status in words."""
        return "never seen" if self._status is None else str(self._status)
