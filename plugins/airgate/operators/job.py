"""Long-running work at a service behind the gateway as one task."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, XComArg

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.jobs.job import JobHandle
from airgate.jobs.pace import PollPace
from airgate.jobs.protocol import JobProtocol, reference

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.operators.job_record import JobRecord
    from airgate.operators.job_task import JobTask, OnKill

_GRACE = 60.0
"""Seconds that a triggerer may be late with its own word that the time is over."""
_KILL_SECONDS = 4.0
"""Airflow kills a task process that has not ended five seconds after it was told to."""


class GatewayJobOperator(BaseOperator):
    """Submits a job, waits for its end without a worker, and returns its result.

    The job is submitted once: its handle is stored before anything is waited for, and a try whose predecessor died in
    between finds the job by its key. A retry submits another job only when the one before is over. When the task is
    killed, cleared, marked by hand or out of time, the job is cancelled at the service. See docs/jobs.md.

    Args:
        protocol: How the service takes up, shows and ends jobs, and what is submitted: one of ``airgate.jobs``.
        fields: Fields of the protocol that replace its own, as a dict: what one expands over.
        job: Handle of a job that runs already, as ``wait=False`` returned it, or its id: nothing is submitted, and the
            job is left alone when the task is killed.
        wait: False returns the handle as soon as the job is submitted.
        deferrable: False waits in the worker, with the same guarantees.
        poll_interval: Seconds between looks at the job: one number, or the bounds between which the interval grows to a
            tenth of the time waited. A service that names an interval is obeyed.
        timeout: Seconds, or a timedelta, for the job over all tries and deferrals; a clear starts it again. None for no
            limit.
        stall_timeout: The same without any progress that the service tells of.
        poll_timeout: The same for one look.
        on_kill: ``cancel`` ends the job with the task, ``leave`` lets it run: a cleared task then waits for it.
        epoch: Part of the job's key: another text asks for another job.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = ("protocol", "fields", "job", "epoch", "gateway_conn_id")
    template_fields_renderers = {"fields": "json"}
    ui_color = "#e8dcf2"
    _running: JobTask | None = None

    def __init__(
        self,
        *,
        protocol: JobProtocol,
        fields: Mapping[str, Any] | None = None,
        job: str | Mapping[str, Any] | None = None,
        wait: bool = True,
        deferrable: bool = True,
        poll_interval: float | tuple[float, float] = (1.0, 60.0),
        timeout: float | timedelta | None = None,
        stall_timeout: float | timedelta | None = None,
        poll_timeout: float | timedelta = 30.0,
        on_kill: OnKill = "cancel",
        epoch: str = "",
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.protocol = protocol
        self.fields = fields
        self.job = job
        self.wait = wait
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = _seconds(timeout)
        self.stall_timeout = _seconds(stall_timeout)
        self.poll_timeout = _seconds(poll_timeout)
        self.end_on_kill = on_kill
        self.epoch = epoch
        self.gateway_conn_id = gateway_conn_id
        try:
            self._check(protocol)
        except ValueError as error:
            raise ValueError(f"task {self.task_id!r}: {error}") from None
        # Airflow looks for results of other tasks in lists and dicts, not in the fields of an object.
        XComArg.apply_upstream_relationship(self, [getattr(protocol, name) for name in protocol.template_fields])

    def _check(self, protocol: object) -> None:
        """Refuse what cannot work, while the DAG is parsed.

        Raises:
            ValueError: Naming the argument.
        """
        if not isinstance(protocol, JobProtocol):
            kind = type(protocol).__name__
            raise ValueError(f"protocol must be one of airgate.jobs, not a {kind}")  # noqa: TRY004 - as all of them
        if self.fields is None and self.job is None and (problem := self.protocol.problem()):
            raise ValueError(f"protocol: {problem}")
        PollPace.of(self.poll_interval)
        for name in ("timeout", "stall_timeout", "poll_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds:g}")
        if self.end_on_kill not in {"cancel", "leave"}:
            raise ValueError(f"on_kill must be cancel or leave, not {self.end_on_kill!r}")
        if self.deferrable:
            reference(self.protocol)

    def execute(self, context: Context) -> Any:
        """Submit the job, or go on with it, and wait for its result."""
        return self._with_job(context, lambda task: task.start())

    def resume_submission(self, context: Context, event: Any = None) -> Any:
        """Go on after a long wait before the submission."""
        return self._with_job(context, lambda task: task.start(resumed=True))

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on with what the triggerer found."""
        return self._with_job(context, lambda task: task.resume(event))

    def on_kill(self) -> None:
        """Cancel the job; Airflow calls this in the task's process when it is told to end, or out of time."""
        task = self._running
        if task is None:
            return
        # In a thread: the one that was interrupted may hold a lock that the cancellation needs.
        ending = threading.Thread(target=task.cancel_anew, name="airgate-cancel", daemon=True)
        ending.start()
        ending.join(_KILL_SECONDS)

    def _with_job(self, context: Context, do: Any) -> Any:
        # Imported here, as every parse of a DAG file would pay for it otherwise.
        from airgate.operators.job_record import JobRecord
        from airgate.operators.job_task import JobOptions, JobTask
        from airgate.operators.patience import Patience

        options = JobOptions(
            PollPace.of(self.poll_interval),
            self.timeout,
            self.stall_timeout,
            self.poll_timeout or 30.0,
            self.wait,
            self.deferrable,
            self.end_on_kill,
            self.epoch,
            self.job or None,
        )
        with GatewayHook(self.gateway_conn_id) as hook:
            patience = Patience(self._defer_submission, None, self.deferrable)
            task = JobTask(hook, self._protocol(), options, context, patience, self._defer, JobRecord.load(context))
            self._running = task
            result = do(task)  # an exception leaves it there: after a timeout Airflow calls on_kill
            self._running = None
            return result

    def _protocol(self) -> JobProtocol:
        """The protocol with the fields of this task.

        Raises:
            ValueError: Naming the field.
        """
        protocol = self.protocol
        if self.fields:
            try:
                protocol = dataclasses.replace(protocol, **self.fields)  # type: ignore[type-var]
            except TypeError as error:
                raise ValueError(f"fields: {error}") from None
        if self.job is None and (problem := protocol.problem()):
            raise ValueError(f"protocol: {problem}")
        return protocol

    def _defer_submission(self, until: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        self.defer(trigger=WaitTrigger(until), method_name="resume_submission")

    def _defer(self, handle: JobHandle, record: JobRecord) -> NoReturn:
        from airgate.client import clock
        from airgate.triggers.job import JobTrigger, Waiting

        pace = PollPace.of(self.poll_interval)
        waiting = Waiting(
            protocol=reference(self._protocol()),
            handle=handle.to_json(),
            started_at=record.started_at or clock.now(),
            shortest=pace.shortest,
            longest=pace.longest,
            ends=record.ends,
            stall=self.stall_timeout,
            poll_timeout=self.poll_timeout or 30.0,
            cancels=self.end_on_kill == "cancel" and self.job is None,
            polls=record.polls,
        )
        self.defer(
            trigger=JobTrigger(self.gateway_conn_id, waiting),
            method_name="resume",
            timeout=None if record.ends is None else timedelta(seconds=max(record.ends - clock.now(), 0.0) + _GRACE),
        )


def _seconds(value: float | timedelta | None) -> float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value
