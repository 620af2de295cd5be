"""What holds a request back before it is sent: limits and circuits that processes share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from airgate.client.auth import NoAuth, NotSigned, Signing
from airgate.client.effects import Ask
from airgate.client.flow import Shared, call_flow, route_of
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.policy.breaker import BreakerSettings
from airgate.policy.errors import CircuitOpen, DeadlineExceeded, RateLimited, Unavailable
from airgate.policy.limits import Granted, Queued, Scope, parse_limits
from airgate.policy.outcome import NotSent
from airgate.policy.store import StoreUnavailable
from airgate.policy.store_sqlite import SqliteStore
from tests.client.course import GATEWAY, GET, POST, Course, Time, answer

LIMITED = dataclasses.replace(GATEWAY, limits=parse_limits({"rate": "1/s", "routes": {"/x": {"concurrency": 1}}}))
BROKEN_AFTER_TWO = dataclasses.replace(GATEWAY, breaker=BreakerSettings(failures=2, share=0.5, cooldown=7))


NO_PATIENCE = dataclasses.replace(GATEWAY.retry, max_inline_wait=1)


class Line:
    """A limiter that turns the first callers away, for as long as it is told, and remembers who holds a slot."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.held: set[str] = set()
        self.asked: list[str | None] = []
        self.scopes: list[str] = []

    def acquire(self, scopes: Sequence[Scope], *, lease: float, ticket: str | None = None) -> Granted | Queued:
        self.asked.append(ticket)
        self.scopes = [scope.key for scope in scopes]
        self.held.add("ticket")
        return Queued("ticket", self.waits.pop(0)) if self.waits else Granted("ticket")

    def release(self, ticket: str) -> None:
        self.held.discard(ticket)


class Down:
    """A store that cannot be reached."""

    def acquire(self, scopes: Sequence[Scope], *, lease: float, ticket: str | None = None) -> Granted | Queued:
        raise StoreUnavailable("the limits store at /x cannot be opened")

    def release(self, ticket: str) -> None:
        raise StoreUnavailable("the limits store at /x cannot be opened")


def limited(limiter: Line | Down, gateway: Gateway = LIMITED) -> Shared:
    return Shared.of(gateway, name="orders_gateway", limiter=limiter)


def test_a_queued_call_waits_for_its_turn_with_its_ticket() -> None:
    """It comes back with the place in line that it was given, waits as long as it was told, then sends and lets go."""
    line = Line(2.0, 0.5)
    course = Course(GET, [answer()], gateway=LIMITED, shared=limited(line))
    assert course.response is not None
    assert (course.waits, course.response.waited, course.response.attempts) == ([2.0, 0.5], 2.5, 1)
    assert line.asked == [None, "ticket", "ticket"]
    assert line.scopes == ["orders_gateway", "orders_gateway /x"]
    assert not line.held


def test_each_attempt_is_counted() -> None:
    """A retry is a request like any other to the service whose limit it is."""
    line = Line()
    Course(GET, [answer(503), answer(503), answer()], gateway=LIMITED, shared=limited(line))
    assert line.asked == [None, None, None]


def test_a_long_line_gives_the_worker_back() -> None:
    """A wait beyond max_inline_wait ends the call with a retryable error that knows the wait and the place in line."""
    line = Line(11.0)
    course = Course(POST, [answer()], gateway=LIMITED, shared=limited(line))
    assert isinstance(course.error, RateLimited)
    assert (course.error.retryable, course.error.retry_after, course.sent) == (True, 11.0, [])
    assert course.error.place == "ticket"
    later = Course(dataclasses.replace(POST, place="ticket"), [answer()], gateway=LIMITED, shared=limited(line))
    assert later.response is not None
    assert line.asked == [None, "ticket"]


def test_a_line_beyond_the_deadline_is_left() -> None:
    """Nothing is sent after the deadline, also not because of our own limits."""
    line = Line(*[9.0] * 9)
    course = Course(GET, [answer()], gateway=LIMITED, shared=limited(line))
    assert isinstance(course.error, DeadlineExceeded)
    assert (course.waits, course.sent, line.held) == ([9.0, 9.0], [], set())


def test_a_store_that_is_down_stops_a_limited_call() -> None:
    """Limits that cannot be kept are not passed over in silence, and nothing was sent: a later try is right."""
    course = Course(POST, [answer()], gateway=LIMITED, shared=limited(Down()))
    assert isinstance(course.error, Unavailable)
    assert course.error.retryable
    assert course.sent == []
    assert "/x cannot be opened" in str(course.error)


def test_an_abandoned_call_gives_its_slot_back() -> None:
    """A task that is cancelled while it waits for the answer frees its slot at once."""
    line = Line()
    flow = call_flow(GET, LIMITED, shared=limited(line))
    effect = flow.send(None)
    while isinstance(effect, Ask):
        effect = flow.send(effect.question())
    assert line.held
    flow.close()
    assert not line.held


