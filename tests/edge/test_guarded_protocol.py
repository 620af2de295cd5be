"""Heads of requests that do not end, on real sockets: too large while they arrive, too slow, or never begun."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from airgate.edge.guarded_protocol import guarded
from airgate.edge.policed import strict_edge
from airgate.edge.settings import Settings
from airgate.spec.extension_defaults import FrontLimits
from tests.edge.edge_process import receive

LIMITS = FrontLimits(headers=50, header_bytes=4000, header_seconds=0.5, uri=1000)
FILE = {"paths": [{"method": "GET", "path": "/a", "response": 1}, {"method": "POST", "path": "/a", "response": 2}]}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    edge = strict_edge(json.dumps(FILE), {}, None, Settings.of("strict"))
    config = uvicorn.Config(edge, http=guarded(LIMITS), ws="none", log_config=None, timeout_keep_alive=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


def client(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_head_without_end_is_431_long_before_it_fills_the_memory(port: int) -> None:
    """A client that sends header lines for ever is cut off near the limit, not when it stops."""
    with client(port) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        while sent < 1_000_000:
            try:
                sent += connection.send(b"X-A: " + b"y" * 500 + b"\r\n")
            except OSError:
                break
            time.sleep(0.001)
        assert sent < 200_000
        # A reset may overtake the answer while the client is still sending; so it is read where nothing more is sent.
    with client(port) as connection:
        connection.sendall(
            b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: " % n + b"y" * 500 + b"\r\n" for n in range(11))
        )
        assert receive(connection).status == 431
        assert is_closed(connection)


def test_a_head_that_trickles_in_is_408(port: int) -> None:
    """A byte now and then does not keep the connection."""
    with client(port) as connection:
        begun = time.monotonic()
        for byte in b"GET /a HTTP/1.1\r\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
        answer = receive(connection)
        assert (answer.status, answer.header("connection")) == (408, "close")
        assert json.loads(answer.body)["status"] == 408
        assert 0.3 < time.monotonic() - begun < 2
        assert is_closed(connection)


def test_a_connection_that_says_nothing_is_closed_without_a_word(port: int) -> None:
    """There was no request, so there is no answer."""
    with client(port) as connection:
        begun = time.monotonic()
        assert is_closed(connection)
        assert time.monotonic() - begun < 2


def test_requests_that_keep_to_the_limits_are_served_on_one_connection(port: int) -> None:
    """Bodies do not count as heads, each head has its own time, and waiting between requests is no slow head."""
    with client(port) as connection:
        for _ in range(3):
            connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000)
            assert receive(connection).body == b"2"
            time.sleep(0.7)
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(connection).body == b"1"
