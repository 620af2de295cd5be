"""The submission of a task's job: once over all tries, whatever becomes of its answer."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airgate.client import clock
from airgate.client.message import Response
from airgate.hooks.callbacks import callback_address, new_callback
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look, repeat_submission
from airgate.hooks.sealing import sealed
from airgate.jobs.callback import with_address
from airgate.jobs.job import JobHandle
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Ask, carry
from airgate.operators.job_record import JobRecord
from airgate.operators.job_trace import trace_of
from airgate.operators.patience import Patience
from airgate.operators.task_call import make_call
from airgate.policy.errors import Conflict, RateLimited, Rejected, Unavailable

if TYPE_CHECKING:
    from airgate.operators.job_options import JobOptions

log = logging.getLogger(__name__)

_SETTLE = 15.0
"""Seconds in which a request that has left may still arrive, although nobody waits for its answer."""


@dataclass(slots=True)
class JobSubmission:
    """Submits the job of a task's record, and stores its handle there."""

    hook: GatewayHook
    protocol: JobProtocol
    options: JobOptions
    context: Any
    patience: Patience
    """How a long wait before the submission is spent."""
    record: JobRecord
    _refusable: bool = False
    """Whether the last answer was that to the submission itself."""
    _open: bool = False
    """Whether a submission has left of which nobody knows that it started nothing."""

    def adopt(self, handle: JobHandle) -> None:
        """Store the handle of a job that is there; durable when this returns.

        Raises:
            NotSealed: Something in it is secret, and the connection has no secret to seal it with.
        """
        try:
            kept = sealed(self.hook.gateway, handle)
        except ValueError:
            if self.options.job is None:
                end(self.hook, self.protocol.cancel(handle))  # nobody could find it again
            raise
        self.record.handle, self.record.started_at, self.record.trace = kept, clock.now(), None
        self.record.save(self.context)

    def submit(self, *, resumed: bool) -> None:
        """Submit it, or find what an earlier try submitted.

        Args:
            resumed: Whether the same try goes on after a long wait.

        Raises:
            GatewayError: The typed error of what came instead.
            TypeError: The protocol does not do as it should.
        """
        record = self.record
        anew = self.options.callback and record.callback is None
        if anew:
            record.callback = new_callback(record.ends)
        key = record.key(self.context, self.options.epoch)
        earlier, record.trace = record.trace, self._trace(key)
        first = record.settles_at is None
        if first or self.protocol.unique:  # of which every try may send one
            self._expect_arrivals()
        elif anew or record.trace != earlier:
            record.save(self.context)
        fresh = earlier is None or earlier["key"] != key
        try:
            handle = carry(self._submitted().submit(key), lambda ask: self._ask(ask, key, resumed, first=first))
        except (Rejected, RateLimited, Unavailable) as error:
            if not isinstance(error, Conflict):
                self._refused(fresh=fresh)
            raise
        except _Found as found:
            handle = found.handle
            log.warning("job %s: found by its key, an earlier submission of it had no answer", handle.id)
        else:
            if not isinstance(handle, JobHandle):
                raise TypeError(f"{type(self.protocol).__name__}.submit must return a JobHandle, not {handle!r}")
            log.info("job %s: submitted", handle.id)
        self.adopt(handle)

    def _trace(self, key: str) -> Mapping[str, Any] | None:
        """What others find the job with, None where it is to be left alone."""
        if self.record.cancel is None:
            return None
        return trace_of(self.hook.gateway, self.protocol, self._submitted(), key)

    def _refused(self, *, fresh: bool) -> None:
        """Remember that nothing was started, where that is sure.

        Args:
            fresh: Whether no try before has left a submission of which nobody heard.
        """
        if self._refusable:
            self.record.next_generation()  # the service took it, and refused it within its answer
        elif fresh and not self._open:
            self.record.trace = None
        else:
            return
        self.record.save(self.context)

    def trace(self, *, repeat: bool) -> JobHandle | None:
        """The job of a submission whose answer will not be heard; None where nothing was sent or nobody can tell.

        Args:
            repeat: Whether it is submitted once more where the service makes one job of a key, unless it is sure that
                there is none: the answer names the job, and the first submission, should it arrive later, makes no
                other.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        if self.record.settles_at is None:
            return None
        key = self.record.key(self.context, self.options.epoch)
        if self.protocol.finds:
            handle = look(self.hook, self.protocol.find(key))
            if handle is not None or clock.now() >= self.record.settles_at:
                return handle
        if repeat and self.protocol.unique:
            return repeat_submission(self.hook, self._submitted().submit(key), key)
        return None

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
        self._refusable = False
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
        patience = dataclasses.replace(self.patience, defer=self._defer)
        self._open = True
        try:
            answer = make_call(
                self.hook, call, self.context, patience, reconcile=reconcile if looks else None, resumed=resumed
            )
        except (Rejected, RateLimited, Unavailable) as error:
            self._open = error.in_doubt or isinstance(error, Conflict)
            raise
        if answer is None:
            raise _Found(found[-1])
        self._refusable = True
        return answer

    def _defer(self, until: float) -> NoReturn:
        """Give the worker back; a submission that waits is none that others may send on the task's behalf."""
        if self.record.trace is not None and "sealed" in self.record.trace:
            self.record.trace = None
            self.record.save(self.context)
        self.patience.defer(until)

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

    def look_for_lost(self) -> None:
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
            self.adopt(handle)
        else:
            self._expect_arrivals()

    def _spend(self, seconds: float) -> None:
        if self.options.deferrable and seconds > self.hook.gateway.retry.max_inline_wait:
            self.patience.defer(clock.now() + seconds)
        clock.sleep(seconds)


class _Found(Exception):
    """A look-up found the job of a submission whose outcome was unknown."""

    def __init__(self, handle: JobHandle) -> None:
        super().__init__()
        self.handle = handle
