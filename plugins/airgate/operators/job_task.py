"""One task's job: submitted once, waited for, and over when the task is over."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from airgate.client import clock
from airgate.client.message import Response
from airgate.hooks.callbacks import callback_address, new_callback
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.hooks.sealing import sealed
from airgate.jobs.callback import with_address
from airgate.jobs.job import JobHandle, JobState, JobStatus
from airgate.jobs.pace import SETTLING, PollPace
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Ask, carry
from airgate.operators.job_record import JobRecord
from airgate.operators.patience import Patience
from airgate.operators.task_call import make_call
from airgate.policy.errors import DeadlineExceeded, GatewayError, JobFailed, NotFound, Unavailable

log = logging.getLogger(__name__)

OnKill = Literal["cancel", "leave"]
_SETTLE = 15.0
"""Seconds in which a request that has left may still arrive, although nobody waits for its answer."""
_CANCEL_SECONDS = 20.0


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
        if record.handle is None and self.options.job is not None:
            self._adopt(JobHandle.from_json(self.options.job))
            log.info("job %s: submitted by someone else, waiting for its end", self._handle.id)
        if record.handle is None and cleared and record.settles_at is not None:
            self._after_a_lost_submission()
        if record.handle is None:
            self._submit(resumed)
        else:
            self._reconnect(cleared)
        return self._go_on()

    def _adopt(self, handle: JobHandle) -> None:
        try:
            kept = sealed(self.hook.gateway, handle)
        except ValueError:
            if self.options.job is None:
                end(self.hook, self.protocol.cancel(handle))  # nobody could find it again
            raise
        self.record.handle, self.record.started_at = kept, clock.now()
        self.record.save(self.context)

    def _submit(self, resumed: bool) -> None:
        record = self.record
        anew = self.options.callback and record.callback is None
        if anew:
            record.callback = new_callback(record.ends)
        first = record.settles_at is None
        if first:
            self._expect_arrivals()
        elif anew:
            record.save(self.context)
        key = record.key(self.context, self.options.epoch)
        try:
            handle = carry(self._submitted().submit(key), lambda ask: self._ask(ask, key, resumed, first=first))
        except _Found as found:
            handle = found.handle
            log.warning("job %s: found by its key, an earlier submission of it had no answer", handle.id)
        else:
            if not isinstance(handle, JobHandle):
                raise TypeError(f"{type(self.protocol).__name__}.submit must return a JobHandle, not {handle!r}")
            log.info("job %s: submitted", handle.id)
        self._adopt(handle)

    def _expect_arrivals(self) -> None:
        """A submission is about to leave, and what may repeat it does so until the call's deadline."""
        gateway = self.hook.gateway
        self.record.settles_at = clock.now() + max(gateway.retry.deadline, gateway.read_timeout) + _SETTLE
        self.record.save(self.context)

    def _submitted(self) -> JobProtocol:
        """The protocol with the address that the service may call: every try of a generation submits the same one."""
        if self.record.callback is None:
            return self.protocol
        return with_address(self.protocol, callback_address(self.context["ti"], self.record.callback))

    def _ask(self, ask: Ask, key: str, resumed: bool, *, first: bool) -> Response:
        if ask.harmless:
            request = dataclasses.replace(self.hook.request(call_of(ask)), keyed=True)
            return self.hook.send(request, expect=ask.expect)
        unique = self.protocol.unique
        call = dataclasses.replace(
            call_of(ask),
            idempotency_key=key if unique else False,
            name="job",
            epoch=f"{self.options.epoch}#{self.record.generation}",
        )
        found: list[JobHandle] = []

        def reconcile(hook: GatewayHook) -> bool:
            if first:  # this process has sent it, and sends nothing more
                self._settles_soon()
            handle = self._found(key)
            if handle is None:
                self._expect_arrivals()
                return False
            found.append(handle)
            return True

        looks = self.protocol.finds and not unique
        answer = make_call(
            self.hook, call, self.context, self.patience, reconcile=reconcile if looks else None, resumed=resumed
        )
        if answer is None:
            raise _Found(found[-1])
        return answer

    def _found(self, key: str) -> JobHandle | None:
        """The job of a key; None only once nothing that was sent can still arrive.

        Raises:
            Unavailable: It cannot be told yet.
        """
        handle = look(self.hook, self.protocol.find(key))
        left = (self.record.settles_at or 0.0) - clock.now()
        if handle is not None:
            return handle
        if left <= 0:
            return None
        raise Unavailable(
            "the job's submission left no trace yet, and may still arrive", retry_after=left, retryable=True
        )

    def _settles_soon(self) -> None:
        record = self.record
        soon = clock.now() + _SETTLE
        if record.settles_at is None or soon < record.settles_at:
            record.settles_at = soon
            record.save(self.context)

    def _after_a_lost_submission(self) -> None:
        """A clear of a task whose submission left no handle: the job, if there is one, is found and not doubled."""
        if self.protocol.unique:
            return  # the same key again gives the same job
        if not self.protocol.finds:
            log.warning("an earlier try may have submitted a job that nobody can find; the clear asks for another one")
            self.record.next_generation()
            return
        key = self.record.key(self.context, self.options.epoch)
        while True:
            try:
                handle = self._found(key)
            except Unavailable as early:
                self._spend(early.retry_after or 0.0)
            else:
                break
        if handle is not None:
            self._adopt(handle)
        else:
            self._expect_arrivals()

    def _spend(self, seconds: float) -> None:
        if self.options.deferrable and seconds > self.hook.gateway.retry.max_inline_wait:
            self.patience.defer(clock.now() + seconds)
        clock.sleep(seconds)

    def _reconnect(self, cleared: bool) -> None:
        """Go on with a job that an earlier try knew of; submit another one only when that one is over."""
        record = self.record
        handle = self._handle
        status, gone = None, ""
        try:
            status = self._status(handle)
        except NotFound as error:
            gone = error.reason
        ours = self.options.job is None
        if status is not None and not status.over:
            if cleared and ours and self.options.on_kill == "cancel":
                log.info("job %s: still runs although the task was cleared; it is ended before another one", handle.id)
                self._cancel(handle)
                record.ending = True
            else:
                log.info("job %s: goes on, this try waits for it", handle.id)
            record.save(self.context)
            return
        succeeded = status is not None and status.state is JobState.SUCCEEDED
        if ours and (cleared or not succeeded):
            log.info("job %s: over (%s), so another one is submitted", handle.id, status or gone)
            record.next_generation()
            self._submit(resumed=False)
        elif status is None and not ours:
            raise JobFailed(f"the service no longer knows job {handle.id}: {gone}")

    # -- waiting --------------------------------------------------------------------------------------------------

    def _go_on(self) -> Any:
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
            clock.sleep(pause if ends is None else max(0.0, min(pause, ends - clock.now())))
            record.polls += 1
            asked = None
            try:
                status = self._status(handle)
            except GatewayError as error:
                if isinstance(error, NotFound) and (record.ending or record.waited >= SETTLING):
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
        if record.ending:
            log.info("job %s: over (%s), so another one is submitted", self._handle.id, status)
            record.next_generation()
            self._submit(resumed=False)
            return self._go_on()
        record.save(self.context)
        how = ", called back" if self.called_back else ""
        log.info("job %s: %s after %.0f s and %d polls%s", self._handle.id, status, record.waited, record.polls, how)
        try:
            return look(self.hook, self.protocol.result(self._handle))
        except JobFailed as error:
            error.job, error.state = self._handle.id, status.state.value
            raise
        finally:
            self._summarize(status)

    def _gone(self, error: NotFound) -> Any:
        """The service no longer knows the job: some do that to one that is cancelled."""
        if self.record.ending:
            return self._over(JobStatus(JobState.CANCELLED, message="gone"))
        raise JobFailed(f"the service no longer knows job {self._handle.id}: {error.reason}") from error

    def _fail(self, error: Exception) -> NoReturn:
        """End the task with what the polls came to; a job that no later try comes back to is cancelled."""
        if not (isinstance(error, GatewayError) and error.retryable):
            self.cancel()
        raise error

    def _time_out(self, kind: str, last: str) -> NoReturn:
        handle, options = self._handle, self.options
        self.cancel()
        spent = f"no progress for {options.stall:g} s" if kind == "stall" else f"not over within {options.timeout:g} s"
        left = "cancelled" if options.on_kill == "cancel" else "left running, as on_kill is leave"
        raise DeadlineExceeded(f"job {handle.id}: {spent} (last seen: {last}); it was {left}")

    def cancel(self) -> None:
        """End the job, if it is ours and may be ended; what goes wrong is logged, and hides no other error."""
        if self.options.on_kill != "cancel" or self.options.job is not None:
            return
        try:
            handle = self.record.handle
            if handle is None and self.record.settles_at is not None and self.protocol.finds:
                handle = look(self.hook, self.protocol.find(self.record.key(self.context, self.options.epoch)))
            if handle is not None:
                self._cancel(handle)
        except Exception as error:
            log.warning("the job could not be cancelled: %s", error)

    def cancel_anew(self) -> None:
        """Do what ``cancel`` does over connections of its own, while this task's are in use in another thread."""
        hook = GatewayHook(self.hook.gateway_conn_id)
        hook.gateway = self.hook.gateway
        with hook:
            dataclasses.replace(self, hook=hook).cancel()

    def _cancel(self, handle: JobHandle) -> None:
        end(self.hook, self.protocol.cancel(handle), deadline=clock.now() + _CANCEL_SECONDS)
        log.info("job %s: cancelled", handle.id)

    def _summarize(self, status: JobStatus) -> None:
        """Push what the job came to, also of one that failed."""
        push = getattr(self.context["ti"], "xcom_push", None)
        if push is None:
            return
        record = self.record
        push(
            key="airgate_job",
            value={
                "version": 1,
                "job": self._handle.id,
                **status.to_json(),
                "generation": record.generation,
                "polls": record.polls,
                "seconds": round(record.waited, 3),
                **({"called_back": self.called_back} if self.options.callback else {}),
            },
        )

    @property
    def _handle(self) -> JobHandle:
        handle = self.record.handle
        assert handle is not None  # every way here has submitted or adopted one
        return handle


class _Found(Exception):
    """A look-up found the job of a submission whose outcome was unknown."""

    def __init__(self, handle: JobHandle) -> None:
        super().__init__()
        self.handle = handle
