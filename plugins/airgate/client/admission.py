"""What stands between a request and the wire: the server's pace, the circuit breaker, the limits of all processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from airgate.client.effects import Ask, Effect, Event, Reply, Wait
from airgate.client.failure import failure
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.observer import NullObserver, Observer, Why
from airgate.policy.breaker import Breaker, Open, Probe
from airgate.policy.budget import RetryBudget
from airgate.policy.errors import CircuitOpen, DeadlineExceeded, RateLimited, Unavailable
from airgate.policy.limits import Granted, Limiter
from airgate.policy.outcome import NotSent, Unanswered
from airgate.policy.pacing import Pace
from airgate.policy.store import StoreUnavailable

log = logging.getLogger(__name__)

UNBOUNDED_LEASE = 3600.0
"""Seconds that a call without a deadline may hold its slot; on one machine a dead holder's slot is free at once."""
LEASE_MARGIN = 10.0
"""Seconds that a slot is kept beyond the attempt's own end, so that no clock's error gives it away too early."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the calls of one session know together, some of it with other processes."""

    pace: Pace
    budget: RetryBudget
    name: str = ""
    """Whose limits these are: the connection's id, or the gateway's address."""
    limiter: Limiter | None = None
    breaker: Breaker | None = None
    observer: Observer = field(default_factory=NullObserver)

    @classmethod
    def of(
        cls,
        gateway: Gateway,
        *,
        name: str = "",
        limiter: Limiter | None = None,
        breaker: Breaker | None = None,
        observer: Observer | None = None,
    ) -> Shared:
        """A fresh one for a gateway."""
        return cls(
            Pace(),
            RetryBudget(gateway.retry.budget),
            name or gateway.base_url,
            limiter,
            breaker,
            observer or NullObserver(),
        )


