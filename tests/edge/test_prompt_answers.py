"""Answers that are known at once: the same as any other, told of like any other, and held back like any other."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.edge_process import SECRET, Response, call, receive
from tests.edge.operated import Operated, operated

BIG = "x" * 200_000
FILE = {
    "authorizer": {"type": "jwt", "secret": SECRET},
    "cors": {"allow_origins": ["https://app.example"], "allow_methods": ["GET"]},
    "paths": [
        {"method": "GET", "path": "/health", "response": {"status": "ok"}},
        {"method": "POST", "path": "/health", "response": {"status": "posted"}},
        {"method": "ANY", "path": "/any", "response": 1},
        {"method": "GET", "path": "/big", "response": BIG},
        {"method": "GET", "path": "/mine", "response": 2, "auth": True},
        {"method": "GET", "path": "/rated", "response": 3, "x-airgate": {"limits": {"rate": "2/min"}}},
        {"method": "GET", "path": "/{any}", "response": 4},
    ],
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def edge(log: Path) -> Iterator[Operated]:
    config = log.with_name("config.json")
    config.write_text(json.dumps(FILE))
    with operated(config, "--access-log", str(log)) as edge:
        yield edge


@pytest.fixture(scope="module")
def port(edge: Operated) -> int:
    return edge.port


def peak(edge: Operated) -> int:
    """The most memory that the edge ever held, in KiB."""
    status = Path(f"/proc/{edge.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


def client(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def shape(answer: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but its id, which is another one each time."""
    return answer.status, sorted(each for each in answer.headers if each[0] != "x-request-id"), answer.body


HEADS = {
    "plain": "GET /health HTTP/1.1\r\nHost: x\r\n",
    "post without a body": "POST /health HTTP/1.1\r\nHost: x\r\n",
    "query": "GET /health?a=b HTTP/1.1\r\nHost: x\r\n",
    "any method": "GET /any HTTP/1.1\r\nHost: x\r\n",
    "allowed origin": "GET /health HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n",
    "another origin": "GET /health HTTP/1.1\r\nHost: x\r\nOrigin: https://other.example\r\n",
    "head": "HEAD /any HTTP/1.1\r\nHost: x\r\n",
    "other spelling": "GET //%68ealth HTTP/1.1\r\nHost: x\r\n",
    "end": "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
    "long header": f"GET /health HTTP/1.1\r\nHost: x\r\nX-A: {'y' * 40_000}\r\n",
    "long target": f"GET /health?{'y' * 10_000} HTTP/1.1\r\nHost: x\r\n",
    "many headers": "GET /health HTTP/1.1\r\nHost: x\r\n" + "X-A: 1\r\n" * 150,
    "no token": "GET /mine HTTP/1.1\r\nHost: x\r\n",
    "no host": "GET /health HTTP/1.1\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_request_in_one_piece_is_answered_like_one_in_two(port: int, head: str) -> None:
    """The short cut is for heads that come alone and whole; the others go the long way. Nobody sees which."""
    whole = f"{head}\r\n".encode()
    with client(port) as at_once, client(port) as in_two:
        at_once.sendall(whole)
        in_two.sendall(whole[:-3])
        time.sleep(0.1)
        in_two.sendall(whole[-3:])
        method = head.partition(" ")[0]
        answers = [receive(each, method) for each in (at_once, in_two)]
        assert shape(answers[0]) == shape(answers[1])


def test_answers_keep_the_order_of_their_requests(port: int) -> None:
    """Also of those that are sent ahead, where only the last one comes alone."""
    with client(port) as connection:
        targets = ["/big", "/health", "/x", "/any", "/health"]
        heads = [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for target in targets]
        heads[-1] = heads[-1][:-2] + b"Connection: close\r\n\r\n"
        connection.sendall(b"".join(heads[:-1]))
        connection.sendall(heads[-1])
        with connection.makefile("rb") as file:
            bodies = [answer.partition(b"\r\n\r\n")[2] for answer in file.read().split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert bodies == [f'"{BIG}"'.encode(), b'{"status":"ok"}', b"4", b"1", b'{"status":"ok"}']


def test_a_client_that_does_not_read_is_not_answered_for_ever(edge: Operated) -> None:
    """Its answers would fill the memory: 600 of them have 120 MB, of which the system takes a few."""
    before = peak(edge)
    with client(edge.port) as connection:
        for _ in range(600):
            try:
                connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            except OSError:
                break  # so many requests ahead of their answers end the connection
            time.sleep(0.003)
        assert peak(edge) - before < 40_000
    assert call(edge.port, "GET", "/health").status == 200


def test_limits_hold_for_answers_of_the_file(port: int) -> None:
    """A route with a rate counts each request."""
    assert [call(port, "GET", "/rated").status for _ in range(3)] == [200, 200, 429]


def test_each_answer_has_an_id_of_its_own_or_that_of_the_client(port: int) -> None:
    """Ids that are no sane text are replaced."""
    with client(port) as connection:

        def identified(*lines: str) -> str:
            connection.sendall("\r\n".join(["GET /health HTTP/1.1", "Host: x", *lines, "", ""]).encode())
            return receive(connection).header("x-request-id") or ""

        made = [identified() for _ in range(300)]
        assert len(set(made)) == 300
        assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
        assert identified("X-Request-Id: my-own") == "my-own"
        for unusable in (["X-Request-Id: a b"], ["X-Request-Id: one", "X-Request-Id: two"]):
            assert re.fullmatch("[0-9a-f]{32}", identified(*unusable))


def test_the_access_log_tells_of_them(port: int, log: Path) -> None:
    """Route, status, size, client and id are those of any other line."""
    with client(port) as connection:
        connection.sendall(b"GET /health?token=hidden HTTP/1.1\r\nHost: x\r\nX-Request-Id: told-at-once\r\n\r\n")
        receive(connection)
    until = time.monotonic() + 10
    while "told-at-once" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    line = next(json.loads(each) for each in log.read_text().splitlines() if "told-at-once" in each)
    known = {key: line[key] for key in ("client", "method", "route", "server", "status", "bytes", "complete")}
    assert known == {
        "client": "127.0.0.1",
        "method": "GET",
        "route": "/health",
        "server": None,
        "status": 200,
        "bytes": len(b'{"status":"ok"}'),
        "complete": True,
    }
    assert "hidden" not in json.dumps(line)
