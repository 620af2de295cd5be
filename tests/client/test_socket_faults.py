"""What faults of a real socket become for a caller, in both drivers, and how often they make the server be asked."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from email.utils import formatdate
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from airgate.client import clock
from airgate.client.auth import BearerAuth, OAuth2Auth, TokenEndpoint
from airgate.client.message import join_url
from airgate.client.uploads import StreamBody
from airgate.policy.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidResponse,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unauthorized,
    Unavailable,
)
from airgate.policy.retry import RetrySettings
from tests.client.either_driver import FAST, Driver, EitherSession
from tests.client.raw_server import RawServer, answer, await_bytes, head, receive, reset
from tests.client.test_tls_settings import Authority

SECRET = "s3cr3t-0123456789"
GOOD = answer()
MB = 2**20

WRITE: dict[str, Any] = {"method": "POST", "body": b'{"n":1}'}
REQUESTS: dict[str, dict[str, Any]] = {"GET": {}, "POST": WRITE, "keyed POST": {**WRITE, "keyed": True}}
MAY_HAVE_ARRIVED = (OutcomeUnknown, False, 1)
"""What becomes of an unkeyed write that was sent once and not answered."""

Fault = Callable[[RawServer, socket.socket], None]


@contextmanager
def serving(*faults: Fault) -> Iterator[RawServer]:
    """A server that commits these in turn, the last one for ever, each on a connection of its own."""

    def of(fault: Fault) -> Callable[[socket.socket], None]:
        return lambda connection: fault(server, connection)

    with RawServer(*map(of, faults)) as server:
        yield server


def says(*pieces: bytes, every: float = 0.0, closing: bool = True) -> Fault:
    return lambda server, connection: server.say(*pieces, every=every, closing=closing)(connection)


def resets_unread(server: RawServer, connection: socket.socket) -> None:
    await_bytes(connection)
    reset(connection)


def resets(server: RawServer, connection: socket.socket) -> None:
    server.take(connection)
    reset(connection)


def hangs_up(server: RawServer, connection: socket.socket) -> None:
    server.take(connection)


def says_and_resets(piece: bytes) -> Fault:
    def fault(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(piece)
        reset(connection)

    return fault


def falls_silent(after: bytes = b"") -> Fault:
    def fault(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(after)
        server.stopped.wait(5)

    return fault


def repeats(piece: bytes) -> Fault:
    def fault(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        while True:
            connection.sendall(piece)

    return fault


def session(driver: Driver, url: str, **settings: Any) -> EitherSession:
    return driver.session(url, **{"auth": BearerAuth(SECRET), "read_timeout": 5, "connect_timeout": 5, **settings})


def outcome(http: EitherSession, asked: str = "GET", **more: Any) -> tuple[Any, ...]:
    """Status and attempts of an answer; else the error's class, whether it is retryable, and its attempts.

    What is raised besides gateway errors fails the test.
    """
    try:
        response = http.get(f"/x?api_key={SECRET}", **{**REQUESTS[asked], **more})
    except GatewayError as error:
        failure = error
    else:
        return response.status, response.attempts
    assert SECRET not in f"{failure} {failure!r} {failure.url} {failure.excerpt}"
    assert "object at 0x" not in str(failure)
    assert failure.__cause__ is None
    return type(failure), failure.retryable, failure.attempts


def second_try(asked: str) -> tuple[Any, ...]:
    """The outcome where the first attempt may have arrived and a second one would be answered."""
    return MAY_HAVE_ARRIVED if asked == "POST" else (200, 2)


def chunked(*chunks: bytes) -> bytes:
    return head("Transfer-Encoding: chunked") + b"".join(chunks)


def last(body: bytes = b"", *lines: str, status: str = "200 OK") -> bytes:
    """The last answer of its connection, which it says: otherwise the next request could be underway on it already."""
    return answer(body, "Connection: close", *lines, status=status)


def coded(body: bytes, codings: str = "gzip") -> bytes:
    return last(body, f"Content-Encoding: {codings}")


NO_WHOLE_ANSWER: dict[str, Fault] = {
    "reset unread": resets_unread,
    "reset": resets,
    "hang-up": hangs_up,
    "half a status line": says(b"HTTP/1.1 20"),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a body": says(answer(b"x" * 100)[:-50]),
    "half a body, reset": says_and_resets(answer(b"x" * 100)[:-50]),
    "half a chunk": says(chunked(b"64\r\n", b"x" * 50)),
    "no last chunk": says(chunked(b"3\r\nabc\r\n")),
    "a chunk of no size": says(chunked(b"zz\r\nabc\r\n", b"0\r\n\r\n")),
    "two lengths": says(head("Content-Length: 3", "Content-Length: 4") + b"abcd"),
    "only an interim answer": says(head(status="103 Early Hints")),
    "no HTTP": says(b"\0\xff\r\n\r\n"),
    "HTTP/0.9": says(b"<html>hello</html>"),
    "status 99": says(answer(status="99 Few")),
    "status 1000": says(answer(status="1000 Many")),
    "a line without colon": says(head("X-A: 1", "no colon", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"),
    "a huge header": says(answer(b"", "X-A: " + "a" * 200_000)),
    "a thousand headers": says(answer(b"", *(f"X-{number}: 1" for number in range(1000)))),
    "no gzip": says(coded(b"plain")),
    "half a gzip": says(coded(gzip.compress(b"hello")[:-9])),
    "gzip, wrong checksum": says(coded(gzip.compress(b"hello")[:-8] + bytes(8))),
    "half a gzip in gzip": says(coded(gzip.compress(gzip.compress(b"a")[:-9]), "gzip, gzip")),
}


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("fault", NO_WHOLE_ANSWER)
def test_only_an_unkeyed_write_is_not_repeated(
    driver: Driver, caplog: pytest.LogCaptureFixture, fault: str, asked: str
) -> None:
    """It may have arrived: the call leaves its outcome open. All else is sent again, and nothing shows a secret."""
    caplog.set_level("DEBUG")
    with serving(NO_WHOLE_ANSWER[fault], says(GOOD)) as server, session(driver, server.url) as http:
        assert outcome(http, asked) == second_try(asked)
    assert server.connections == (1 if asked == "POST" else 2)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("fault", NO_WHOLE_ANSWER)
def test_a_read_that_gets_no_whole_answer_ends(driver: Driver, fault: str) -> None:
    """After all its attempts, with an error that the next try of a task may be made after."""
    with serving(NO_WHOLE_ANSWER[fault]) as server, session(driver, server.url) as http:
        assert outcome(http) == (OutcomeUnknown, True, FAST.attempts)
    assert server.connections == FAST.attempts


def test_every_fault_on_the_way_is_told(driver: Driver) -> None:
    """A hang-up, two halves of answers and a 503 in a row end in the right answer, which knows of them."""
    faults = (hangs_up, *(NO_WHOLE_ANSWER[name] for name in ("half a body", "half a chunk")))
    with (
        serving(*faults, says(last(status="503 Service Unavailable")), says(GOOD)) as server,
        session(driver, server.url, retry=RetrySettings(attempts=5, backoff=0.01)) as http,
    ):
        response = http.get()
    assert (response.json(), response.attempts, len(server.requests)) == ({"a": 1}, 5, 5)
    assert response.faults == (
        "the connection was closed without an answer",
        "the answer broke off",
        "the answer broke off",
        "503 Service Unavailable",
    )


@pytest.mark.parametrize("asked", REQUESTS)
def test_a_refused_connection_provably_sent_nothing(driver: Driver, closed_port: int, asked: str) -> None:
    """Even an unkeyed write is tried again, and the next try of a task may be."""
    with session(driver, f"http://127.0.0.1:{closed_port}") as http:
        assert outcome(http, asked) == (Unavailable, True, FAST.attempts)
        with pytest.raises(Unavailable, match="connection refused"):
            http.get()


SILENT: dict[str, tuple[bytes, str]] = {
    "at once": (b"", "no answer within 0.4 s"),
    "in the head": (GOOD[:20], "no answer within 0.4 s"),
    "in the body": (GOOD[:-3], "silence for 0.4 s within the answer"),
}


@pytest.mark.parametrize("where", SILENT)
def test_a_server_that_falls_silent_is_left_after_the_read_timeout(driver: Driver, where: str) -> None:
    """Wherever in its answer that is: an unkeyed write does not go again, a read does and tells of it."""
    after, said = SILENT[where]
    began = time.monotonic()
    silence = falls_silent(after)
    with serving(silence, silence, says(GOOD)) as server, session(driver, server.url, read_timeout=0.4) as http:
        assert outcome(http, "POST") == MAY_HAVE_ARRIVED
        assert http.get().faults == (said,)
    assert len(server.requests) == 3
    assert 0.8 <= time.monotonic() - began < 2.5


DRIPPING: dict[str, list[bytes]] = {
    "head": [bytes([byte]) for byte in GOOD],
    "body": [head("Content-Length: 100"), *[b"x"] * 100],
    "chunks": [head("Transfer-Encoding: chunked"), *[b"1\r\nx\r\n"] * 100],
    "body without a length": [head(), *[b"x"] * 100],
    "nothing": [b""],
}


@pytest.mark.parametrize("asked", ["GET", "POST"])
@pytest.mark.parametrize("what", DRIPPING)
def test_an_answer_that_drips_ends_at_the_deadline(driver: Driver, what: str, asked: str) -> None:
    """No single byte comes late, the whole would take seconds."""
    retry = RetrySettings(deadline=0.3)
    every = 5 if what == "nothing" else 0.05
    with serving(says(*DRIPPING[what], every=every)) as server, session(driver, server.url, retry=retry) as http:
        began = time.monotonic()
        came = outcome(http, asked)
        assert 0.25 <= time.monotonic() - began < 1.3
    assert came == (MAY_HAVE_ARRIVED if asked == "POST" else (DeadlineExceeded, False, 1))
    assert len(server.requests) == 1


def answers_and(then: Fault, told: threading.Event, done: threading.Event) -> Fault:
    """Answer once and do something else to the connection, which is idle by then, as soon as that is told."""

    def fault(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(GOOD)
        told.wait(5)
        then(server, connection)
        done.set()

    return fault


ENDS: dict[str, Fault] = {
    "closed": lambda _, connection: connection.close(),
    "reset": lambda _, connection: reset(connection),
}


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("end", ENDS)
def test_a_connection_that_ended_while_idle_is_not_used(driver: Driver, end: str, asked: str) -> None:
    """Nobody has to repeat anything: the request goes out once, on a new connection."""
    told, done = threading.Event(), threading.Event()
    with serving(answers_and(ENDS[end], told, done), says(GOOD)) as server, session(driver, server.url) as http:
        http.get()
        told.set()
        assert done.wait(5)
        http.idle(0.05)
        assert outcome(http, asked) == (200, 1)
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("asked", REQUESTS)
def test_a_connection_that_ends_under_a_request_may_have_carried_it(driver: Driver, asked: str) -> None:
    """The server ends it at the moment at which it is used again: an unkeyed write is never sent twice."""
    told, done = threading.Event(), threading.Event()
    told.set()
    with serving(answers_and(resets_unread, told, done), says(GOOD)) as server, session(driver, server.url) as http:
        http.get()
        assert outcome(http, asked) == second_try(asked)
    assert server.connections == (1 if asked == "POST" else 2)


FOLLOWING = {"garbage": b"GARBAGE\r\n\r\n", "an answer": answer(b"evil"), "a timeout": answer(status="408 Timeout")}


@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize("what", FOLLOWING)
def test_what_follows_an_answer_is_no_answer(driver: Driver, what: str, when: str) -> None:
    """A length that was told too short, or a word that nobody asked for: the next call gets an answer of its own."""
    at_once, later = (FOLLOWING[what], b"") if when == "at once" else (b"", FOLLOWING[what])
    told, done = threading.Event(), threading.Event()

    def goes_on(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        connection.sendall(answer(b"abc") + at_once)
        told.wait(5)
        connection.sendall(later)
        done.set()
        while server.take(connection):
            connection.sendall(GOOD)

    with serving(goes_on, says(GOOD, closing=False)) as server, session(driver, server.url) as http:
        first = http.get().bytes
        told.set()
        assert done.wait(5)
        http.idle(0.05)
        assert [http.get().bytes for _ in range(2)] == [b'{"a":1}'] * 2
    assert first in {b"abc", b'{"a":1}'}


def test_a_body_without_a_length_ends_with_its_connection(driver: Driver) -> None:
    """The old way, which cannot tell an end from a break."""
    with serving(says(head() + b"ab", b"c", every=0.01)) as server, session(driver, server.url) as http:
        assert [http.get().bytes for _ in range(2)] == [b"abc"] * 2
    assert server.connections == 2


@pytest.mark.parametrize("asked", REQUESTS)
def test_interim_answers_are_passed_over(driver: Driver, asked: str) -> None:
    """RFC 9110, 15.2: any number of them may come, unasked."""
    hints = head("Link: </style.css>", status="103 Early Hints")
    pieces = head(status="100 Continue"), hints, hints + GOOD[:10], GOOD[10:]
    with serving(says(*pieces, every=0.01)) as server, session(driver, server.url) as http:
        assert outcome(http, asked) == (200, 1)


@pytest.mark.parametrize("asked", ["GET", "POST"])
def test_interim_answers_without_end_are_left(driver: Driver, asked: str) -> None:
    """At a number of them or at the deadline, whichever a driver comes to first."""
    hint = head("Link: </style.css>", status="103 Early Hints")
    began = time.monotonic()
    with (
        serving(repeats(hint)) as server,
        session(driver, server.url, retry=RetrySettings(attempts=4, backoff=0.01, deadline=0.5)) as http,
    ):
        kind, _, attempts = came = outcome(http, asked)
    assert time.monotonic() - began < 5
    assert came == MAY_HAVE_ARRIVED if asked == "POST" else kind in {OutcomeUnknown, DeadlineExceeded}
    assert server.connections == attempts


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls(authority: Authority, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name))
    return context


def only_tls_1_1(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def speaks_http(server: RawServer, connection: socket.socket) -> None:
    receive(connection)
    connection.sendall(answer(status="400 Bad Request"))


def over(context: ssl.SSLContext, fault: Fault) -> Fault:
    """The same within TLS, on this one connection."""

    def secured(server: RawServer, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            fault(server, inner)

    return secured


NO_TLS: dict[str, tuple[Callable[[Authority], Fault], bool, str]] = {
    "unknown authority": (lambda ca: over(tls(ca), says(GOOD)), True, r"certificate is not trusted"),
    "another name": (lambda ca: over(tls(ca, "elsewhere.test"), says(GOOD)), False, r"not trusted \(Hostname mismatch"),
    "TLS 1.1": (lambda ca: over(only_tls_1_1(tls(ca)), says(GOOD)), False, "the TLS connection failed"),
    "plain HTTP": (lambda _: speaks_http, False, "the TLS connection failed"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("case", NO_TLS)
def test_without_tls_nothing_is_sent(driver: Driver, authority: Authority, case: str, asked: str) -> None:
    """So even an unkeyed write is tried again, but for a certificate, which will be no other in a second."""
    fault, default, said = NO_TLS[case]
    attempts = 1 if "trusted" in said else FAST.attempts
    with (
        serving(fault(authority)) as server,
        session(driver, f"https://localhost:{server.port}", verify=default or authority.bundle) as http,
    ):
        assert outcome(http, asked) == (Unavailable, True, attempts)
        with pytest.raises(Unavailable, match=said):
            http.get()
    assert (server.connections, server.requests) == (2 * attempts, [])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_the_old_server_would_speak_to_others(authority: Authority) -> None:
    """It is there, and answers who speaks TLS 1.1: it was ours to refuse."""
    client = only_tls_1_1(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    client.load_verify_locations(authority.bundle)
    with (
        serving(over(only_tls_1_1(tls(authority)), says(GOOD))) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.1"


@pytest.mark.parametrize("fault", ["silence", "reset"])
def test_a_handshake_that_comes_to_nothing_is_tried_again(driver: Driver, authority: Authority, fault: str) -> None:
    """Within the connect timeout; an unkeyed write goes out once, over the second connection."""
    fails = resets_unread if fault == "reset" else lambda server, _: server.stopped.wait(5)
    with (
        serving(fails, over(tls(authority), says(GOOD))) as server,
        session(driver, f"https://localhost:{server.port}", verify=authority.bundle, connect_timeout=1) as http,
    ):
        assert outcome(http, "POST") == (200, 2)
    assert (server.connections, len(server.requests)) == (2, 1)


@pytest.mark.parametrize("asked", REQUESTS)
def test_tls_that_breaks_after_the_request_leaves_the_outcome_open(
    driver: Driver, authority: Authority, asked: str
) -> None:
    """The server may have taken a write up before; only an unkeyed one is not repeated."""
    context = tls(authority)

    def breaks(server: RawServer, connection: socket.socket) -> None:
        with connection.dup() as plain, context.wrap_socket(connection, server_side=True) as secured:
            server.take(secured)
            plain.sendall(b"this is no TLS record at all")

    with (
        serving(breaks, over(context, says(GOOD))) as server,
        session(driver, f"https://localhost:{server.port}", verify=authority.bundle) as http,
    ):
        assert outcome(http, asked) == second_try(asked)
    assert len(server.requests) == (1 if asked == "POST" else 2)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_429_is_heeded_to_the_second(driver: Driver, form: str) -> None:
    """The request, an unkeyed write too, comes again when the server wanted it to, not before and not much later."""
    wanted: list[float] = []
    came: list[float] = []

    def asks_to_wait(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        seconds = form == "seconds"
        wanted.append(time.time() + 1 if seconds else int(time.time()) + 2)
        after = "1" if seconds else formatdate(wanted[0], usegmt=True)
        connection.sendall(answer(b"", f"Retry-After: {after}", status="429 Too Many Requests"))

    def listens(server: RawServer, connection: socket.socket) -> None:
        server.take(connection)
        came.append(time.time())
        connection.sendall(GOOD)

    with serving(asks_to_wait, listens) as server, session(driver, server.url) as http:
        assert outcome(http, "POST") == (200, 2)
    assert -0.01 <= came[0] - wanted[0] < 1


BUSY = says(answer(status="503 Service Unavailable"), closing=False)


@pytest.mark.parametrize(("asked", "attempts"), [("GET", 4), ("POST", 1), ("keyed POST", 4)])
def test_a_storm_is_given_up(driver: Driver, asked: str, attempts: int) -> None:
    """After the attempts that a request may have, over one connection."""
    with serving(BUSY) as server, session(driver, server.url) as http:
        assert outcome(http, asked) == (Unavailable, asked != "POST", attempts)
    assert (server.connections, len(server.requests)) == (1, attempts)


class Instant(clock.SystemClock):
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def asleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def test_pauses_double_up_to_their_cap(driver: Driver) -> None:
    """Each is random between nothing and a bound, and over many calls comes near it."""
    retry = RetrySettings(attempts=5, backoff=0.5, backoff_cap=3, budget=0)
    with (
        serving(BUSY) as server,
        session(driver, server.url, retry=retry) as http,
        clock.running(instant := Instant()),
    ):
        for _ in range(40):
            outcome(http)
    longest = [max(instant.pauses[turn::4]) for turn in range(4)]
    assert all(0.7 * bound < pause <= bound for pause, bound in zip(longest, (0.5, 1, 2, 3), strict=True))
    assert len(server.requests) == 200


def test_a_storm_over_many_calls_is_stopped_by_the_budget(driver: Driver) -> None:
    """Twenty retries are saved up, and each call brings a fifth of one: 50 calls are no 200 requests."""
    with serving(BUSY) as server, session(driver, server.url) as http, clock.running(Instant()):
        came = [outcome(http) for _ in range(50)]
    assert came[0] == (Unavailable, True, 4)
    assert 50 + 20 <= len(server.requests) <= 50 + 20 + 50 / 5
    assert [attempts for *_, attempts in came[-5:]].count(1) == 4


TOKENS = ("early-0123456789", "late-0123456789")
REFUSED = last(status="401 Unauthorized")
_clients = itertools.count()


def token(value: str) -> bytes:
    return last(json.dumps({"access_token": value, "token_type": "bearer", "expires_in": 60}).encode())


def granting(driver: Driver, service: RawServer, identity: RawServer) -> EitherSession:
    """A session whose tokens come from the other server; no other test shares them."""
    endpoint = TokenEndpoint(f"{identity.url}/token")
    auth = OAuth2Auth(f"client-{next(_clients)}", SECRET, endpoint)
    return session(driver, service.url, auth=auth, headers={"X-Tenant": "north"})


@pytest.mark.parametrize(
    ("answers", "expected"), [((REFUSED, GOOD), (200, 2)), ((REFUSED, REFUSED), (Unauthorized, False, 2))]
)
def test_a_401_brings_one_fresh_token(driver: Driver, answers: tuple[bytes, ...], expected: tuple[Any, ...]) -> None:
    """For an unkeyed write, too, as it was refused at the door; a second refusal is final."""
    with (
        serving(*map(says, answers)) as service,
        serving(*(says(token(value)) for value in TOKENS)) as identity,
        granting(driver, service, identity) as http,
    ):
        assert outcome(http, "POST") == expected
    for value, request in zip(TOKENS, service.requests, strict=True):
        assert f"Authorization: Bearer {value}\r\n".encode() in request
        assert SECRET.encode() not in request.partition(b"\r\n")[2]
    assert len(identity.requests) == 2
    assert all(b"X-Tenant" not in request for request in identity.requests)


NO_TOKEN: dict[str, Fault] = {
    "reset unread": resets_unread,
    "hang-up": hangs_up,
    "half a token": says(token(TOKENS[0])[:-20]),
    "503": says(last(status="503 Service Unavailable")),
}


@pytest.mark.parametrize("fault", NO_TOKEN)
def test_a_token_that_does_not_come_is_asked_for_again(driver: Driver, fault: str) -> None:
    """Nothing of the write has left before: it goes out once there is a token, or never."""
    for then, expected, sent in ((says(token(TOKENS[0])), (200, 2), 1), (NO_TOKEN[fault], (Unavailable, True, 4), 0)):
        with (
            serving(says(GOOD)) as service,
            serving(NO_TOKEN[fault], then) as identity,
            granting(driver, service, identity) as http,
        ):
            assert outcome(http, "POST") == expected
        assert len(service.requests) == sent


TWICE = gzip.compress(gzip.compress(b"hello"))
CODED = {
    "once": coded(gzip.compress(b"hello")),
    "twice": coded(TWICE, "gzip, gzip"),
    "twice, on two lines": answer(TWICE, "Content-Encoding: gzip", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("how", CODED)
def test_codings_are_undone(driver: Driver, how: str) -> None:
    """The last one first; lines of a header are one list (RFC 9110, 5.3)."""
    with serving(says(CODED[how])) as server, session(driver, server.url) as http:
        assert http.get().bytes == b"hello"


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_before_it_grows(driver: Driver, layers: int) -> None:
    """A gigabyte as one megabyte of gzip, or as a few kilobytes of gzip in gzip: not asked for again."""
    bomb = gzip.compress(bytes(2**24)) * 64
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb)
    said = coded(bomb, ", ".join(["gzip"] * layers))
    with serving(says(said)) as server, session(driver, server.url, max_response_bytes=MB) as http:
        tracemalloc.start()
        began = time.monotonic()
        try:
            assert outcome(http) == (InvalidResponse, False, 1)
            assert time.monotonic() - began < 2
            assert tracemalloc.get_traced_memory()[1] < 16 * MB
        finally:
            tracemalloc.stop()
    assert len(server.requests) == 1


class Flood:
    """Announces five gigabytes and sends them from one piece of memory; counts what it got rid of."""

    size = 5 * 2**30
    piece = bytes(MB)

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, server: RawServer, connection: socket.socket) -> None:
        if server.take(connection).startswith(b"GET /warm"):
            connection.sendall(GOOD)
            return
        connection.sendall(head(f"Content-Length: {self.size}"))
        while self.sent < self.size:
            connection.sendall(self.piece)
            self.sent += len(self.piece)


def read_in_a_child(kind: str, url: str) -> tuple[int, int]:
    """Stream an answer; gives the bytes that came, and by how many this process has grown meanwhile."""

    def memory(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    with session(Driver(kind), url, retry=RetrySettings(deadline=60)) as http:
        http.get("/warm")
        before = memory("VmRSS")
        _, size = http.stream("/flood")
    return size, memory("VmHWM") - before


def test_five_gigabytes_flow_through(driver: Driver) -> None:
    """A streamed answer takes the memory of its pieces, whatever its size."""
    with serving(Flood()) as server, ProcessPoolExecutor(1, get_context("spawn")) as child:
        size, grown = child.submit(read_in_a_child, driver.kind, server.url).result(60)
    assert size == Flood.size
    assert grown < 50 * MB


def test_five_gigabytes_are_not_taken_in(driver: Driver) -> None:
    """Their length is told at the beginning, so nothing beyond what is on its way already is read for nothing."""
    with serving(flood := Flood()) as server, session(driver, server.url) as http:
        assert outcome(http) == (InvalidResponse, False, 1)
    assert flood.sent < 32 * MB


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_answer_beyond_the_limit_is_left(driver: Driver, coding: str) -> None:
    """A body of 64 MB without a length, or of 64 KB of gzip, is not taken in, and not asked for again."""
    body = bytes(64 * MB) if coding == "identity" else gzip.compress(bytes(64 * MB))
    said = head(f"Content-Encoding: {coding}") + body
    with serving(says(said)) as server, session(driver, server.url, max_response_bytes=MB) as http:
        assert outcome(http, "POST") == (InvalidResponse, False, 1)
        with pytest.raises(InvalidResponse, match="1048576 bytes"):
            http.get()
    assert len(server.requests) == 2


ODD: dict[str, tuple[bytes, type[GatewayError]]] = {
    "no text": (answer(b"no", "Content-Type: text/plain; charset=idna", status="404 Not Found"), NotFound),
    "no codec": (answer(b"no", "Content-Type: text/plain; charset=undefined", status="404 Not Found"), NotFound),
    "sent to no address": (answer(b"", "Location: http://[::1", status="302 Found"), InvalidResponse),
    "sent to no port": (answer(b"", "Location: http://127.0.0.1:99999/", status="302 Found"), InvalidResponse),
    "sent to what cannot be sent": (answer(b"", "Location: /\x7f", status="302 Found"), InvalidResponse),
    "another protocol": (head("Upgrade: x", status="101 Switching Protocols"), InvalidResponse),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_answer_is_a_typed_error(driver: Driver, case: str) -> None:
    """It came whole, so it is not asked for again, and what is wrong with it is no error of the caller's."""
    said, kind = ODD[case]
    with serving(says(said)) as server, session(driver, server.url) as http:
        assert outcome(http) == (kind, False, 1)
    assert len(server.requests) == 1