class Admission:
    """Lets the attempts of one call through, one at a time, and takes back what each of them held.

    Args:
        gateway: Limits and breaker settings to hold to.
        shared: What keeps them.
        route: Path template of the call.
        deadline: Unix time by which the call must be over, None without one.
        clock: Gives the Unix time.
        place: In the line of the limits, from an earlier try; empty for the end of it.
    """

    def __init__(
        self,
        gateway: Gateway,
        shared: Shared,
        route: str,
        deadline: float | None,
        clock: Callable[[], float],
        place: str = "",
    ) -> None:
        self._gateway = gateway
        self._shared = shared
        self._deadline = deadline
        self._clock = clock
        self._circuit = f"{shared.name} {route}"
        self._route = route
        self._place = place
        self._probe = False
        self._rested = 0.0
        self._ticket: str | None = None
        self.waited = 0.0
        """Seconds that attempts were held back."""

    def enter(self, request: Request, attempts: int) -> Generator[Effect, Event, None]:
        """Hold the request back until it may go.

        Args:
            request: What is to be sent.
            attempts: Attempts sent before, for the error.

        Raises:
            CircuitOpen: Its route has failed too often lately, and is to rest for longer than ``max_inline_wait``.
            RateLimited: The wait is longer than the connection's ``max_inline_wait``.
            DeadlineExceeded: The wait is longer than the deadline leaves.
            Unavailable: The store of the limits does not answer.
        """
        pause = self._shared.pace.pause(self._clock())
        if pause:
            yield from self._wait(
                pause, request, attempts, "pace", "as the server said that its limit is nearly used up"
            )
        while True:
            # Asked first, as a permit that is taken and not used is lost to others.
            yield from self._rest(request, attempts)
            yield from self._take_permit(request, attempts)
            try:
                # Last, so that a probe is sent for sure: others wait for its result.
                if (yield from self._pass_breaker(request, attempts)):
                    return
            except Unavailable:
                yield from self.leave(None)
                raise
            yield from self.leave(None)

    def leave(self, event: Reply | None) -> Generator[Effect, Event, None]:
        """Give back what the attempt held and tell the breaker what came of it; None when it was never sent."""
        ticket, self._ticket = self._ticket, None
        limiter, breaker = self._shared.limiter, self._shared.breaker
        if ticket is not None and limiter is not None:
            yield from _asked(lambda: limiter.release(ticket))
        settings = self._gateway.breaker
        if settings is None or breaker is None:
            return
        probe, self._probe = self._probe, False
        if event is None and probe:
            yield from _asked(lambda: breaker.withdraw(self._circuit, settings))
        if event is not None:
            failed = isinstance(event, (NotSent, Unanswered)) or (isinstance(event, Response) and event.status >= 500)
            yield from _asked(lambda: breaker.report(self._circuit, settings, ok=not failed, probe=probe))

    def abandon(self) -> None:
        """Give back what the attempt held, from where nothing can be yielded any more: a closed generator."""
        limiter, breaker, settings = self._shared.limiter, self._shared.breaker, self._gateway.breaker
        ticket, self._ticket = self._ticket, None
        probe, self._probe = self._probe, False
        try:
            if ticket is not None and limiter is not None:
                limiter.release(ticket)
            if probe and breaker is not None and settings is not None:
                breaker.withdraw(self._circuit, settings)
        except StoreUnavailable as error:
            log.warning("what a call held could not be given back, it is free when its time ends: %s", error)

    def _rest(self, request: Request, attempts: int) -> Generator[Effect, Event, None]:
        """Wait while the circuit is open, or refuse to."""
        breaker, settings = self._shared.breaker, self._gateway.breaker
        if breaker is None or settings is None:
            return
        while rest := (yield from self._question(lambda: breaker.rest(self._circuit, settings), request, attempts)):
            self._shared.observer.circuit(self._route, "open")
            because = f"as too many calls of {self._route} failed lately and its circuit is open"
            if self._rested + rest > self._gateway.retry.max_inline_wait:
                raise failure(CircuitOpen, f"not sent, {because}", request, attempts, retry_after=rest)
            yield from self._wait(rest, request, attempts, "circuit", because)
            self._rested += rest

    def _pass_breaker(self, request: Request, attempts: int) -> Generator[Effect, Event, bool]:
        """Whether the circuit lets the attempt through; it may have opened since it was last looked at."""
        breaker, settings = self._shared.breaker, self._gateway.breaker
        if breaker is None or settings is None:
            return True
        state = yield from self._question(lambda: breaker.admit(self._circuit, settings), request, attempts)
        self._probe = isinstance(state, Probe)
        if isinstance(state, Open):
            return False
        self._shared.observer.circuit(self._route, "half_open" if self._probe else "closed")
        return True

    def _take_permit(self, request: Request, attempts: int) -> Generator[Effect, Event, None]:
        limiter = self._shared.limiter
        if limiter is None:
            return
        scopes = self._gateway.limits.scopes(self._shared.name, _path(request, self._gateway))
        if not scopes:
            return
        ticket = self._place or None
        self._place = ""
        while True:
            left = None if self._deadline is None else self._deadline - self._clock()
            lease = (UNBOUNDED_LEASE if left is None else max(left, 0.0)) + LEASE_MARGIN
            taken = yield from self._question(
                partial(limiter.acquire, scopes, lease=lease, ticket=ticket), request, attempts
            )
            self._ticket = ticket = taken.ticket
            if isinstance(taken, Granted):
                return
            try:
                yield from self._wait(taken.wait, request, attempts, "limit", "by the connection's own limits")
            except RateLimited as error:
                # The place is kept for whoever comes back with it; one that nobody comes back to holds nobody up.
                error.place, self._ticket = ticket, None
                raise
            except DeadlineExceeded:
                yield from self.leave(None)
                raise

    def _wait(
        self, seconds: float, request: Request, attempts: int, why: Why, because: str
    ) -> Generator[Effect, Event, None]:
        reason = f"held back for {seconds:.1f} s, {because}"
        if seconds > self._gateway.retry.max_inline_wait:
            # Whoever waits outside has another deadline.
            raise failure(RateLimited, reason, request, attempts, retry_after=seconds)
        if self._deadline is not None and self._clock() + seconds >= self._deadline:
            message = f"{reason}, and the deadline leaves no time for it"
            raise failure(DeadlineExceeded, message, request, attempts)
        log.info("%s %s: %s", request.method, request.safe_url, reason)
        self._shared.observer.waited(seconds, why)
        yield Wait(seconds)
        self.waited += seconds

    def _question(self, question: Callable[[], Any], request: Request, attempts: int) -> Generator[Effect, Event, Any]:
        answer = yield Ask(partial(_answer, question))
        if isinstance(answer, StoreUnavailable):
            raise failure(Unavailable, f"not sent: {answer}", request, attempts) from answer
        return answer


def _asked(question: Callable[[], Any]) -> Generator[Effect, Event, None]:
    """Ask, and do not let a broken store spoil a call whose answer is there."""
    answer = yield Ask(partial(_answer, question))
    if isinstance(answer, StoreUnavailable):
        log.warning("the store of limits and circuits did not take what it was told: %s", answer)


def _answer(question: Callable[[], Any]) -> Any:
    """The store's answer, or why it has none: a driver hands on both in the same way."""
    try:
        return question()
    except StoreUnavailable as error:
        return error


def _path(request: Request, gateway: Gateway) -> str:
    """The request's path below the gateway's own prefix."""
    return urlsplit(request.url).path.removeprefix(urlsplit(gateway.base_url).path.rstrip("/"))