def test_without_limits_nobody_is_asked() -> None:
    """A connection without limits never touches the store."""
    course = Course(GET, [answer()], shared=limited(Down(), GATEWAY))
    assert course.response is not None


@pytest.mark.parametrize("event", [answer(503), NotSent("refused")])
def test_a_circuit_opens_for_every_call_of_its_route(tmp_path: Path, event: Response | NotSent) -> None:
    """After the failures that its settings name, further calls are not sent and know when to come back."""
    store = SqliteStore(str(tmp_path / "store.sqlite"))
    shared = Shared.of(BROKEN_AFTER_TWO, name="orders_gateway", breaker=store)
    first = Course(GET, [event] * 3, gateway=BROKEN_AFTER_TWO, shared=shared)
    assert isinstance(first.error, CircuitOpen)
    assert len(first.sent) == 2
    assert first.error.retryable
    assert 0 < (first.error.retry_after or 0) <= 7
    other = Shared.of(BROKEN_AFTER_TWO, name="orders_gateway", breaker=SqliteStore(str(tmp_path / "store.sqlite")))
    assert isinstance(Course(GET, [answer()], gateway=BROKEN_AFTER_TWO, shared=other).error, CircuitOpen)
    elsewhere = Request("GET", "http://gw.test/y")
    assert Course(elsewhere, [answer()], gateway=BROKEN_AFTER_TWO, shared=other).response is not None


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Time, Shared]:
    """A circuit that has just opened for seven seconds, and the clock that it goes by."""
    time = Time()
    store = SqliteStore(str(tmp_path / "store.sqlite"), clock=time)
    shared = Shared.of(BROKEN_AFTER_TWO, breaker=store)
    Course(GET, [answer(503)] * 2, gateway=BROKEN_AFTER_TWO, shared=shared, time=time, deadline=time.now + 2)
    return time, shared


def test_a_short_rest_is_waited_for_inside(broken: tuple[Time, Shared]) -> None:
    """Up to max_inline_wait, as every other wait; then the call is the probe."""
    time, shared = broken
    course = Course(GET, [answer()], gateway=BROKEN_AFTER_TWO, shared=shared, time=time)
    assert course.response is not None
    assert course.waits == [pytest.approx(7, abs=1)]
    assert Course(GET, [answer()], gateway=BROKEN_AFTER_TWO, shared=shared, time=time).waits == []


def test_rests_add_up(broken: tuple[Time, Shared]) -> None:
    """A service that stays down does not keep a worker: beyond max_inline_wait altogether the call ends."""
    time, shared = broken
    course = Course(GET, [answer(503)] * 3, gateway=BROKEN_AFTER_TWO, shared=shared, time=time)
    assert isinstance(course.error, CircuitOpen)
    assert len(course.sent) == 1


def test_an_open_circuit_takes_nothing_from_a_limit(broken: tuple[Time, Shared]) -> None:
    """A permit that is not used would be lost to others."""
    time, shared = broken
    line = Line()
    gateway = dataclasses.replace(LIMITED, breaker=BROKEN_AFTER_TWO.breaker, retry=NO_PATIENCE)
    course = Course(GET, [], gateway=gateway, shared=dataclasses.replace(shared, limiter=line), time=time)
    assert isinstance(course.error, CircuitOpen)
    assert line.asked == []


class Unsigned(NoAuth):
    """Cannot sign the first request."""

    def __init__(self) -> None:
        self.asked = 0

    def sign(self, request: Request, now: float) -> Signing:
        self.asked += 1
        if self.asked == 1:
            raise NotSigned("the token endpoint is down")
        return request
        yield


def test_a_probe_that_could_not_be_signed_is_given_back(broken: tuple[Time, Shared]) -> None:
    """Nothing was sent, so the circuit learns nothing; the next attempt is the probe."""
    time, shared = broken
    time.now += 8
    gateway = dataclasses.replace(BROKEN_AFTER_TWO, auth=Unsigned())
    course = Course(GET, [answer()], gateway=gateway, shared=shared, time=time)
    assert course.response is not None
    assert course.waits == [1.0]  # the pause of a retry, not the cooldown


def test_what_the_service_says_no_to_does_not_open_its_circuit(tmp_path: Path) -> None:
    """A 404 or a 429 comes from a service that works."""
    shared = Shared.of(BROKEN_AFTER_TWO, breaker=SqliteStore(str(tmp_path / "store.sqlite")))
    for status in (404, 409, 400, 404):
        assert Course(GET, [answer(status)], gateway=BROKEN_AFTER_TWO, shared=shared).sent
    assert Course(GET, [answer()], gateway=BROKEN_AFTER_TWO, shared=shared).response is not None


@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("http://gw.test/orders", "/orders"),
        ("http://gw.test/v2/orders/17", "/v2/orders/{}"),
        ("http://gw.test/orders/5f2c-9a?x=1", "/orders/{}"),
    ],
)
def test_a_path_without_a_template_gets_one(url: str, route: str) -> None:
    """Ids must not make a series of metrics, or a circuit, each of its own."""
    assert route_of(url) == route
