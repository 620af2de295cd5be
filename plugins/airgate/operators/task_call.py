"""A call with all that a task can promise: one effect over all tries, long waits without a worker, one deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from airgate.client import clock
from airgate.client.message import Request, Response
from airgate.hooks.call import Call, as_call, build_request, fingerprint, with_key
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.waits import LongWait, TaskDeadline, long_wait, spanning_seconds
from airgate.hooks.writes import Write
from airgate.policy.errors import DeadlineExceeded, GatewayError, NotFound, OutcomeUnknown, Unavailable
from airgate.policy.idempotency import SAFE_METHODS, use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS

log = logging.getLogger(__name__)

Reconcile = Callable[[GatewayHook], Response | bool | None]
"""Says whether a write happened: its response or True, False when it did not, None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a task waits."""

    defer: Callable[[float], NoReturn]
    """Gives the worker back until a Unix time."""
    mode: LongWait | None = None
    """None for the connection's."""
    deferrable: bool = True
    deadline: float | None = None
    """Seconds over all tries; None for the connection's."""


def make_call(
    hook: GatewayHook,
    call: Call,
    context: Any,
    patience: Patience,
    *,
    reconcile: Reconcile | Call | Mapping[str, Any] | None = None,
    resumed: bool = False,
) -> Response | None:
    """Make the call of a task.

    Args:
        hook: Whose gateway.
        call: What is to be called.
        context: The task's.
        patience: How it waits.
        reconcile: Says whether a write whose outcome is unknown happened.
        resumed: Whether the same try goes on after a long wait.

    Returns:
        The response; None for a write of which ``reconcile`` only knows that it happened.

    Raises:
        GatewayError: The typed error of what came instead.
        ValueError: The fields do not make a request.
    """
    gateway = hook.gateway
    time = TaskDeadline(context, spanning_seconds(gateway, patience.deadline))
    ends = time.start(resumed=resumed)
    call = hook.resolve(call)
    request, write = _prepared(hook, call, context)
    mode = patience.mode or gateway.long_wait
    if mode == "defer" and not patience.deferrable:
        mode = "retry"
    attempts = _Attempts(hook, call, request, write, reconcile, ends)
    while True:
        try:
            return attempts.make()
        except GatewayError as error:
            wait = long_wait(error, gateway)
            if wait is None:
                raise
            time.leaves(wait, error)
            if mode == "retry":
                raise
            # An open circuit sends nothing, and must not be waited for without end.
            time.count(max(error.attempts, 1))
            if time.attempts >= gateway.retry.attempts:
                raise
            log.warning("%s; the wait of %.0f s is spent %s", error, wait, _PLACE[mode])
            if mode == "defer":
                patience.defer(clock.now() + wait)
            clock.sleep(wait)


_PLACE = {"defer": "in the triggerer", "inline": "in this worker"}


def _prepared(hook: GatewayHook, call: Call, context: Any) -> tuple[Request, Write | None]:
    """The request with its key, and what the task remembers of it, which is nothing for a read."""
    request = build_request(hook.gateway.base_url, call)
    use = use_of_key(request.method, call.idempotency_key, hook.gateway.idempotency)
    # Without a key, what may be repeated anyway needs no memory.
    if use == "off" and request.method in IDEMPOTENT_METHODS | SAFE_METHODS:
        return request, None
    write = Write(
        context,
        name=call.name or context["ti"].task_id,
        fingerprint=fingerprint(call, request),
        use=use,
        key=call.idempotency_key if isinstance(call.idempotency_key, str) else None,
        epoch=call.epoch,
    )
    if write.key is not None:
        request = with_key(request, write.key, hook.gateway.idempotency_header, relied=write.relied)
    return request, write


class _NotDone(Exception):
    """The look-up says that the write did not happen."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class _Attempts:
    """Sends a request; a write whose outcome is unknown again only after a look-up."""

    hook: GatewayHook
    call: Call
    request: Request
    write: Write | None
    reconcile: Reconcile | Call | Mapping[str, Any] | None
    ends: float | None

    def make(self) -> Response | None:
        retry = self.hook.gateway.retry
        for number in range(1, retry.attempts + 1):
            try:
                return self._once()
            except _NotDone as signal:
                if number == retry.attempts:
                    raise signal.error from None
                log.warning("%s; the look-up says that it did not happen, so it is sent again", signal.error)
                clock.sleep(min(retry.backoff * 2.0 ** (number - 1), retry.backoff_cap, retry.max_inline_wait))
        raise AssertionError("the last round returns or raises")

    def _once(self) -> Response | None:
        if self.write is not None:
            try:
                self.write.begin()
            except OutcomeUnknown as error:
                return self._look_up(error)
        try:
            return self.hook.send(self.request, expect=self.call.expect, deadline=self.ends)
        except (GatewayError, ValueError) as error:
            if self.write is None:
                raise
            self.write.failed(error)
            if isinstance(error, (OutcomeUnknown, Unavailable, DeadlineExceeded)) and not error.retryable:
                return self._look_up(error)
            raise

    def _look_up(self, error: GatewayError) -> Response | None:
        """What became of a write, by the service's own word."""
        if self.reconcile is None or self.write is None or self.write.repeatable:
            raise error
        try:
            found = self._ask(self.reconcile)
        except Exception as failure:
            # The look-up has no effect, so the next try may look again.
            again = isinstance(failure, GatewayError) and failure.retryable
            raise OutcomeUnknown(
                f"{error.reason}; whether it happened could not be found out: {failure}",
                method=error.method,
                url=error.url,
                attempts=error.attempts,
                retryable=again,
                retry_after=failure.retry_after if isinstance(failure, GatewayError) else None,
            ) from failure
        if found is None:
            raise error
        if found is False:
            self.write.forget()
            raise _NotDone(error) from error
        log.warning("%s; the look-up says that it happened", error)
        return found if isinstance(found, Response) else None

    def _ask(self, reconcile: Reconcile | Call | Mapping[str, Any]) -> Response | bool | None:
        if callable(reconcile):
            return reconcile(self.hook)
        call = as_call(reconcile)
        request = self.hook.request(call)
        if request.method not in SAFE_METHODS:
            raise ValueError(f"reconcile must be a look-up with GET or HEAD, not {request.method}")
        try:
            return self.hook.send(request, expect=call.expect, deadline=self.ends)
        except NotFound:
            return False
