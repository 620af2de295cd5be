"""Bodies pass through the edge while they are still being sent, in both directions."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.edge_process import call, edge

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE = 10.0


@contextmanager
def edge_before(listener: socket.socket, folder: Path, *options: str) -> Iterator[int]:
    """An edge in front of a listener that the test answers by hand."""
    config = folder / "config.json"
    server = {"alias": "up", "url": f"http://127.0.0.1:{listener.getsockname()[1]}"}
    route = {"method": "ANY", "path": "/{.+}", "integration": {"type": "http_proxy", "server": "up"}}
    config.write_text(json.dumps({"servers": [server], "paths": [route]}))
    with edge(config, *options) as port:
        yield port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(PATIENCE)
        yield opened


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        piece = connection.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def ask(port: int, lines: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(lines)
    return client


def test_the_first_chunk_arrives_before_the_upstream_has_finished(listener: socket.socket, tmp_path: Path) -> None:
    """A server-sent event reaches the client while the upstream still holds back the next one."""
    with edge_before(listener, tmp_path) as port, ask(port, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        upstream, _ = listener.accept()
        with upstream:
            read_until(upstream, b"\r\n\r\n")
            upstream.sendall(HEAD + b"9\r\ndata: 1\n\n\r\n")
            assert b"data: 1" in read_until(client, b"data: 1")
            upstream.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
            assert b"data: 2" in read_until(client, b"0\r\n\r\n")


def test_an_upload_reaches_the_upstream_before_the_client_has_sent_it_all(
    listener: socket.socket, tmp_path: Path
) -> None:
    """The first half of a chunked upload is with the upstream while the second half is not sent yet."""
    head = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with edge_before(listener, tmp_path) as port, ask(port, head + b"5\r\nfirst\r\n") as client:
        upstream, _ = listener.accept()
        upstream.settimeout(PATIENCE)
        with upstream:
            read_until(upstream, b"first")
            client.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
            read_until(upstream, b"0\r\n\r\n")
            upstream.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 201")


def test_a_client_that_leaves_ends_the_upstream_call(listener: socket.socket, tmp_path: Path) -> None:
    """When the client closes in the middle of an endless answer, the edge closes its connection to the upstream."""
    with edge_before(listener, tmp_path) as port:
        client = ask(port, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        upstream, _ = listener.accept()
        upstream.settimeout(PATIENCE)
        with upstream:
            read_until(upstream, b"\r\n\r\n")
            upstream.sendall(HEAD + b"9\r\ndata: 1\n\n\r\n")
            read_until(client, b"data: 1")
            client.close()
            assert upstream.recv(1) == b""


def test_an_upstream_that_breaks_off_leaves_the_client_with_a_truncated_body(
    listener: socket.socket, tmp_path: Path
) -> None:
    """A body cut short upstream is cut short for the client too, instead of ending as if it were whole."""
    with edge_before(listener, tmp_path) as port, ask(port, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        upstream, _ = listener.accept()
        with upstream:
            read_until(upstream, b"\r\n\r\n")
            upstream.sendall(HEAD + b"9\r\ndata: 1\n\n\r\n")
            read_until(client, b"data: 1")
        rest = b""
        while piece := client.recv(65536):
            rest += piece
        assert b"0\r\n\r\n" not in rest


def test_an_upstream_that_does_not_answer_in_time_gives_504(listener: socket.socket, tmp_path: Path) -> None:
    """The total timeout turns a silent upstream into problem details with the status 504."""
    with edge_before(listener, tmp_path, "--total-timeout", "0.3") as port:
        response = call(port, "GET", "/slow")
    assert response.status == 504
    assert response.header("content-type") == "application/problem+json"
    assert json.loads(response.body)["detail"] == "The server 'up' did not answer in time."


def test_an_idempotent_call_is_not_sent_again(listener: socket.socket, tmp_path: Path) -> None:
    """A kept connection that the upstream closes on a GET gives 502; the edge does not try a second time."""
    with edge_before(listener, tmp_path) as port:
        with ask(port, b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n") as client:
            upstream, _ = listener.accept()
            read_until(upstream, b"\r\n\r\n")
            upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            read_until(client, b"ok")
            client.sendall(b"GET /two HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(upstream, b"GET /two")
            upstream.close()
            assert read_until(client, b"}").startswith(b"HTTP/1.1 502")
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()
