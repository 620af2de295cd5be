"""The course of one call, without any I/O.

``call_flow`` is a generator: it *yields* what it wants done (``Send``, ``Wait``) and is *sent* what happened. A driver
carries that out with whichever HTTP library it has, so that the policy exists once and is tested without sockets.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from time import time

from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.policy.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    OutcomeUnknown,
    Unavailable,
    error_for_status,
)
from airgate.policy.outcome import Answered, NotSent, Outcome, Unanswered
from airgate.policy.redaction import redact_text
from airgate.policy.retry import Again, Done, GiveUp, Later, decide, describe

log = logging.getLogger(__name__)

EXCERPT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request; answer with a ``Response``, ``NotSent`` or ``Unanswered``."""

    request: Request
    timeout: float | None
    """Seconds that this attempt may take altogether, None without a limit."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait that many seconds; answer with None."""

    seconds: float


Effect = Send | Wait
Event = Response | NotSent | Unanswered | None
Flow = Generator[Effect, Event, Response]


def call_flow(
    request: Request,
    gateway: Gateway,
    *,
    expect: Collection[int] | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time,
    jitter: Callable[[], float] = random.random,
) -> Flow:
    """Send a request until its answer is final.

    Args:
        request: What to send, unsigned.
        gateway: Auth and retry settings to use.
        expect: Statuses that count as success; None means 200 to 299.
        deadline: Unix time by which the call must be over; None takes the gateway's total deadline from now.
        clock: Gives the Unix time.
        jitter: Gives random numbers from 0 to 1.

    Returns:
        The response, with the count of attempts and what came of the earlier ones.

    Raises:
        GatewayError: The typed error of what came instead (``airgate.errors``).
    """
    if deadline is None and gateway.retry.deadline:
        deadline = clock() + gateway.retry.deadline
    attempt, waited, faults = 0, 0.0, list[str]()
    while True:
        attempt += 1
        remaining = None if deadline is None else deadline - clock()
        if remaining is not None and remaining <= 0:
            raise _error(DeadlineExceeded, "no time is left", request, attempt - 1)
        event = yield from _send(request, gateway, remaining, clock)
        outcome: Outcome = Answered(event.status, event.headers) if isinstance(event, Response) else event
        now = clock()
        decision = decide(
            gateway.retry,
            method=request.method,
            keyed=request.keyed,
            outcome=outcome,
            attempt=attempt,
            remaining=None if deadline is None else deadline - now,
            now=now,
            jitter=jitter(),
        )
        if isinstance(decision, Done):
            assert isinstance(event, Response)
            return _accept(event, request, gateway, expect, attempt, waited, faults)
        if not isinstance(decision, Again):
            raise _give_up(decision, event, outcome, request, gateway, attempt)
        faults.append(describe(outcome))
        log.warning(
            "%s %s: %s; attempt %d of %d, again in %.2f s",
            *(request.method, request.safe_url, faults[-1], attempt, gateway.retry.attempts, decision.delay),
        )
        yield Wait(decision.delay)
        waited += decision.delay


def _send(
    request: Request, gateway: Gateway, remaining: float | None, clock: Callable[[], float]
) -> Generator[Effect, Event, Response | NotSent | Unanswered]:
    signing = gateway.auth.sign(request, clock())
    try:
        wanted = next(signing)
        while True:
            event = yield Send(wanted, remaining)
            if not isinstance(event, Response):
                # Nothing of the caller's request has left yet, whatever became of the token request.
                assert event is not None
                return NotSent(f"authentication failed: {event.reason}")
            wanted = signing.send(event)
    except StopIteration as stop:
        signed: Request = stop.value
    event = yield Send(signed, remaining)
    assert event is not None
    return event


def _accept(
    response: Response,
    request: Request,
    gateway: Gateway,
    expect: Collection[int] | None,
    attempt: int,
    waited: float,
    faults: list[str],
) -> Response:
    status = response.status
    if status in expect if expect is not None else 200 <= status < 300:
        return Response(
            status, response.headers, response.bytes, request.method, request.safe_url, attempt, waited, tuple(faults)
        )
    kind = error_for_status(status)
    reason = f"answered {describe(Answered(status))}"
    if kind is InvalidResponse and "location" in response.headers:
        reason += ", a redirect, which is never followed so that credentials stay with the gateway"
    elif expect is not None:
        reason += f", expected {', '.join(map(str, sorted(expect)))}"
    raise _error(kind, reason, request, attempt, response, gateway)


def _give_up(
    decision: GiveUp | Later,
    event: Event,
    outcome: Outcome,
    request: Request,
    gateway: Gateway,
    attempt: int,
) -> GatewayError:
    response = event if isinstance(event, Response) else None
    if isinstance(decision, Later):
        decision = GiveUp(retryable=True, retry_after=decision.delay)
    kind: type[GatewayError] = OutcomeUnknown
    reason = describe(outcome)
    if decision.deadline_passed:
        kind, reason = DeadlineExceeded, f"{reason}, and the deadline leaves no time to try again"
    elif response is not None:
        kind, reason = error_for_status(response.status), f"answered {reason}"
    elif isinstance(outcome, NotSent):
        kind = Unavailable
    if not decision.retryable:
        reason += "; a write without an idempotency key is not repeated"
    error = _error(kind, reason, request, attempt, response, gateway, retry_after=decision.retry_after)
    error.retryable = decision.retryable and not decision.deadline_passed
    return error


def _error(
    kind: type[GatewayError],
    reason: str,
    request: Request,
    attempts: int,
    response: Response | None = None,
    gateway: Gateway | None = None,
    retry_after: float | None = None,
) -> GatewayError:
    secrets = gateway.secrets if gateway else ()
    return kind(
        redact_text(reason, secrets),
        method=request.method,
        url=redact_text(request.safe_url, secrets),
        status=response.status if response else None,
        attempts=attempts,
        request_id=response.request_id if response else None,
        retry_after=retry_after,
        excerpt=redact_text(response.text, secrets)[:EXCERPT_CHARS] if response else "",
    )
