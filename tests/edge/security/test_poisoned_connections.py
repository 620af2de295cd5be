"""Bytes that an upstream sends unasked never answer the next request over its connection."""

import asyncio
import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airgate.edge.connection import CallFailed
from airgate.edge.pool import Pool
from airgate.spec.url import parse_origin
from tests.edge.edge_process import receive
from tests.edge.operated import operated
from tests.edge.security.lying_upstream import CLOSE, LIE, LyingUpstream, Step
from tests.edge.tls_tenant import loopback_certificate

PATIENCE = 15.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[LyingUpstream]:
    opened = LyingUpstream()
    yield opened
    opened.close()


def configured(folder: Path, upstream: LyingUpstream) -> Path:
    config = folder / "config.json"
    server = {"alias": "up", "url": f"http://127.0.0.1:{upstream.port}"}
    route = {"method": "ANY", "path": "/{.+}", "integration": {"type": "http_proxy", "server": "up"}}
    config.write_text(json.dumps({"servers": [server], "paths": [route], "x-airgate": {"upstream": {"breaker": None}}}))
    return config


def send(connection: socket.socket, target: str) -> None:
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


UNASKED = [OK + b"evil", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n", CLOSE]


@pytest.mark.parametrize("unasked", UNASKED, ids=repr)
def test_what_came_while_nothing_was_asked_ends_the_connection(
    upstream: LyingUpstream, tmp_path: Path, unasked: Step
) -> None:
    """Even where the edge learns of it and of the next request in one moment: it is stopped while both arrive."""
    with (
        operated(configured(tmp_path, upstream)) as edge,
        socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as client,
    ):
        for _ in range(10):
            gate = threading.Event()
            upstream.script = (OK + b"mine", gate, unasked)
            upstream.told.clear()
            send(client, LIE)
            assert receive(client).body == b"mine"
            edge.signal(signal.SIGSTOP)
            try:
                gate.set()
                assert upstream.told.wait(PATIENCE)
                send(client, "/own")
                time.sleep(0.02)  # loopback needs no time to speak of, but more than none
            finally:
                edge.signal(signal.SIGCONT)
            assert receive(client).body == b"/own"
            assert upstream.connection_of("/own") != upstream.connection_of(LIE)


@pytest.mark.parametrize("unasked", UNASKED, ids=repr)
async def test_what_the_event_loop_has_not_read_yet_ends_the_connection_too(
    upstream: LyingUpstream, unasked: Step
) -> None:
    """Whoever asks for an idle connection does not get one on which something stands, though nobody told the edge."""
    gate = threading.Event()
    upstream.script = (OK + b"mine", gate, unasked)
    origin, pool = parse_origin(f"http://127.0.0.1:{upstream.port}"), Pool()
    connection = await pool.connect(origin, PATIENCE)
    connection.send(f"GET {LIE} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), "GET", None, PATIENCE)
    await connection.answered()
    assert await connection.piece() == b"mine"
    pool.give_back(origin, connection)
    assert pool.idle(origin) is connection
    pool.give_back(origin, connection)
    gate.set()
    assert upstream.told.wait(PATIENCE)
    time.sleep(0.02)  # noqa: ASYNC251 loopback needs more than no time, and the loop must not learn of it
    assert pool.idle(origin) is None
    pool.close()


async def test_an_upstream_that_speaks_first_is_not_asked(upstream: LyingUpstream) -> None:
    """What stands on a new connection before the request was sent is no answer to it."""
    upstream.greeting = OK + b"evil"
    pool = Pool()
    connecting = asyncio.create_task(pool.connect(parse_origin(f"http://127.0.0.1:{upstream.port}"), PATIENCE))
    for _ in range(5):
        await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 the loop is to learn of everything at once
    with pytest.raises(CallFailed, match="did not wait for a request"):
        await connecting
    pool.close()


async def test_over_tls_a_connection_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What TLS itself sends behind the handshake, such as session tickets, is nothing unasked."""
    certificate = loopback_certificate(tmp_path / "loopback.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK + b"mine")
        writer.close()

    opened, pool = 0, Pool()
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        origin = parse_origin(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(20):
            connection = pool.idle(origin)
            if connection is None:
                opened, connection = opened + 1, await pool.connect(origin, PATIENCE)
            connection.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "GET", None, PATIENCE)
            await connection.answered()
            assert await connection.piece() == b"mine"
            pool.give_back(origin, connection)
        pool.close()
    assert opened <= 2