EVIL = "\0\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"
ESCAPED = "%00%0D%0AX-Evil%3A%201%0D%0A%0D%0AGET%20%2Fevil%20HTTP%2F1.1%0D%0A%0D%0A"


def test_values_cannot_change_the_request(driver: Driver) -> None:
    """In path and query they are escaped: this is all that goes over the wire."""
    with serving(says(GOOD)) as server, driver.session(server.url) as http:
        path = join_url(server.url, "/a/{name}/c", {"name": EVIL}, {"q": EVIL, EVIL: 1}).removeprefix(server.url)
        http.get(path, headers={"X-Tab": "a\tb"})
    (request,) = server.requests
    target, *lines = request.decode().split("\r\n")
    assert target == f"GET /a/{ESCAPED}/c?q={ESCAPED}&{ESCAPED}=1 HTTP/1.1"
    assert sorted(lines) == [
        *("", ""),
        *("Accept-Encoding: gzip, deflate", "Accept: */*", f"Host: 127.0.0.1:{server.port}"),
        *("User-Agent: airgate", "X-Tab: a\tb"),
    ]


LINE_BREAKS = ("\r\n", "\n", "\r", "\0", "\x0b", "\x85", "\u2028", EVIL)
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "path": lambda evil: {"path": f"/a{evil}b"},
    "query": lambda evil: {"path": f"/a?b={evil}c"},
    "header": lambda evil: {"headers": {"X-A": f"{SECRET}{evil}X-Evil: 1"}},
    "header name": lambda evil: {"headers": {f"X-A{evil}X-Evil": SECRET}},
    "method": lambda evil: {"method": f"GET /evil HTTP/1.1{evil}GET"},
    "length": lambda evil: {**WRITE, "headers": {"Content-Length": f"0{evil}"}},
    "chunks": lambda evil: {**WRITE, "headers": {"transfer-encoding": "chunked"}},
}


