"""One task's job: submitted once, waited for, and over when the task is over."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from airflow.sdk.exceptions import AirflowFailException

from airgate.client import clock
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import end, look
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.pace import SETTLING
from airgate.jobs.protocol import JobProtocol
from airgate.operators.job_end import ending_of, for_others, heir_of, is_final, is_last
from airgate.operators.job_options import JobOptions
from airgate.operators.job_record import JobRecord
from airgate.operators.job_submission import JobSubmission
from airgate.operators.patience import Patience
from airgate.policy.errors import DeadlineExceeded, GatewayError, JobFailed, NotFound, OutcomeUnknown

log = logging.getLogger(__name__)

_CANCEL_SECONDS = 20.0
_HEARS = 1.0
"""Seconds within which a process that waits notices that it was told to end."""


@dataclass(slots=True)
class JobTask:
    """A task and its job, in one process."""

    hook: GatewayHook
    protocol: JobProtocol
    options: JobOptions
    context: Any
    patience: Patience
    """How a long wait before the submission is spent."""
    defer: Callable[[JobHandle, JobRecord], NoReturn]
    """Gives the worker back until the job is over."""
    record: JobRecord
    called_back: bool = False
    """Whether the service's call ended the wait, and not a poll."""
    cancelled: bool = False
    told_to_end: bool = False
    """Whether Airflow has told this process to end, and it is to end its job."""

    # -- a try begins ---------------------------------------------------------------------------------------------

    def start(self, *, resumed: bool = False) -> Any:
        """Submit the job, or go on with the one that an earlier try submitted.

        Args:
            resumed: Whether the same try goes on after a long wait before the submission.
        """
        record = self.record
        cleared = record.max_tries != self.context["ti"].max_tries
        if record.ends is None or cleared:
            record.ends = None if self.options.timeout is None else clock.now() + self.options.timeout
        record.max_tries = self.context["ti"].max_tries
        record.cancel = for_others(self.hook, self.protocol) if self._cancels and self.options.wait else None
        if record.handle is None and self.options.job is not None:
            self._submission.adopt(JobHandle.from_json(self.options.job))
            log.info("job %s: submitted by someone else, waiting for its end", self._handle.id)
        if record.handle is None and cleared and record.settles_at is not None:
            self._submission.look_for_lost()
        if record.handle is None:
            self._submit(resumed=resumed)
        elif (over := self._reconnect(cleared)) is not None and self.options.wait:
            return self._over(over)
        return self._go_on()

    def _reconnect(self, cleared: bool) -> JobStatus | None:
        """Go on with a job that an earlier try knew of; submit another one only when that one is over.

        Returns:
            How it ended, when it is over and no try has said so yet: the one that waited for it may be lost.
        """
        record = self.record
        handle = self._handle
        ours = self.options.job is None
        try:
            status = self._status(handle)
        except NotFound as error:
            if not ours:
                raise JobFailed(f"the service no longer knows job {handle.id}: {error.reason}") from error
            self._another(f"gone: {error.reason}")
            return None
        if not status.over:
            if (cleared or record.ended) and self._cancels:
                log.info("job %s: still runs, and was to be ended; another one is submitted behind it", handle.id)
                self._cancel(handle)
                record.ending, record.ended = True, record.ended and not cleared
            else:
                log.info("job %s: goes on, this try waits for it", handle.id)
            record.save(self.context)
            return None
        if ours and (cleared or record.reported or self._for_nothing(status)):
            self._another(str(status))
            return None
        return status

    def _another(self, ended: str) -> None:
        """Submit the next job, as this one is over."""
        log.info("job %s: over (%s), so another one is submitted", self._handle.id, ended)
        self.record.next_generation()
        self._submit(resumed=False)

    def _submit(self, *, resumed: bool) -> None:
        ends = self.record.ends
        if ends is not None and clock.now() >= ends:
            self._too_late()
        self._submission.submit(resumed=resumed)
        self._unless_ended()

    def _too_late(self) -> NoReturn:
        """End the task, and the job that an earlier try may have submitted without hearing of it."""
        said = f"not over within {self.options.timeout:g} s, so nothing more is submitted"
        if self.record.settles_at is not None:
            if not (self.protocol.unique or self.protocol.finds):
                raise OutcomeUnknown(f"{said}; an earlier try may have submitted a job that nobody can find")
            if self.cancel(thorough=True):
                said += "; the job that an earlier try had submitted was cancelled"
        raise DeadlineExceeded(said)

    def _unless_ended(self) -> None:
        """Go on unless somebody has ended the task meanwhile: Airflow would refuse its deferral, and tell nobody.

        Raises:
            AirflowFailException: Somebody has.
        """
        if self.record.cancel is not None and (ending := ending_of(self.context["ti"])):
            raise AirflowFailException(f"job {self._handle.id}: {ending} while it was submitted")

    # -- waiting --------------------------------------------------------------------------------------------------

    def _go_on(self) -> Any:
        self._unless_told_to_end()
        if not self.options.wait and not self.record.ending:
            return self._handle.to_json()
        if self.options.deferrable:
            self.defer(self._handle, self.record)
        return self._wait_here()

    def resume(self, event: Mapping[str, Any]) -> Any:
        """Go on with what the triggerer found."""
        self.record.polls = int(event.get("polls", self.record.polls))
        self.called_back = bool(event.get("called_back"))
        if "error" in event:
            from airgate.hooks.failures import error_from_json

            error = error_from_json(event["error"])
            if isinstance(error, NotFound):
                return self._gone(error)
            self._fail(error)
        if "timed_out" in event:
            self._time_out(str(event["timed_out"]), str(event.get("last", "")))
        return self._over(JobStatus.from_json(event["status"]))

    def overdue(self) -> Any:
        """Go on after a deferral whose time was over without a triggerer that said so."""
        last = "never seen"
        try:
            status = self._status(self._handle)
        except GatewayError as error:
            log.warning("job %s: the last look failed: %s", self._handle.id, error)
        else:
            last = str(status)
            if status.over:
                return self._over(status)
        return self._time_out("total", last)

    def _wait_here(self) -> Any:
        """Wait in this process, by the same rules as the triggerer."""
        asked, last, moved = None, "never seen", clock.now()
        progress: tuple[object, ...] = ()
        while True:
            record, handle = self.record, self._handle
            ends = min(
                (each for each in (record.ends, self._stalls(moved)) if each is not None),
                default=None,
            )
            pause = self.options.pace.interval(record.waited, asked, random.random())  # noqa: S311
            self._pause(pause if ends is None else min(pause, ends - clock.now()))
            self._unless_told_to_end()
            record.polls += 1
            asked = None
            try:
                status = self._status(handle)
            except GatewayError as error:
                if isinstance(error, NotFound) and (self._was_to_end or record.waited >= SETTLING):
                    return self._gone(error)
                if not (error.retryable or isinstance(error, NotFound)) and error.status:
                    self._fail(error)
                log.warning("job %s: the poll failed, again later: %s", handle.id, error)
                asked = error.retry_after
            else:
                if status.progress != progress:
                    progress, moved, last = status.progress, clock.now(), str(status)
                    log.info("job %s: %s", handle.id, status)
                asked = status.retry_after
                if status.over:
                    return self._over(status)
            if ends is not None and clock.now() >= ends:
                self._time_out("total" if ends == record.ends else "stall", last)

    def _pause(self, seconds: float) -> None:
        """Let the time pass until the next poll; a process that is told to end has not much of it."""
        until = clock.now() + seconds
        while (left := until - clock.now()) > 0 and not self._ended_with_us:
            clock.sleep(min(left, _HEARS))

    def _stalls(self, moved: float) -> float | None:
        return None if self.options.stall is None else moved + self.options.stall

    def _status(self, handle: JobHandle) -> JobStatus:
        """How the job stands.

        Raises:
            NotFound: The service does not know it.
        """
        return look(self.hook, self.protocol.status(handle), deadline=clock.now() + self.options.poll_timeout)

    # -- the end --------------------------------------------------------------------------------------------------

    def _over(self, status: JobStatus) -> Any:
        record = self.record
        for_nothing = self._for_nothing(status)
        if record.ending and (for_nothing or not record.ended):
            self._another(str(status))
            return self._go_on()
        if for_nothing:
            raise self._ended_with_a_process()
        record.over = True
        record.save(self.context)
        how = ", called back" if self.called_back else ""
        log.info("job %s: %s after %.0f s and %d polls%s", self._handle.id, status, record.waited, record.polls, how)
        try:
            return look(self.hook, self.protocol.result(self._handle))
        except JobFailed as error:
            error.job, error.state = self._handle.id, status.state.value
            record.reported = True
            record.save(self.context)
            raise
        finally:
            self._summarize(status)

    def _gone(self, error: NotFound) -> Any:
        """The service no longer knows the job: some do that to one that is cancelled."""
        if self._was_to_end:
            return self._over(JobStatus(JobState.CANCELLED, message="gone"))
        raise JobFailed(f"the service no longer knows job {self._handle.id}: {error.reason}") from error

    def _fail(self, error: Exception) -> NoReturn:
        """End the task with what the polls came to; a job that no later try comes back to is cancelled."""
        if not (isinstance(error, GatewayError) and error.retryable):
            self.cancel()
        raise error

    def give_up(self, error: Exception) -> NoReturn:
        """End the try with what Airflow says of its deferral; the next one, if there is one, goes on with the job."""
        raise error

    def _time_out(self, kind: str, last: str) -> NoReturn:
        handle, options = self._handle, self.options
        cancelled = self.cancel()
        spent = f"no progress for {options.stall:g} s" if kind == "stall" else f"not over within {options.timeout:g} s"
        left = "cancelled" if cancelled else "left running"
        self._summarize(JobStatus(JobState.CANCELLED if cancelled else JobState.RUNNING, message=spent))
        raise DeadlineExceeded(f"job {handle.id}: {spent} (last seen: {last}); it was {left}")

    def cancel(self, *, thorough: bool = False) -> bool:
        """End the job if it is ours and may be ended, and tell whether; what goes wrong is logged.

        Args:
            thorough: Whether a submission whose answer was not heard is sent once more to learn its job, and whoever
                comes next is to learn that the job was ended.
        """
        if self.cancelled or not self._cancels or self.record.over:
            return self.cancelled
        try:
            handle = self.record.handle or self._submission.trace(repeat=thorough)
            if handle is not None:
                self._cancel(handle)
        except Exception as error:
            log.warning("the job could not be cancelled: %s", error)
            return False
        self.cancelled = handle is not None
        if handle is not None and thorough:
            self._note_end(handle)
        return self.cancelled

    def _note_end(self, handle: JobHandle) -> None:
        self.record.ended = True
        try:
            if self.record.handle is None:
                self._submission.adopt(handle)
            else:
                self.record.save(self.context)
        except Exception as error:  # as after a clear: Airflow knows this try no more
            log.warning("job %s: that it was ended could not be noted for the next try: %s", handle.id, error)

    def failed(self, error: Exception) -> None:
        """End the job with the task, where no later try comes back to it."""
        if is_final(error, self.context["ti"]):
            self.cancel()

    def killed(self, *, out_of_time: bool) -> None:
        """End the job with this process, which is told to end, unless another try of the task goes on with it.

        Args:
            out_of_time: Whether Airflow ends the process as the task's ``execution_timeout`` is over.
        """
        asks = self.record.cancel is not None and not (out_of_time or is_last(self.context["ti"]))
        if asks and (heir := heir_of(self.context)):
            log.warning("this process is told to end, but not its job: that is left to %s", heir)
            return
        # Over connections of its own: those of this task are in use in another thread, maybe to submit.
        hook = GatewayHook(self.hook.gateway_conn_id)
        hook.gateway = self.hook.gateway
        self.told_to_end = self._cancels
        with hook:
            self.cancelled = dataclasses.replace(self, hook=hook).cancel(thorough=True)

    def _unless_told_to_end(self) -> None:
        """Go on unless this process was told to end, and has ended its job: the next try sees to it.

        Raises:
            JobFailed: It was.
        """
        if self._ended_with_us:
            raise self._ended_with_a_process()

    def _ended_with_a_process(self) -> JobFailed:
        return JobFailed(f"job {self._handle.id}: ended with a process that was told to end", retryable=True)

    @property
    def _ended_with_us(self) -> bool:
        return self.told_to_end and self.record.ended

    def _for_nothing(self, status: JobStatus) -> bool:
        """Whether the job ended with a process that was told to end, and so tells nothing of its work."""
        if self.record.ended:
            return status.state is not JobState.SUCCEEDED
        # It may have been heard by the service alone.
        return self.told_to_end and status.state is JobState.CANCELLED

    @property
    def _was_to_end(self) -> bool:
        """Whether the service was asked to end the job, which some then know no more."""
        return self.record.ending or self.record.ended or self.told_to_end

    def _cancel(self, handle: JobHandle) -> None:
        end(self.hook, self.protocol.cancel(handle), deadline=clock.now() + _CANCEL_SECONDS)
        log.info("job %s: cancelled", handle.id)

    def _summarize(self, status: JobStatus) -> None:
        """Push what the job came to, also of one that failed."""
        push = getattr(self.context["ti"], "xcom_push", None)
        if push is None:
            return
        called_back = {"called_back": self.called_back} if self.options.callback else {}
        push(key="airgate_job", value=self.record.summary(status) | called_back)

    @property
    def _cancels(self) -> bool:
        """Whether the job is ours, and ends with the task."""
        return self.options.on_kill == "cancel" and self.options.job is None

    @property
    def _submission(self) -> JobSubmission:
        return JobSubmission(self.hook, self.protocol, self.options, self.context, self.patience, self.record)

    @property
    def _handle(self) -> JobHandle:
        handle = self.record.handle
        assert handle is not None  # every way here has submitted or adopted one
        return handle
