"""The decisions of the edge's policies, by tables and by a clock of the test's own; no socket is opened."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.edge.circuits import Circuits
from airgate.edge.forwarding import Proxies
from airgate.edge.front import declared_refusal, front_refusal
from airgate.edge.rate_headers import policy_header, standing_header
from airgate.edge.rates import MemoryRates
from airgate.edge.slots import Slots
from airgate.policy.breaker import BreakerSettings, Closed, Open, Probe
from airgate.policy.limits import Limit, Scope, Window
from airgate.spec.extension_defaults import FrontLimits
from airgate.spec.message import Request


def request(path: bytes = b"/", query: bytes = b"", **headers: str) -> Request:
    return Request(
        "GET", path, query, [(name.replace("_", "-").encode(), each.encode()) for name, each in headers.items()]
    )


class Clock:
    """Seconds that the test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


MICROSECOND = 1e-6
FRONT = FrontLimits(headers=3, header_bytes=60, uri=10)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(b"/123456789"), None),
        (request(b"/1234567890"), 414),
        (request(b"/12345", b"67890"), 414),
        (request(a="1", b="2", c="3"), None),
        (request(a="1", b="2", c="3", d="4"), 431),
        (request(a="x" * 55), None),
        (request(a="x" * 56), 431),
    ],
)
def test_what_is_too_large_before_a_route_is_known(sent: Request, status: int | None) -> None:
    """Targets beyond the limit are 414, headers beyond number or size 431."""
    refused = front_refusal(sent, FRONT)
    assert (refused and refused.status) == status


@pytest.mark.parametrize(
    ("length", "status"), [("10", None), ("0010", None), ("11", 413), ("9" * 5000, 413), ("+11", None), (None, None)]
)
def test_a_body_that_says_it_is_too_large_is_refused_at_once(length: str | None, status: int | None) -> None:
    """A declared length beyond the limit is 413 before a byte is read."""
    refused = declared_refusal(request(**({"content_length": length} if length else {})), 10)
    assert (refused and refused.status) == status


SENDERS = [
    ([], "1.1.1.1", {}, "1.1.1.1", "1.1.1.1"),
    ([], "1.1.1.1", {"x_forwarded_for": "9.9.9.9"}, "1.1.1.1", "1.1.1.1"),
    (["10.0.0.0/8"], "1.1.1.1", {"x_forwarded_for": "9.9.9.9"}, "1.1.1.1", "1.1.1.1"),
    (["10.0.0.0/8"], "10.0.0.1", {"x_forwarded_for": "9.9.9.9"}, "9.9.9.9", "9.9.9.9, 10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", {"x_forwarded_for": "6.6.6.6, 9.9.9.9"}, "9.9.9.9", "9.9.9.9, 10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", {"x_forwarded_for": "9.9.9.9, 6.6.6.6, 9.9.9.9"}, "9.9.9.9", "9.9.9.9, 10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", {"x_forwarded_for": "9.9.9.9, 10.0.0.2"}, "9.9.9.9", "9.9.9.9, 10.0.0.2, 10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", {"x_forwarded_for": "evil"}, "10.0.0.1", "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", {}, "10.0.0.1", "10.0.0.1"),
    (["10.0.0.0/8"], "::ffff:10.0.0.1", {"x_forwarded_for": "9.9.9.9"}, "9.9.9.9", "9.9.9.9, ::ffff:10.0.0.1"),
    (["unix"], None, {"x_forwarded_for": "9.9.9.9"}, "9.9.9.9", "9.9.9.9, unix"),
    ([], None, {"x_forwarded_for": "9.9.9.9"}, "unix", "unix"),
]


@pytest.mark.parametrize(("proxies", "peer", "headers", "address", "told"), SENDERS)
def test_only_trusted_proxies_name_the_client(
    proxies: list[str], peer: str | None, headers: dict[str, str], address: str, told: str
) -> None:
    """The client is the last address that no trusted proxy has; what stands before it can be made up, and goes."""
    sender = Proxies.of(proxies).sender(peer, "http", request(host="shop.example", **headers))
    assert sender.address == address
    assert dict(sender.headers)["x-forwarded-for"] == told


def test_forwarding_headers_are_written_anew() -> None:
    """Scheme and host come from the connection unless a trusted proxy tells them; IPv6 is quoted (RFC 7239, 6)."""
    sent = request(host="shop.example", x_forwarded_proto="https", x_forwarded_host="evil.example")
    assert dict(Proxies().sender("::1", "http", sent).headers) == {
        "x-forwarded-for": "::1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example",
        "forwarded": 'for="[::1]";proto=http;host="shop.example"',
    }
    trusted = dict(Proxies.of(["::1"]).sender("::1", "http", sent).headers)
    assert (trusted["x-forwarded-proto"], trusted["x-forwarded-host"]) == ("https", "evil.example")


