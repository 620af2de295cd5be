"""Requests that miss the cache at the same time: one call for what can be kept, one each for what cannot."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import Response, call, edge
from tests.edge.operated import PATIENCE, eventually

LARGE = 900_000
_CONTROL = {
    "fresh": [("Cache-Control", "max-age=60")],
    "private": [("Cache-Control", "private")],
    "varying": [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")],
    "large": [("Cache-Control", "max-age=60")],
    "too-large": [("Cache-Control", "max-age=60")],
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Gate"

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        with self.server.lock:
            self.server.calls[self.path] += 1
            self.server.waiting += 1
        while not self.server.opened.wait(0.02):
            if _has_left(self.connection):
                self.server.left.set()
                self.close_connection = True
                return
        with self.server.lock:
            self.server.waiting -= 1
        if kind == "broken" and self.server.calls[self.path] == 1:
            self.close_connection = True
            return
        body = (self.headers.get("accept-language") or "x").encode()
        body *= {"large": LARGE, "too-large": 3 * LARGE}.get(kind, 1)
        self.send_response(200)
        for name, value in _CONTROL.get(kind, _CONTROL["fresh"]):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, its base calls it so
        """Stay quiet."""


def _has_left(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Gate(ThreadingHTTPServer):
    """An upstream that answers nobody until it is opened; `calls` counts by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.opened = threading.Event()
        self.left = threading.Event()
        self.calls: Counter[str] = Counter()
        self.waiting = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about connections that the edge has closed."""


@pytest.fixture
def gate() -> Iterator[Gate]:
    server = Gate()
    yield server
    server.opened.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def port(gate: Gate, tmp_path: Path) -> Iterator[int]:
    integration = {"type": "http_proxy", "server": "up"}
    file = {
        "servers": [{"alias": "up", "url": f"http://127.0.0.1:{gate.server_port}"}],
        "paths": [
            {"method": "GET", "path": "/{.+}", "integration": integration, "x-airgate": {"cache": True}},
            {
                "method": "GET",
                "path": "/soon/{.+}",
                "integration": integration,
                "x-airgate": {"cache": True, "rewrite": "/{.+}", "limits": {"seconds": 0.5}},
            },
        ],
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(file))
    with edge(config) as port:
        yield port


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def asked(
    pool: ThreadPoolExecutor,
    port: int,
    target: str,
    *languages: str,
    times: int = 1,
    header: tuple[str, str] = ("X-Of", "test"),
) -> list[Future[Response]]:
    """Requests under way, `times` in each language."""
    return [
        pool.submit(call, port, "GET", target, [header, ("Accept-Language", language)])
        for language in languages or ("x",)
        for _ in range(times)
    ]


def first_is_under_way(gate: Gate, target: str) -> None:
    eventually(lambda: gate.calls[target] == 1, "the first call")


def bodies(answers: list[Future[Response]]) -> Counter[tuple[int, bytes]]:
    return Counter((answer.result(PATIENCE).status, answer.result().body) for answer in answers)


def settle() -> None:
    """Give requests that were sent just now the time to reach the edge; too short only makes a test weaker."""
    threading.Event().wait(0.4)


def test_misses_for_the_same_make_one_call(gate: Gate, port: int, pool: ThreadPoolExecutor) -> None:
    """Twenty requests that come while nothing is kept are one call, and all get its answer."""
    answers = asked(pool, port, "/fresh/1", times=20)
    first_is_under_way(gate, "/fresh/1")
    settle()
    gate.opened.set()
    assert bodies(answers) == {(200, b"x"): 20}
    assert gate.calls["/fresh/1"] == 1


@pytest.mark.parametrize("target", ["/private/1", "/broken/1", "/too-large/1"])
def test_what_is_for_one_only_is_asked_for_by_each_at_once(
    gate: Gate, port: int, pool: ThreadPoolExecutor, target: str
) -> None:
    """When the first answer is private, breaks off or is too large, all others are asked for at the same time."""
    answers = asked(pool, port, target, times=10)
    first_is_under_way(gate, target)
    settle()
    assert gate.calls[target] == 1
    gate.opened.set()
    eventually(lambda: gate.waiting == 0, "the first answer")
    gate.opened.clear()
    first = gate.calls[target]
    if first < 10:  # else all had been let through before the gate was closed
        eventually(lambda: gate.calls[target] == 10, "all others, with none of them answered")
    gate.opened.set()
    came = bodies(answers)
    assert sum(came.values()) == 10
    assert sum(times for (status, _), times in came.items() if status == 200) >= 9
    assert gate.calls[target] == 10


def test_what_turned_out_to_be_for_one_only_is_not_waited_for_again(
    gate: Gate, port: int, pool: ThreadPoolExecutor
) -> None:
    """The second time, the requests are not held up by each other."""
    gate.opened.set()
    assert call(port, "GET", "/private/2").status == 200
    gate.opened.clear()
    answers = asked(pool, port, "/private/2", times=5)
    eventually(lambda: gate.calls["/private/2"] == 6, "five calls, none of them answered")
    gate.opened.set()
    assert bodies(answers) == {(200, b"x"): 5}


def test_a_client_that_leaves_does_not_end_the_call_of_others(gate: Gate, port: int, pool: ThreadPoolExecutor) -> None:
    """The one whose request began the call goes; the others get the answer of that same call."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"GET /fresh/2 HTTP/1.1\r\nHost: x\r\nX-Of: test\r\nAccept-Language: x\r\n\r\n")
        first_is_under_way(gate, "/fresh/2")
        answers = asked(pool, port, "/fresh/2", times=5)
        settle()
    settle()
    gate.opened.set()
    assert bodies(answers) == {(200, b"x"): 5}
    assert gate.calls["/fresh/2"] == 1


