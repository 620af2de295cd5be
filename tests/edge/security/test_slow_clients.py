"""Clients that hold a connection and do little with it: each is let go, and honest ones are served meanwhile."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.edge.edge_process import receive
from tests.edge.operated import PATIENCE, eventually
from tests.edge.security.attacked_edge import Attacked, attacked, proxy

CROWD = 500
LIMITS = {"header_seconds": 1, "body_seconds": 1, "seconds": 3}
GET = b"GET /attack HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /attack HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
HONEST = "127.0.0.2"
"""Another client's address: limits for each client hold for the crowd alone."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    routes = (
        {"method": "POST", "path": "/static", "response": {"ok": True}},
        {"method": "POST", "path": "/guarded", "response": {"ok": True}, "auth": True},
        proxy("/large"),
    )
    with attacked(tmp_path_factory.mktemp("slow"), *routes, limits=LIMITS) as running:
        yield running


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


@contextlib.contextmanager
def crowd(edge: Attacked, first: bytes, buffer: int | None = None) -> Iterator[list[socket.socket]]:
    """Many clients from one address, each of which has sent something."""
    members: list[socket.socket] = []
    try:
        for _ in range(CROWD):
            member = socket.socket()
            if buffer is not None:
                member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            member.settimeout(PATIENCE)
            member.connect(("127.0.0.1", edge.port))
            members.append(member)
            if first:
                member.sendall(first)
        yield members
    finally:
        for member in members:
            member.close()


def honest_answers(edge: Attacked, count: int = 20) -> float:
    """Ask as another client, on connections of its own; how long the slowest answer took."""
    slowest = 0.0
    for _ in range(count):
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", edge.port), PATIENCE, (HONEST, 0)) as connection:
            connection.sendall(b"GET /honest HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(connection).status == 200
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def everybody_is_gone(edge: Attacked, before: int) -> Callable[[], bool]:
    return lambda: edge.descriptors() <= before + 20


def heard(member: socket.socket) -> bytes:
    """All that a client gets until its connection ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := member.recv(65536):
            received += data
    return received


CROWDS = {
    "say nothing": (b"", b""),
    "a head that does not end": (GET + b"X-A: a", b"HTTP/1.1 408 "),
    "empty lines": (b"\r\n", b"HTTP/1.1 408 "),
    "half a body": (POST + b"x" * 500, b"HTTP/1.1 "),
    "half a chunk": (POST.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"ff\r\nx", b"HTTP/1.1 "),
}


@pytest.mark.parametrize(("first", "answer"), CROWDS.values(), ids=CROWDS)
def test_500_slow_clients_keep_nobody_from_being_served(edge: Attacked, first: bytes, answer: bytes) -> None:
    """Others are answered at once while they are there, and each of them hears why it must go."""
    before = edge.descriptors()
    with crowd(edge, first) as members:
        assert honest_answers(edge) < 3
        eventually(everybody_is_gone(edge, before), "the edge lets all of them go")
        assert all(heard(member).startswith(answer) for member in members)


def test_a_slow_body_is_408_on_a_route_that_reads_it(edge: Attacked) -> None:
    """Within the limit of the file, and the upstream is not asked."""
    edge.upstream.forget()
    with connected(edge.port) as connection:
        connection.sendall(POST)
        for _ in range(5):
            connection.sendall(b"x")
            time.sleep(0.1)
        answer = receive(connection)
        assert (answer.status, answer.header("connection")) == (408, "close")
    assert edge.arrived() == []


@pytest.mark.parametrize(("path", "status"), [(b"/static", 200), (b"/guarded", 401)])
def test_a_body_for_which_nobody_waits_does_not_keep_the_connection(edge: Attacked, path: bytes, status: int) -> None:
    """The answer needed none of it; a client that trickles it in is let go after a few seconds."""
    with connected(edge.port) as connection:
        connection.sendall(POST.replace(b"/attack", path))
        assert receive(connection).status == status
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < PATIENCE:
                connection.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - begun < PATIENCE


def test_a_body_that_comes_soon_after_its_answer_keeps_the_connection(edge: Attacked) -> None:
    """An honest client that was refused early need not connect anew."""
    with connected(edge.port) as connection:
        for _ in range(3):
            connection.sendall(POST.replace(b"/attack", b"/guarded") + b"x" * 500)
            assert receive(connection).status == 401
            connection.sendall(b"x" * 500 + POST.replace(b"/attack", b"/static"))
            connection.sendall(b"x" * 1000)
            assert receive(connection).status == 200


def test_500_clients_that_never_read_their_answers_fill_no_memory(edge: Attacked) -> None:
    """Of an answer of 4 MB less than one is held for each of the 200 that a client may have; time ends them all."""
    edge.upstream.forget()
    edge.upstream.answer_bytes = 4_000_000
    before, peak = edge.descriptors(), edge.peak_kb()
    try:
        with crowd(edge, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", buffer=4096) as members:
            eventually(lambda: len(edge.upstream.requests) >= 200, "the upstream answers as many as one client may ask")
            edge.upstream.answer_bytes = 0
            assert honest_answers(edge) < 3
            eventually(everybody_is_gone(edge, before), "the edge lets all of them go")
            assert len(members) == CROWD
    finally:
        edge.upstream.answer_bytes = 0
    assert edge.peak_kb() - peak < 250_000


def test_a_client_that_never_reads_a_small_answer_is_let_go(edge: Attacked) -> None:
    """What was answered waits in the edge, not for ever: after the keep-alive time the connection has a last term."""
    edge.upstream.answer_bytes = 30_000
    try:
        before = edge.descriptors()
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                member = stack.enter_context(socket.socket())
                member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                member.settimeout(PATIENCE)
                member.connect(("127.0.0.1", edge.port))
                # More answers than the system takes off the edge's hands, each of them complete.
                member.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
            eventually(lambda: edge.descriptors() >= before + 20, "all are connected")
            deadline = time.monotonic() + 3 * PATIENCE
            while not everybody_is_gone(edge, before - 15)():
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        edge.upstream.answer_bytes = 0


def test_idle_connections_are_closed_without_a_word(edge: Attacked) -> None:
    """After an answer, too."""
    before = edge.descriptors()
    with crowd(edge, GET + b"\r\n") as members:
        assert honest_answers(edge) < 3
        answers = [receive(member).status for member in members]
        assert set(answers) <= {200, 429}
        eventually(everybody_is_gone(edge, before), "the edge lets all of them go")
        assert {heard(member) for member in members} == {b""}
