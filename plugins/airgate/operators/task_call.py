"""A call with all that a task can promise: one effect over all tries, long waits without a worker, one deadline."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from airgate.client import clock
from airgate.client.message import Request, Response
from airgate.hooks.call import Call, as_call, build_request, fingerprint, is_streamed, with_key, with_own_key
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.waits import TaskDeadline
from airgate.hooks.writes import EPOCH_KEY, Write
from airgate.operators.patience import Patience
from airgate.policy.errors import GatewayError, NotFound, OutcomeUnknown
from airgate.policy.idempotency import SAFE_METHODS, use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS

log = logging.getLogger(__name__)

Reconcile = Callable[[GatewayHook], Response | bool | None]
"""Says whether a write happened: its response or True, False when it did not, None when nobody knows."""


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
    time = TaskDeadline(context, gateway.task_deadline if patience.deadline is None else patience.deadline)
    ends = time.start(resumed=resumed)
    call = hook.resolve(call)
    request, write = _prepared(hook, call, context)
    began = clock.now()
    attempts = _Attempts(hook, call, request, write, reconcile, ends, time.place)
    while True:
        try:
            return attempts.make()
        except GatewayError as error:
            place = patience.spend(error, gateway, time, began)
            attempts = dataclasses.replace(attempts, place=place)


def _prepared(hook: GatewayHook, call: Call, context: Any) -> tuple[Request, Write | None]:
    """The request with its key, and what the task remembers of it, which is nothing for a read."""
    header = hook.gateway.idempotency_header
    call = with_own_key(call, header)
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
        by_name=EPOCH_KEY in context,  # a saga looks for the effect under the key of its step
        streamed=is_streamed(request),
    )
    if write.key is not None:
        request = with_key(request, write.key, header, relied=write.relied)
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
    place: str = ""
    """In the line of the gateway's own limits, from before a long wait."""

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
        in_doubt = self.write is not None and self.write.in_doubt
        request = dataclasses.replace(self.request, in_doubt=in_doubt, place=self.place)
        try:
            return self.hook.send(request, expect=self.call.expect, deadline=self.ends)
        except (GatewayError, ValueError) as error:
            if self.write is None:
                raise
            self.write.failed(error)
            if isinstance(error, GatewayError) and error.in_doubt:
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
            with self.hook.without_keys():
                found = reconcile(self.hook)
            if found is None or isinstance(found, (bool, Response)):
                return found
            raise TypeError(f"reconcile must return a response, True, False or None, not {type(found).__name__}")
        return look_up(self.hook, as_call(reconcile), "reconcile", deadline=self.ends)


def look_up(hook: GatewayHook, call: Call, what: str, *, deadline: float | None = None) -> Response | Literal[False]:
    """Ask the service for something that may be there.

    Args:
        hook: Whose gateway.
        call: With GET or HEAD.
        what: The argument that it came by, for errors.
        deadline: Unix time, None for the connection's.

    Returns:
        The response, False where the answer is 404.

    Raises:
        GatewayError: The typed error of what came instead.
        ValueError: It is no look-up.
    """
    request = hook.request(call)
    if request.method not in SAFE_METHODS:
        raise ValueError(f"{what} must be a look-up with GET or HEAD, not {request.method}")
    try:
        return hook.send(request, expect=call.expect, deadline=deadline)
    except NotFound as error:
        if error.status == HTTPStatus.NOT_FOUND:  # 410 says that it was there once
            return False
        raise