@pytest.mark.parametrize("place", PLACES)
def test_what_would_change_the_request_is_not_sent(driver: Driver, place: str) -> None:
    """The caller's mistake is the documented ValueError, which does not repeat the value: it may be a secret."""
    with serving(says(GOOD)) as server, session(driver, server.url) as http:
        for evil in LINE_BREAKS:
            with pytest.raises(ValueError, match="cannot be sent") as caught:
                http.get(**PLACES[place](evil))
            assert SECRET not in str(caught.value)
    assert (server.connections, server.requests) == (0, [])


def answers_early(status: str, then: Callable[[RawServer, socket.socket], None]) -> Fault:
    def fault(server: RawServer, connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(answer(b"no", status=status))
        then(server, connection)

    return fault


def reads_on(server: RawServer, connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(MB):
        pass


SIZE = 20 * MB
UPLOADS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: bytes(SIZE),
    "sized": lambda: StreamBody(lambda: itertools.repeat(bytes(MB), 20), size=SIZE),
    "chunked": lambda: StreamBody(lambda: itertools.repeat(bytes(MB), 20)),
}
REFUSALS: dict[str, tuple[Fault, bool]] = {
    "and reads on": (answers_early("413 Content Too Large", reads_on), True),
    "and closes": (answers_early("400 Bad Request", lambda *_: None), False),
    "and waits": (answers_early("413 Content Too Large", lambda server, _: server.stopped.wait(5)), False),
}


@pytest.mark.parametrize("upload", UPLOADS)
@pytest.mark.parametrize("then", REFUSALS)
def test_a_refusal_in_the_middle_of_an_upload_is_heard(driver: Driver, then: str, upload: str) -> None:
    """For sure where the server reads on; else it may be lost, and the outcome is unknown. Nothing hangs."""
    fault, certain = REFUSALS[then]
    began = time.monotonic()
    with serving(fault) as server, session(driver, server.url, connect_timeout=0.5) as http:
        came = outcome(http, "POST", body=UPLOADS[upload]())
    assert came in {(Rejected, False, 1), *(() if certain else (MAY_HAVE_ARRIVED,))}
    assert server.connections == 1
    assert time.monotonic() - began < 3


def test_an_upload_may_take_longer_than_a_connection(driver: Driver) -> None:
    """The connect timeout is over once there is a connection, however slowly the server reads."""

    def reads_slowly(server: RawServer, connection: socket.socket) -> None:
        left = SIZE
        while left > 0:
            left -= len(receive(connection))
            server.stopped.wait(1.2 * 65536 / SIZE)
        connection.sendall(GOOD)

    with serving(reads_slowly) as server, session(driver, server.url, connect_timeout=0.4) as http:
        assert outcome(http, "POST", body=bytes(SIZE)) == (200, 1)


def test_an_upload_that_is_given_up_goes_no_further(driver: Driver) -> None:
    """A server that reads on after the deadline finds the end of the connection, not the rest of the write."""
    told, done = threading.Event(), threading.Event()
    got = bytearray()

    def reads_late(server: RawServer, connection: socket.socket) -> None:
        told.wait(5)
        with suppress(ConnectionError):
            while data := connection.recv(MB):
                got.extend(data)
        done.set()

    with serving(reads_late) as server, session(driver, server.url, retry=RetrySettings(deadline=0.3)) as http:
        assert outcome(http, "POST", body=bytes(SIZE)) == MAY_HAVE_ARRIVED
        told.set()
        http.idle(0.2)
        assert done.wait(5)
    assert len(got) < SIZE