def scope(key: str, *windows: tuple[int, float], concurrency: int | None = None) -> Scope:
    return Scope(key, Limit(tuple(Window(*window) for window in windows), concurrency))


@settings(max_examples=200, deadline=None)
@given(
    windows=st.lists(st.tuples(st.integers(1, 4), st.floats(0.5, 5)), min_size=1, max_size=2),
    steps=st.lists(st.floats(0, 2), min_size=1, max_size=80),
)
def test_no_stretch_of_a_window_has_more_grants_than_it_allows(
    windows: list[tuple[int, float]], steps: list[float]
) -> None:
    """Exact to the microsecond that limits count in, wherever it begins; whoever waits as long as told gets in."""
    clock = Clock()
    rates, asked = MemoryRates(clock=clock), [scope("a", *windows)]
    granted: deque[float] = deque()
    for step in steps:
        clock.now += step
        turn = rates.take_now(asked)
        if not turn.granted:
            clock.now += turn.wait + 2 * MICROSECOND
            assert rates.take_now(asked).granted
        granted.append(clock.now)
        for requests, seconds in windows:
            assert sum(moment >= clock.now - seconds + 2 * MICROSECOND for moment in granted) <= requests


def test_a_request_takes_from_all_its_scopes_or_from_none() -> None:
    """A client that is over its own limit takes nothing from the route's."""
    rates = MemoryRates(clock=Clock())
    route, client, other = scope("r", (3, 60)), scope("r a", (1, 60)), scope("r b", (5, 60))
    assert [rates.take_now([route, client]).granted for _ in range(4)] == [True, False, False, False]
    assert [rates.take_now([route, other]).granted for _ in range(4)] == [True, True, False, False]


def test_memory_of_clients_is_bounded() -> None:
    """With room for ten, the ten that were granted last are remembered."""
    rates = MemoryRates(clock=Clock(), most=10)
    assert all(rates.take_now([scope(str(number), (1, 60))]).granted for number in range(1000))
    assert len(rates._logs) == 10
    assert not rates.take_now([scope("999", (1, 60))]).granted


def test_headers_tell_limits_and_what_is_left() -> None:
    """As the draft on RateLimit headers has it: quota and window, remaining and seconds until more."""
    clock = Clock()
    rates, asked = MemoryRates(clock=clock), [scope("r", (10, 1), (3, 60))]
    rates.take_now(asked)
    clock.now += 20
    turn = rates.take_now(asked)
    assert policy_header([("route", asked[0].limit)]) == (b"ratelimit-policy", b'"route";q=10;w=1, "route";q=3;w=60')
    assert standing_header(["route"], turn.standing) == (b"ratelimit", b'"route";r=1;t=40')


def test_slots_are_taken_together_and_given_back() -> None:
    """The full scope is named, nothing is taken from the others, and leaving makes room."""
    slots = Slots()
    route, client = scope("r", concurrency=2), scope("r a", concurrency=1)
    assert slots.enter([route, client]) is None
    assert slots.enter([route, client]) == client
    assert slots.enter([route]) is None
    assert slots.enter([route]) == route
    slots.leave([route, client])
    assert slots.enter([route, client]) is None


def test_a_server_that_fails_is_left_alone_and_tried_again() -> None:
    """Half of the calls failing opens the circuit; after the cooldown one probe decides."""
    clock = Clock()
    circuits = Circuits(BreakerSettings(failures=3, share=0.5, window=10, cooldown=2, probes=1), clock=clock)
    for status in (200, 200, 200, 200, None, None, 503):
        assert isinstance(circuits.admit("up"), Closed)
        circuits.report("up", Closed(), status)
    assert isinstance(circuits.admit("up"), Closed), "four of seven went well"
    circuits.report("up", Closed(), 504)
    opened = circuits.admit("up")
    assert isinstance(opened, Open)
    assert 0 < opened.retry_after <= 2
    assert isinstance(circuits.admit("other"), Closed)
    clock.now += 2.1
    probe = circuits.admit("up")
    assert isinstance(probe, Probe)
    assert isinstance(circuits.admit("up"), Open)
    circuits.withdraw("up", probe)
    probe = circuits.admit("up")
    circuits.report("up", probe, 200)
    assert isinstance(circuits.admit("up"), Closed)


def test_what_went_well_long_ago_does_not_hide_failures() -> None:
    """Successes are forgotten with their window."""
    clock = Clock()
    circuits = Circuits(BreakerSettings(failures=3, share=0.5, window=10, cooldown=2), clock=clock)
    for _ in range(1000):
        circuits.report("up", Closed(), 200)
    clock.now += 20
    for _ in range(3):
        circuits.report("up", Closed(), None)
    assert isinstance(circuits.admit("up"), Open)
