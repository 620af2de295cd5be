"""The course of one call, without any I/O.

``call_flow`` is a generator: it *yields* what it wants done (``Send``, ``Wait``, ``Ask``) and is *sent* what happened.
A driver carries that out with whichever HTTP library it has, so that the policy exists once and is tested without
sockets.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import re
from collections.abc import Callable, Collection, Generator
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from airgate.client.admission import Admission, Shared
from airgate.client.auth import NotSigned, RenewableAuth
from airgate.client.clock import now
from airgate.client.effects import Ask, Effect, Event, Reply, Send, Wait
from airgate.client.failure import failure, give_up, outcome_of, refusal
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.observer import CallEnd
from airgate.client.outgoing import origin_of
from airgate.client.streamed import is_success
from airgate.policy.errors import DeadlineExceeded, GatewayError, InvalidResponse
from airgate.policy.outcome import Answered, NotSent, Unusable
from airgate.policy.retry import (
    TRANSIENT_STATUSES,
    Again,
    Done,
    GiveUp,
    decide,
    describe,
    harmless,
    leaves_doubt,
    retry_after,
)

__all__ = ["Flow", "Shared", "call_flow", "route_of"]

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAFE_METHODS = frozenset({"GET", "HEAD"})

Flow = Generator[Effect, Event, Response]


def call_flow(
    request: Request,
    gateway: Gateway,
    *,
    expect: Collection[int] | None = None,
    deadline: float | None = None,
    shared: Shared | None = None,
    clock: Callable[[], float] = now,
    jitter: Callable[[], float] = random.random,
) -> Flow:
    """Send a request until its answer is final.

    Args:
        request: What to send, unsigned.
        gateway: Auth, limits and retry settings to use.
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
    began = clock()
    if deadline is None and gateway.retry.deadline:
        deadline = began + gateway.retry.deadline
    shared = shared or Shared.of(gateway)
    course = _Course(request, gateway, expect, deadline, shared, clock, jitter)
    ending: Response | GatewayError | None = None
    try:
        ending = yield from course.run()
    except GatewayError as error:
        error.in_doubt = course.in_doubt
        if course.in_doubt and not harmless(request.method, request.keyed):
            # Whatever it is, another try might be a second effect.
            error.retryable = False
        ending = error
        raise
    finally:
        course.admission.abandon()
        if ending is not None:
            shared.observer.call_ended(course.end(ending, clock() - began))
    return ending


