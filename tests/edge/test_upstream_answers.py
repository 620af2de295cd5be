"""What the edge makes of an upstream's bytes: answers of every framing, and those that are no answers."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.edge_process import Response, edge, receive
from tests.edge.test_edge_streaming import PATIENCE, ask, read_until


class Scripted:
    """An upstream that answers each request with the bytes set, and then closes if told to."""

    def __init__(self) -> None:
        self.answer = b""
        self.closes = False
        self.connections = 0
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        with connection, contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                data += piece
                if b"\r\n\r\n" in data:
                    self.requests.append(data)
                    data = b""
                    connection.sendall(self.answer)
                    if self.closes:
                        return


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.listener.close()


@pytest.fixture(scope="module")
def port(upstream: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with edge(configured(tmp_path_factory.mktemp("answers"), upstream.listener)) as opened:
        yield opened


def configured(folder: Path, listener: socket.socket) -> Path:
    config = folder / "config.json"
    server = {"alias": "up", "url": f"http://127.0.0.1:{listener.getsockname()[1]}"}
    route = {"method": "ANY", "path": "/{.+}", "integration": {"type": "http_proxy", "server": "up"}}
    config.write_text(json.dumps({"servers": [server], "paths": [route], "x-airgate": {"upstream": {"breaker": None}}}))
    return config


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as opened:
        yield opened


def request(connection: socket.socket, method: str = "GET") -> Response:
    connection.sendall(f"{method} /x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return receive(connection, method)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("method", "answer", "closes", "status", "body"),
    [
        ("GET", OK + b"Content-Length: 2\r\n\r\nhi", False, 200, b"hi"),
        ("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nX-Sum: 1\r\n\r\n", False, 200, b"hi"),
        ("GET", OK + b"\r\nuntil the end", True, 200, b"until the end"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nold", True, 200, b"old"),
        ("HEAD", OK + b"Content-Length: 999\r\n\r\n", False, 200, b""),
        ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", False, 200, b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", False, 304, b""),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1", False, 200, b"1"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1", False, 200, b"1"),
        ("GET", OK + b"Content-Length: 0\r\n\r\n", False, 200, b""),
    ],
    ids=[
        "length",
        "chunks and trailer",
        "until closed",
        "1.0",
        "HEAD",
        "HEAD chunked",
        "204",
        "304",
        "103",
        "100",
        "empty",
    ],
)
def test_an_answer_of_every_framing_is_passed_on(
    upstream: Scripted, port: int, method: str, answer: bytes, closes: bool, status: int, body: bytes
) -> None:
    """Status and body arrive, twice over one connection, and no header of an interim answer or trailer is added."""
    upstream.answer, upstream.closes = answer, closes
    with client(port) as connection:
        for _ in range(2):
            response = request(connection, method)
            assert (response.status, response.body) == (status, body)
            assert response.header("link") is None
            assert response.header("x-sum") is None


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Le", True),
        (b"hello there\r\n\r\n", False),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", False),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", False),
        (OK + b"Content-Length: -1\r\n\r\nhi", False),
        (OK + b"A: b\r\n folded\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", False),
        (OK + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(300)), False),
    ],
    ids=[
        "nothing",
        "half a head",
        "no HTTP",
        "both framings",
        "two lengths",
        "negative",
        "folded",
        "101",
        "999",
        "large",
    ],
)
def test_what_is_no_answer_becomes_502(upstream: Scripted, port: int, answer: bytes, closes: bool) -> None:
    """The client gets problem details that name the server, and its connection stays good for the next request."""
    upstream.answer, upstream.closes = answer, closes
    with client(port) as connection:
        response = request(connection)
        assert (response.status, response.header("content-type")) == (502, "application/problem+json")
        assert "'up'" in json.loads(response.body)["detail"]
        upstream.answer, upstream.closes = OK + b"Content-Length: 2\r\n\r\nhi", False
        assert request(connection).body == b"hi"


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        (OK + b"Content-Length: 10\r\n\r\nhalf", b"half"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"half"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", b"half"),
    ],
    ids=["length", "chunks", "bad chunk"],
)
def test_an_answer_cut_short_is_cut_short_for_the_client(
    upstream: Scripted, port: int, answer: bytes, cut: bytes
) -> None:
    """The connection ends before the body does, so that no client takes the half for the whole."""
    upstream.answer, upstream.closes = answer, True
    with client(port) as connection:
        try:
            response = request(connection)
        except ConnectionResetError:
            return
        assert response.truncated
        assert cut.startswith(response.body)


def test_bytes_behind_an_answer_never_reach_another_client(upstream: Scripted, port: int) -> None:
    """A second answer to one request is thrown away with its connection: the next request goes over a new one."""
    smuggled = OK + b"Content-Length: 5\r\n\r\nother"
    upstream.answer, upstream.closes = OK + b"Content-Length: 4\r\n\r\nmine" + smuggled, False
    before = upstream.connections
    with client(port) as connection:
        for number in range(3):
            assert request(connection).body == b"mine"
            assert upstream.connections >= before + number


def test_a_connection_is_used_again_and_not_after_the_upstream_says_close(upstream: Scripted, port: int) -> None:
    """Ten answers come over one connection; after `Connection: close` another one is opened."""
    upstream.answer, upstream.closes = OK + b"Content-Length: 2\r\n\r\nhi", False
    with client(port) as connection:
        request(connection)
        before = upstream.connections
        for _ in range(10):
            request(connection)
        assert upstream.connections == before
        upstream.answer = OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi"
        request(connection)
        request(connection)
        assert upstream.connections == before + 1


def test_an_answer_that_comes_before_the_upload_is_complete_ends_it(upstream: Scripted, port: int) -> None:
    """The client has its 413 although it sends no more, and the half-used connection carries no other request."""
    upstream.answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    upstream.closes = False
    with client(port) as connection:
        connection.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        assert receive(connection, "POST").body == b"big"
    before = upstream.connections
    upstream.answer = OK + b"Content-Length: 2\r\n\r\nhi"
    with client(port) as connection:
        assert request(connection).body == b"hi"
    assert upstream.connections == before + 1


def test_a_client_that_does_not_read_holds_the_upstream_back(tmp_path: Path) -> None:
    """Of an endless answer the edge takes only what buffers hold, and goes on once the client reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with edge(configured(tmp_path, listener)) as port, ask(port, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n") as reader:
            server, _ = listener.accept()
            with server:
                read_until(server, b"\r\n\r\n")
                server.sendall(OK + b"Content-Length: 1000000000\r\n\r\n")
                server.settimeout(1.0)
                sent = sent_until_it_blocks(server)
                assert sent < 50_000_000
                taken = threading.Thread(target=drain, args=(reader, sent))
                taken.start()
                server.settimeout(PATIENCE)
                assert server.send(b"x" * 1000) > 0
                taken.join(PATIENCE)
                assert not taken.is_alive()


def sent_until_it_blocks(connection: socket.socket) -> int:
    sent = 0
    while sent < 200_000_000:
        try:
            sent += connection.send(b"x" * 1_000_000)
        except TimeoutError:
            break
    return sent


def drain(connection: socket.socket, size: int) -> None:
    ends = time.monotonic() + PATIENCE
    while size > 0 and time.monotonic() < ends:
        size -= len(connection.recv(1_000_000))
