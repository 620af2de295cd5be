"""The course of one call, without any I/O.

``call_flow`` is a generator: it *yields* what it wants done (``Send``, ``Wait``) and is *sent* what happened. A driver
carries that out with whichever HTTP library it has, so that the policy exists once and is tested without sockets.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from time import time
from urllib.parse import urljoin, urlsplit

from airgate.client.auth import RenewableAuth
from airgate.client.effects import Effect, Event, Send, Wait
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.policy.budget import RetryBudget
from airgate.policy.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    error_for_status,
)
from airgate.policy.outcome import Answered, NotSent, Outcome, Unanswered, Unusable
from airgate.policy.pacing import Pace
from airgate.policy.redaction import redact_text
from airgate.policy.retry import Again, Done, GiveUp, Later, decide, describe, retry_after

log = logging.getLogger(__name__)

EXCERPT_CHARS = 300


MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAFE_METHODS = frozenset({"GET", "HEAD"})

Flow = Generator[Effect, Event, Response]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the calls of one session know together."""

    pace: Pace
    budget: RetryBudget

    @classmethod
    def of(cls, gateway: Gateway) -> Shared:
        """A fresh one."""
        return cls(Pace(), RetryBudget(gateway.retry.budget))


def call_flow(
    request: Request,
    gateway: Gateway,
    *,
    expect: Collection[int] | None = None,
    deadline: float | None = None,
    shared: Shared | None = None,
    clock: Callable[[], float] = time,
    jitter: Callable[[], float] = random.random,
) -> Flow:
    """Send a request until its answer is final.

    Args:
        request: What to send, unsigned.
        gateway: Auth and retry settings to use.
        expect: Statuses that count as success; None means 200 to 299.
        deadline: Unix time by which the call must be over; None takes the gateway's total deadline from now.
        shared: What the session's calls know together; None for a call of its own.
        clock: Gives the Unix time.
        jitter: Gives random numbers from 0 to 1.

    Returns:
        The response, with the count of attempts and what came of the earlier ones.

    Raises:
        GatewayError: The typed error of what came instead (``airgate.errors``).
    """
    if deadline is None and gateway.retry.deadline:
        deadline = clock() + gateway.retry.deadline
    shared = shared or Shared.of(gateway)
    shared.budget.pay_in()
    attempt, redirects, renewed, waited, faults = 0, 0, False, 0.0, list[str]()
    while True:
        waited += yield from _keep_pace(request, gateway, shared.pace, deadline, attempt, clock)
        attempt += 1
        remaining = None if deadline is None else deadline - clock()
        if remaining is not None and remaining <= 0:
            raise _error(DeadlineExceeded, "no time is left", request, attempt - 1)
        signed, event = yield from _send(request, gateway, remaining, clock)
        now = clock()
        if isinstance(event, Unusable):
            raise _error(InvalidResponse, event.reason, request, attempt, gateway=gateway, status=event.status)
        if isinstance(event, Response):
            shared.pace.heed(event.headers, now)
            if event.status == 401 and not renewed and isinstance(gateway.auth, RenewableAuth):
                renewed = True
                # Refused at the door: nothing was taken up, so even an unkeyed write may go again, once.
                if gateway.auth.renew(signed):
                    faults.append(describe(Answered(401)))
                    continue
            if redirects < MAX_REDIRECTS and (target := _redirect(event, request, expect)):
                redirects += 1
                request = dataclasses.replace(request, url=target)
                continue
        outcome: Outcome = Answered(event.status, event.headers) if isinstance(event, Response) else event
        decision = decide(
            gateway.retry,
            method=request.method,
            keyed=request.keyed,
            outcome=outcome,
            attempt=attempt - redirects - renewed,
            remaining=None if deadline is None else deadline - now,
            now=now,
            jitter=jitter(),
        )
        if isinstance(decision, Done):
            assert isinstance(event, Response)
            return _accept(event, request, gateway, expect, attempt, waited, faults)
        if isinstance(decision, Again) and not shared.budget.spend():
            log.warning("%s %s: the retry budget of this connection is spent", request.method, request.safe_url)
            asked = retry_after(outcome.headers, now) if isinstance(outcome, Answered) else None
            decision = GiveUp(retryable=True, retry_after=asked)
        if not isinstance(decision, Again):
            raise _give_up(decision, event, outcome, request, gateway, attempt)
        faults.append(describe(outcome))
        log.warning(
            "%s %s: %s; attempt %d of %d, again in %.2f s",
            *(request.method, request.safe_url, faults[-1], attempt, gateway.retry.attempts, decision.delay),
        )
        yield Wait(decision.delay)
        waited += decision.delay


def _keep_pace(
    request: Request,
    gateway: Gateway,
    pace: Pace,
    deadline: float | None,
    attempts: int,
    clock: Callable[[], float],
) -> Generator[Effect, Event, float]:
    """Hold the request back as long as the server's limit asks for; gives the seconds waited."""
    now = clock()
    pause = pace.pause(now)
    if not pause:
        return 0.0
    reason = f"held back for {pause:.1f} s, as the server said that its limit is nearly used up"
    if deadline is not None and now + pause >= deadline:
        raise _error(DeadlineExceeded, f"{reason}, and the deadline leaves no time for it", request, attempts)
    if pause > gateway.retry.max_inline_wait:
        raise _error(RateLimited, reason, request, attempts, retry_after=pause)
    log.info("%s %s: %s", request.method, request.safe_url, reason)
    yield Wait(pause)
    return pause


def _redirect(response: Response, request: Request, expect: Collection[int] | None) -> str | None:
    """Where a safe request is sent on to, within the gateway's own origin; None where that is not for us to follow."""
    location = response.headers.get("location")
    if not location or response.status not in REDIRECTS or request.method not in SAFE_METHODS:
        return None
    if expect is not None and response.status in expect:
        return None
    target = urljoin(request.url, location)
    return target if _origin(target) == _origin(request.url) else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    split = urlsplit(url)
    return split.scheme, split.hostname, split.port or {"http": 80, "https": 443}.get(split.scheme)


def _send(
    request: Request, gateway: Gateway, remaining: float | None, clock: Callable[[], float]
) -> Generator[Effect, Event, tuple[Request, Response | NotSent | Unanswered | Unusable]]:
    signing = gateway.auth.sign(request, clock())
    try:
        wanted = next(signing)
        while True:
            if isinstance(wanted, Wait):
                yield wanted
                wanted = signing.send(None)
                continue
            event = yield Send(wanted, remaining)
            if not isinstance(event, Response):
                # Nothing of the caller's request has left yet, whatever became of the token request.
                assert event is not None
                return request, NotSent(f"authentication failed: {event.reason}")
            wanted = signing.send(event)
    except StopIteration as stop:
        signed: Request = stop.value
    finally:
        signing.close()
    event = yield Send(signed, remaining)
    assert event is not None
    return signed, event


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
        reason += ", a redirect that is not followed: only safe methods are sent on, within the gateway's origin"
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
    status: int | None = None,
) -> GatewayError:
    secrets = gateway.secrets if gateway else ()
    return kind(
        redact_text(reason, secrets),
        method=request.method,
        url=redact_text(request.safe_url, secrets),
        status=response.status if response else status,
        attempts=attempts,
        request_id=response.request_id if response else None,
        retry_after=retry_after,
        excerpt=redact_text(response.text, secrets)[:EXCERPT_CHARS] if response else "",
    )
