"""Turns what came of a call into the answer that was asked for, or into the typed error of what came instead."""

from __future__ import annotations

from collections.abc import Collection

from airgate.client.effects import Reply
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
from airgate.policy.outcome import Answered, NotSent, Outcome
from airgate.policy.redaction import one_line, redact_text
from airgate.policy.retry import GiveUp, Later, describe

EXCERPT_CHARS = 300


def outcome_of(event: Response | Outcome) -> Outcome:
    """The event as the retry decision sees it."""
    return Answered(event.status, event.headers) if isinstance(event, Response) else event


def refusal(
    response: Response, request: Request, gateway: Gateway, expect: Collection[int] | None, attempts: int
) -> GatewayError:
    """The error of a final answer that is no success."""
    status = response.status
    kind = error_for_status(status)
    reason = f"answered {describe(Answered(status))}"
    if kind is InvalidResponse and "location" in response.headers:
        reason += ", a redirect that is not followed: only safe methods are sent on, within the gateway's origin"
    elif expect is not None:
        reason += f", expected {', '.join(map(str, sorted(expect)))}"
    return failure(kind, reason, request, attempts, response=response, gateway=gateway)


def give_up(decision: GiveUp | Later, event: Reply, request: Request, gateway: Gateway, attempts: int) -> GatewayError:
    """The error of a call that is not sent again."""
    response = event if isinstance(event, Response) else None
    outcome = outcome_of(event)  # type: ignore[arg-type] # an Unusable ends a call before anything is decided
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
    error = failure(
        kind, reason, request, attempts, response=response, gateway=gateway, retry_after=decision.retry_after
    )
    error.retryable = decision.retryable and not decision.deadline_passed
    return error


def failure(
    kind: type[GatewayError],
    reason: str,
    request: Request,
    attempts: int,
    *,
    response: Response | None = None,
    gateway: Gateway | None = None,
    retry_after: float | None = None,
    status: int | None = None,
) -> GatewayError:
    """A typed error that tells of the call and shows no secret of the gateway's."""
    secrets = gateway.secrets if gateway else ()
    return kind(
        redact_text(reason, secrets),
        method=request.method,
        url=redact_text(request.safe_url, secrets),
        status=response.status if response else status,
        attempts=attempts,
        request_id=response.request_id if response else None,
        retry_after=retry_after,
        excerpt=one_line(redact_text(response.text, secrets))[:EXCERPT_CHARS] if response else "",
    )