def test_a_call_for_which_nobody_waits_any_more_is_ended(gate: Gate, port: int) -> None:
    """When all clients have left, so does the edge."""
    clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(3)]
    for client in clients:
        client.sendall(b"GET /fresh/3 HTTP/1.1\r\nHost: x\r\n\r\n")
    first_is_under_way(gate, "/fresh/3")
    settle()
    for client in clients:
        assert not gate.left.is_set()
        client.close()
    assert gate.left.wait(PATIENCE)
    assert gate.calls["/fresh/3"] == 1


def test_who_waits_for_the_call_of_another_has_its_own_time_limit(
    gate: Gate, port: int, pool: ThreadPoolExecutor
) -> None:
    """A route that gives an answer half a second says 504 then; the call goes on for the one who has more time."""
    (patient,) = asked(pool, port, "/fresh/4")
    first_is_under_way(gate, "/fresh/4")
    assert {answer.result(PATIENCE).status for answer in asked(pool, port, "/soon/fresh/4", times=3)} == {504}
    gate.opened.set()
    assert patient.result(PATIENCE).status == 200
    assert gate.calls["/fresh/4"] == 1


def test_one_that_reads_slowly_does_not_hold_up_the_others(gate: Gate, port: int, pool: ThreadPoolExecutor) -> None:
    """The request that began the call takes nothing of a large answer; the others have all of it meanwhile."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        client.sendall(
            b"GET /large/1 HTTP/1.1\r\nHost: x\r\nAccept-Language: x\r\nX-Of: test\r\nConnection: close\r\n\r\n"
        )
        first_is_under_way(gate, "/large/1")
        answers = asked(pool, port, "/large/1", times=3)
        settle()
        gate.opened.set()
        assert bodies(answers) == {(200, b"x" * LARGE): 3}
        assert gate.calls["/large/1"] == 1
        taken = b"".join(iter(lambda: client.recv(65536), b""))
        assert taken.endswith(b"x" * LARGE)


def test_each_variant_is_asked_for_once(gate: Gate, port: int, pool: ThreadPoolExecutor) -> None:
    """Five requests in each of three languages are three calls, and each gets its own."""
    answers = asked(pool, port, "/varying/1", "de", "en", "fr", times=5)
    first_is_under_way(gate, "/varying/1")
    settle()
    gate.opened.set()
    assert bodies(answers) == {(200, b"de"): 5, (200, b"en"): 5, (200, b"fr"): 5}
    assert gate.calls["/varying/1"] == 3


@pytest.mark.parametrize("header", [("Cache-Control", "no-cache"), ("Range", "bytes=0-1"), ("If-None-Match", '"a"')])
def test_a_request_with_conditions_of_its_own_waits_for_nobody(
    gate: Gate, port: int, pool: ThreadPoolExecutor, header: tuple[str, str]
) -> None:
    """It is asked for at once, next to a call that is under way."""
    first = asked(pool, port, "/fresh/5")
    first_is_under_way(gate, "/fresh/5")
    second = asked(pool, port, "/fresh/5", header=header)
    eventually(lambda: gate.calls["/fresh/5"] == 2, "its own call")
    gate.opened.set()
    assert bodies(first + second) == {(200, b"x"): 2}