class _Course:
    """One call on its way: how often it was sent, what came of it, how long it was held back."""

    def __init__(
        self,
        request: Request,
        gateway: Gateway,
        expect: Collection[int] | None,
        deadline: float | None,
        shared: Shared,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.request = request
        self.gateway = gateway
        self.expect = expect
        self.deadline = deadline
        self.shared = shared
        self.clock = clock
        self.jitter = jitter
        self.route = request.route or route_of(request.url)
        self.admission = Admission(gateway, shared, self.route, deadline, clock, request.place)
        self.attempt = 0
        self.redirects = 0
        self.renewed = False
        self.backed_off = 0.0
        self.faults: list[str] = []
        self.in_doubt = request.in_doubt
        """Whether an attempt that did not succeed may have had its effect."""

    @property
    def waited(self) -> float:
        return self.backed_off + self.admission.waited

    def end(self, ending: Response | GatewayError, seconds: float) -> CallEnd:
        """What observers are told when the call is over."""
        request, well = self.request, isinstance(ending, Response)
        return CallEnd(
            request.method,
            request.safe_url,
            self.route,
            ending.status,
            None if well else type(ending).__name__,
            self.attempt,
            self.waited,
            seconds,
            ending.received if isinstance(ending, Response) else 0,
            ending.request_id,
        )

    def run(self) -> Flow:
        """Send until the answer is final."""
        gateway, shared = self.gateway, self.shared
        shared.budget.pay_in()
        while True:
            yield from self.admission.enter(self.request, self.attempt)
            signed, event = yield from self._attempt()
            request = self.request
            if isinstance(event, Unusable):
                self.in_doubt = True
                raise failure(
                    InvalidResponse, event.reason, request, self.attempt, gateway=gateway, status=event.status
                )
            if isinstance(event, Response):
                if is_success(event.status, self.expect):
                    return self._accepted(event)
                if self._goes_on(event, signed):
                    continue
            outcome, at = outcome_of(event), self.clock()
            decision = decide(
                gateway.retry,
                method=request.method,
                keyed=request.keyed,
                outcome=outcome,
                attempt=self.attempt - self.redirects - self.renewed,
                remaining=None if self.deadline is None else self.deadline - at,
                now=at,
                jitter=self.jitter(),
                in_doubt=self.in_doubt,
            )
            self.in_doubt = self.in_doubt or leaves_doubt(outcome)
            if isinstance(decision, Done):
                assert isinstance(event, Response)
                raise refusal(event, request, gateway, self.expect, self.attempt)
            asked = retry_after(outcome.headers, at) if isinstance(outcome, Answered) else None
            if isinstance(decision, Again) and not shared.budget.spend():
                log.warning("%s %s: the retry budget of this connection is spent", request.method, request.safe_url)
                decision = GiveUp(retryable=True, retry_after=asked)
            if not isinstance(decision, Again):
                raise give_up(decision, event, request, gateway, self.attempt)
            self.faults.append(describe(outcome))
            log.warning(
                "%s %s: %s; attempt %d of %d, again in %.2f s",
                *(request.method, request.safe_url, self.faults[-1], self.attempt, gateway.retry.attempts),
                decision.delay,
            )
            shared.observer.waited(decision.delay, "backoff" if asked is None else "retry_after")
            yield Wait(decision.delay)
            self.backed_off += decision.delay

    def _accepted(self, response: Response) -> Response:
        """The answer with the story of its call."""
        return dataclasses.replace(
            response,
            method=self.request.method,
            url=self.request.safe_url,
            attempts=self.attempt,
            waited=self.waited,
            faults=tuple(self.faults),
        )

    def _attempt(self) -> Generator[Effect, Event, tuple[Request, Reply]]:
        """Sign and send once; gives the signed request and what came of it."""
        self.attempt += 1
        remaining = None if self.deadline is None else self.deadline - self.clock()
        if remaining is not None and remaining <= 0:
            raise failure(DeadlineExceeded, "no time is left", self.request, self.attempt - 1)
        signed, refusal = yield from self._sign()
        if refusal is not None:
            yield from self.admission.leave(None)
            return signed, refusal
        observed = self.shared.observer.attempt_started(signed, self.route, self.attempt)
        headers = observed.headers
        event: Reply | None = None
        try:
            event = yield Send(signed.with_headers(headers) if headers else signed, remaining)
        finally:
            observed.ended(event)
        assert event is not None
        if isinstance(event, Response):
            self.shared.pace.heed(event.headers, self.clock())
        yield from self.admission.leave(event)
        return signed, event

    def _sign(self) -> Generator[Effect, Event, tuple[Request, NotSent | None]]:
        """The signed request, or why it cannot be signed now; nothing of the caller's request has left by then."""
        request = self.request
        signing = self.gateway.auth.sign(request, self.clock())
        try:
            wanted = next(signing)
            while True:
                left = None if self.deadline is None else self.deadline - self.clock()
                if isinstance(wanted, Wait) and left is not None and wanted.seconds >= left:
                    reason = "no time is left to wait for a token"
                    raise failure(DeadlineExceeded, reason, request, self.attempt - 1)
                if isinstance(wanted, Wait | Ask):
                    wanted = signing.send((yield wanted))
                    continue
                event: Reply = yield Send(wanted, left)
                if not isinstance(event, Response):
                    wanted = signing.throw(NotSigned(event.reason))
                elif event.status in TRANSIENT_STATUSES:
                    said = f"the token endpoint answered {describe(Answered(event.status))}"
                    asked = retry_after(event.headers, self.clock())
                    wanted = signing.throw(NotSigned(said, status=event.status, retry_after=asked))
                else:
                    wanted = signing.send(event)
        except StopIteration as stop:
            signed: Request = stop.value
            return signed, None
        except NotSigned as refused:
            return request, NotSent(f"authentication failed: {refused.reason}", refused.retry_after)
        finally:
            signing.close()

    def _goes_on(self, response: Response, signed: Request) -> bool:
        """Whether the answer only shows the way: to a fresh token, or to another place of the same origin."""
        auth = self.gateway.auth
        if response.status == 401 and not self.renewed and isinstance(auth, RenewableAuth):
            self.renewed = True
            # Refused at the door: nothing was taken up, so even an unkeyed write may go again, once.
            if auth.renew(signed):
                self.faults.append(describe(Answered(401)))
                return True
        if self.redirects < MAX_REDIRECTS and (target := _redirect(response, self.request, self.expect)):
            self.redirects += 1
            self.request = dataclasses.replace(self.request, url=target)
            return True
        return False


_VARIABLE = re.compile(r"^(?!v\d+$)(?=.*\d).*$")


def route_of(url: str) -> str:
    """A path template for a URL that came without one: segments with a digit become ``{}``, versions stay."""
    return _template_of(urlsplit(url).path)


@lru_cache(maxsize=256)
def _template_of(path: str) -> str:
    return "/".join("{}" if _VARIABLE.match(segment) else segment for segment in path.split("/"))


def _redirect(response: Response, request: Request, expect: Collection[int] | None) -> str | None:
    """Where a safe request is sent on to, within the gateway's own origin; None where that is not for us to follow."""
    location = response.headers.get("location")
    if not location or response.status not in REDIRECTS or request.method not in SAFE_METHODS:
        return None
    if expect is not None and response.status in expect:
        return None
    try:
        target = urljoin(request.url, location)
        origin_of(target)
        return target if _origin(target) == _origin(request.url) else None
    except ValueError:  # nothing that could be called
        return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    split = urlsplit(url)
    return split.scheme, split.hostname, split.port or {"http": 80, "https": 443}.get(split.scheme)
