"""Long-running work at a service behind the gateway as one task."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferralError, TaskDeferralTimeout, TaskDeferred

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.jobs.callback import callback_problem
from airgate.jobs.job import JobHandle
from airgate.jobs.pace import PollPace
from airgate.jobs.protocol import JobProtocol, reference
from airgate.operators.job_check import (
    Seconds,
    pace_of,
    problem_of,
    problem_of_handle,
    problem_of_protocol,
    replaced,
    seconds_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.operators.job_options import OnKill
    from airgate.operators.job_record import JobRecord
    from airgate.operators.job_task import JobTask

_GRACE = 60.0
"""Seconds that a triggerer may be late with its own word that the time is over."""
_POLLED = (2.0, 60.0)
_CALLED_BACK = (30.0, 300.0)
"""Bounds of the interval of polls, in seconds: where a callback is expected they only catch one that is lost."""
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
        callback: Whether the service calls when the job is over: ``airgate.jobs.CALLBACK_URL`` in a text of the
            protocol's fields stands for the address. Looks go on, more slowly. See docs/jobs-callbacks.md.
        poll_interval: Seconds between looks at the job: one number, or the bounds between which the interval grows to a
            tenth of the time waited; (2, 60) unless given, (30, 300) with a callback. A service that names an interval
            is obeyed.
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
        callback: bool = False,
        poll_interval: Seconds | tuple[Seconds, Seconds] | None = None,
        timeout: Seconds | None = None,
        stall_timeout: Seconds | None = None,
        poll_timeout: Seconds = 30.0,
        on_kill: OnKill = "cancel",
        epoch: str = "",
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.protocol = protocol
        self.fields = fields
        self.job = job
        self._attaches = job is not None
        self.wait = wait
        self.deferrable = deferrable
        self.callback = callback
        usual = _CALLED_BACK if callback else _POLLED
        self.poll_interval = usual if poll_interval is None else poll_interval
        self.timeout = timeout
        self.stall_timeout = stall_timeout
        self.poll_timeout = poll_timeout
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
        problem = problem_of_protocol(protocol) or problem_of(
            self.protocol,
            self.fields,
            self.job,
            on_kill=self.end_on_kill,
            epoch=self.epoch,
            deferrable=self.deferrable,
        )
        if problem is not None:
            raise ValueError(problem)
        if problem := callback_problem(self.protocol, self.fields, wanted=self.callback):
            raise ValueError(problem)
        if self.callback and not (self.wait and self.deferrable and self.job is None):
            raise ValueError(
                "callback=True is for a task that submits and is deferred: it goes neither with wait=False nor with "
                "deferrable=False nor with job="
            )
        self._times()

    def _times(self) -> tuple[PollPace, float | None, float | None, float]:
        """Interval, timeout, stall timeout and the time of one look, in seconds.

        Raises:
            ValueError: Naming the argument.
        """
        pace = pace_of(self.poll_interval)
        timeout, stall = (
            None if value is None else seconds_of(name, value)
            for name, value in (("timeout", self.timeout), ("stall_timeout", self.stall_timeout))
        )
        return pace, timeout, stall, seconds_of("poll_timeout", self.poll_timeout)

    def execute(self, context: Context) -> Any:
        """Submit the job, or go on with it, and wait for its result."""
        return self._with_job(context, lambda task: task.start())

    def resume_submission(self, context: Context, event: Any = None) -> Any:
        """Go on after a long wait before the submission."""
        return self._with_job(context, lambda task: task.start(resumed=True))

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on with what the triggerer found."""
        return self._with_job(context, lambda task: task.resume(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, also after one that Airflow ended for want of a triggerer or of a working trigger."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            return self._with_job(context, lambda task: task.overdue())
        except TaskDeferralError as error:
            return self._with_job(context, lambda task, error=error: task.give_up(error))

    def on_kill(self) -> None:
        """Cancel the job; Airflow calls this in the task's process when it is told to end, or out of time."""
        if (task := self._running) is None:
            return
        out_of_time = isinstance(sys.exception(), AirflowTaskTimeout)
        # In a thread: the one that was interrupted may hold a lock that the cancellation needs.
        ending = threading.Thread(
            target=lambda: task.killed(out_of_time=out_of_time), name="airgate-cancel", daemon=True
        )
        ending.start()
        ending.join(_KILL_SECONDS)

    def _with_job(self, context: Context, do: Any) -> Any:
        # Imported here, as every parse of a DAG file would pay for it otherwise.
        from airgate.operators.job_options import JobOptions
        from airgate.operators.job_record import JobRecord
        from airgate.operators.job_task import JobTask
        from airgate.operators.patience import Patience

        if problem := problem_of_handle(self.job if self.job is not None or not self._attaches else ""):
            raise ValueError(problem)
        options = JobOptions(
            *self._times(),
            self.wait,
            self.deferrable,
            self.end_on_kill,
            self.epoch,
            self.job,
            self.callback,
        )
        with GatewayHook(self.gateway_conn_id) as hook:
            patience = Patience(self._defer_submission, None, self.deferrable)
            task = JobTask(hook, self._protocol(), options, context, patience, self._defer, JobRecord.load(context))
            self._running = task
            try:
                result = do(task)
            except TaskDeferred:  # its trigger sees to the job now
                self._running = None
                raise
            except Exception as error:  # after a timeout, which is none, Airflow calls on_kill
                task.failed(error)
                raise
            self._running = None
            return result

    def _protocol(self) -> JobProtocol:
        """The protocol with the fields of this task.

        Raises:
            ValueError: Naming the field.
        """
        protocol = replaced(self.protocol, self.fields)
        if self.job is None and (problem := protocol.problem()):
            raise ValueError(f"protocol: {problem}")
        if problem := callback_problem(protocol, None, wanted=self.callback):
            raise ValueError(problem)
        return protocol

    def _defer_submission(self, until: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        self.defer(trigger=WaitTrigger(until), method_name="resume_submission")

    def _defer(self, handle: JobHandle, record: JobRecord) -> NoReturn:
        from airgate.client import clock
        from airgate.hooks.callbacks import SETTLES, mark
        from airgate.triggers.job import JobTrigger, Waiting

        pace, _, stall, poll_timeout = self._times()
        started_at = record.started_at or clock.now()
        if self.callback and record.ending:  # a job that is cancelled may not call, and is over soon
            pace, started_at = PollPace(SETTLES, _POLLED[1]), clock.now()
        waiting = Waiting(
            protocol=reference(self._protocol()),
            handle=handle.to_json(),
            started_at=started_at,
            shortest=pace.shortest,
            longest=pace.longest,
            ends=record.ends,
            stall=stall,
            poll_timeout=poll_timeout,
            cancels=self.end_on_kill == "cancel" and self.job is None,
            ending=record.ending,
            polls=record.polls,
            callback=mark(record.callback),
        )
        self.defer(
            trigger=JobTrigger(self.gateway_conn_id, waiting),
            method_name="resume",
            timeout=None if record.ends is None else timedelta(seconds=max(record.ends - clock.now(), 0.0) + _GRACE),
        )
