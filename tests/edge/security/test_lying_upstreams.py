"""Answers that break HTTP: refused, or visibly cut, and never to be taken for something that they are not."""

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.edge.edge_process import Response, edge, receive
from tests.edge.security.lying_upstream import CLOSE, LIE, PAUSE, RESET, Endless, LyingUpstream, Step

PATIENCE = 20.0
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 4\r\n"
MINE = b"\r\nmine"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"4\r\nmine\r\n"
END = b"0\r\n\r\n"
MEGABYTE = 1024 * 1024

Script = tuple[Step, ...]


@dataclass(frozen=True)
class Edge:
    """A running edge and the upstream behind it."""

    port: int
    upstream: LyingUpstream


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    upstream = LyingUpstream()
    proxy = {"method": "ANY", "integration": {"type": "http_proxy", "server": "up"}}
    file = {
        "servers": [{"alias": "up", "url": f"http://127.0.0.1:{upstream.port}"}],
        "paths": [
            {**proxy, "path": "/hasty/{.+}", "x-airgate": {"upstream": {"total": 1.0}}},
            {**proxy, "path": "/{.+}"},
        ],
        "x-airgate": {"upstream": {"breaker": None}},
    }
    config = tmp_path_factory.mktemp("lies") / "config.json"
    config.write_text(json.dumps(file))
    with edge(config) as port:
        yield Edge(port, upstream)
    upstream.close()


@contextmanager
def client(running: Edge) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE) as opened:
        yield opened


def ask(connection: socket.socket, target: str, method: str = "GET") -> Response:
    connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return receive(connection, method)


def reused(running: Edge) -> bool:
    """Whether the request after the lie went over the same connection."""
    return running.upstream.connection_of("/own") == running.upstream.connection_of(LIE)


LENGTHS = {"plus": b"+4", "hexadecimal": b"0x4", "two numbers": b"4 4", "list": b"4, 4", "exponent": b"4e0"} | {
    "negative": b"-4",
    "none": b"",
    "huge": b"9" * 30,
    "past 64 bits": b"18446744073709551620",
    "letter": b"4a",
    "fraction": b"4.0",
    "vertical tab": b"\x0b4",
    "NUL": b"4\x00",
}
CODINGS = {"gzip": b"gzip", "identity": b"identity", "gzip in chunks": b"gzip, chunked", "unknown": b"xchunked"} | {
    "chunks not last": b"chunked, identity",
    "chunks twice": b"chunked, chunked",
    "parameter": b"chunked;q=1",
    "trailing comma": b"chunked,",
    "vertical tab": b"\x0bchunked",
    "quoted": b'"chunked"',
}
STATUSES = (b"000", b"099", b"600", b"999", b"abc", b"20", b"2000", b"-200", b"", b"2 00", b"199", b"101")
VERSIONS = (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1", b"ICY", b"")
LINES = {"NUL": b"X: a\x00b", "CR": b"X: a\rb", "cookie behind CR": b"X: a\rSet-Cookie: s=1"} | {
    "cookie behind LF": b"X: a\nSet-Cookie: s=1",
    "cookie split by NUL": b"Set-Cookie: a=1\x00; Domain=evil",
    "control": b"X: a\x01b",
    "DEL": b"X: a\x7fb",
    "vertical tab": b"X: a\x0bb",
    "NUL in a name": b"X\x00: a",
    "space in a name": b"X y: a",
    "space before the colon": b"X : a",
    "no colon": b"Xyz",
    "no name": b": a",
    "name of other letters": b"X\xc3\xa9: a",
    "folded": b"X: a\r\n b",
    "folded by a tab": b"X: a\r\n\tb",
    "folded at the start": b" X: a",
    "1 MB": b"X: " + b"y" * MEGABYTE,
    "10000 lines": b"\r\n".join(b"X-%d: y" % number for number in range(10_000)),
    "5000 cookies": b"\r\n".join([b"Set-Cookie: a=b"] * 5000),
}
REFUSED: dict[str, Script] = {
    **{f"length: {name}": (OK + b"Content-Length: " + value + b"\r\n" + MINE,) for name, value in LENGTHS.items()},
    **{
        f"coding: {name}": (OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + CHUNK + END, CLOSE)
        for name, value in CODINGS.items()
    },
    **{f"status {code!r}": (b"HTTP/1.1 " + code + b" X\r\nContent-Length: 4\r\n" + MINE, CLOSE) for code in STATUSES},
    **{f"version {value!r}": (value + b" 200 OK\r\nContent-Length: 4\r\n" + MINE, CLOSE) for value in VERSIONS},
    **{f"line: {name}": (LENGTH + value + b"\r\n" + MINE,) for name, value in LINES.items()},
    "length, space before the colon": (OK + b"Content-Length : 4\r\n" + MINE,),
    "length twice": (LENGTH + b"Content-Length: 4\r\n" + MINE,),
    "two lengths": (LENGTH + b"Content-Length: 5\r\n" + MINE,),
    "length and coding": (LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + END,),
    "coding and length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNK + END,),
    "two coding lines": (OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK + END,),
    "line ends without CR": (LENGTH.replace(b"\r", b"") + b"\nmine",),
    "last line end without CR": (LENGTH + b"\nmine",),
    "tab in the status line": (b"HTTP/1.1\t200 OK\r\nContent-Length: 4\r\n" + MINE,),
    "CR in the reason": (b"HTTP/1.1 200 O\rK\r\nContent-Length: 4\r\n" + MINE,),
    "no head": (b"<html>mine</html>", CLOSE),
    "upgrade": (b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05hello",),
    "101 and then an answer": (b"HTTP/1.1 101 S\r\n\r\n" + LENGTH + MINE,),
    "interim answer and the end": (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE),
    "interim answers without end": (Endless(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 1000),),
    "header without end": (OK, Endless(b"X: " + b"y" * 100_000)),
    "headers without end": (OK, Endless(b"X: y\r\n" * 10_000)),
    "reason without end": (b"HTTP/1.1 200 ", Endless(b"y" * 100_000)),
    "nothing": (CLOSE,),
    "reset": (RESET,),
    "half a head, reset": (LENGTH, PAUSE, RESET),
}


@pytest.mark.parametrize("script", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_an_answer_is_refused(running: Edge, script: Script) -> None:
    """502 that names the server; the next request gets its own answer, over a new connection."""
    running.upstream.script = script
    with client(running) as connection:
        response = ask(connection, LIE)
        assert (response.status, response.header("content-type")) == (502, "application/problem+json")
        assert "'up'" in json.loads(response.body)["detail"]
        assert response.header("set-cookie") is None
        assert ask(connection, "/own").body == b"/own"
    assert not reused(running)


CUT: dict[str, Script] = {
    **{
        f"chunk size {value!r}": (CHUNKED + value + MINE + b"\r\n" + END, CLOSE)
        for value in (b"-4", b"+4", b"0x4", b" 4", b"4 ", b"", b"g", b"F" * 17, b"4;a=\x00", b"4;a\nb", b"4;a\rb")
    },
    "LF between chunks": (CHUNKED + b"4\nmine\n0\n\n", CLOSE),
    "chunk longer than said": (CHUNKED + b"3\r\nmine\r\n" + END, CLOSE),
    "chunk shorter than said": (CHUNKED + b"5\r\nmine\r\n" + END, CLOSE),
    "no line end behind a chunk": (CHUNKED + b"4\r\nmine" + END, CLOSE),
    "no last line end": (CHUNKED + CHUNK + b"0\r\n", CLOSE),
    "no last chunk": (CHUNKED + CHUNK, CLOSE),
    "bad trailer": (CHUNKED + CHUNK + b"0\r\nbad trailer\r\n\r\n",),
    "length as trailer": (CHUNKED + CHUNK + b"0\r\nContent-Length: 4\r\n\r\n",),
    "trailer without end": (CHUNKED + CHUNK + b"0\r\nX: ", Endless(b"y" * 100_000)),
    "trailers without end": (CHUNKED + CHUNK + b"0\r\n", Endless(b"X: y\r\n" * 10_000)),
    "chunk extension without end": (CHUNKED + CHUNK + b"4;a=", Endless(b"y" * 100_000)),
    "fewer bytes than said": (OK + b"Content-Length: 10\r\n" + MINE, CLOSE),
    "fewer bytes than said, reset": (OK + b"Content-Length: 10\r\n" + MINE, PAUSE, RESET),
    "until the end, reset": (OK + MINE, PAUSE, RESET),
}


@pytest.mark.parametrize("script", CUT.values(), ids=CUT.keys())
def test_a_body_that_breaks_is_seen_to_be_cut(running: Edge, script: Script) -> None:
    """The client's connection ends before the body does; other clients are served, over a new connection."""
    running.upstream.script = script
    with client(running) as connection:
        response = ask(connection, LIE)
        assert response.truncated
        assert response.status == 200
        assert b"mine".startswith(response.body[:4])
        assert connection.recv(1) == b""
    with client(running) as connection:
        assert ask(connection, "/own").body == b"/own"
    assert not reused(running)


@pytest.mark.parametrize("name", [name for table in (REFUSED, CUT) for name in table if "without end" in name])
def test_what_has_no_end_is_given_up_early(running: Edge, name: str) -> None:
    """Of an endless head or trailer the edge takes little more than 256 KB; the rest is what buffers hold."""
    running.upstream.told.clear()
    running.upstream.script = (REFUSED | CUT)[name]
    with client(running) as connection:
        ask(connection, LIE)
    assert running.upstream.told.wait(PATIENCE)
    assert running.upstream.sent < 24 * MEGABYTE


BOMB = gzip.compress(b"0" * 20 * MEGABYTE)
HOPS = b"Keep-Alive: timeout=1\r\nTE: x\r\nTrailer: X\r\nUpgrade: h2c\r\nProxy-Connection: close\r\n"
NAMED = b"X-Hop: 1\r\nConnection: x-hop, X-Other\r\nx-other: 2\r\n"
PASSED: dict[str, tuple[Script, bytes, bool]] = {
    "more bytes than said": ((LENGTH + MINE + b"more",), b"mine", False),
    "one byte more": ((LENGTH + MINE + b"x",), b"mine", False),
    "a second answer": ((LENGTH + MINE + LENGTH + b"\r\nevil",), b"mine", False),
    "half a second answer": ((LENGTH + MINE + LENGTH[:9],), b"mine", False),
    "chunks and a second answer": ((CHUNKED + CHUNK + END + LENGTH + b"\r\nevil",), b"mine", False),
    "it closes after it said so": ((LENGTH + b"Connection: close\r\n" + MINE, CLOSE), b"mine", False),
    "it says close and stays": ((LENGTH + b"Connection: close\r\n" + MINE,), b"mine", False),
    "until the end": ((OK + MINE, CLOSE), b"mine", False),
    "HTTP/1.0": ((b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n" + MINE,), b"mine", False),
    "chunks in HTTP/1.0": ((b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK + END,), b"mine", False),
    "interim answers": ((b"HTTP/1.1 103 E\r\nX-Early: 1\r\n\r\n" * 10 + LENGTH + MINE,), b"mine", True),
    "interim answer with a length": ((b"HTTP/1.1 100 C\r\nContent-Length: 50\r\n\r\n" + LENGTH + MINE,), b"mine", True),
    "coding in capitals": ((OK + b"Transfer-Encoding: CHUNKED\r\n\r\n" + CHUNK + END,), b"mine", True),
    "chunk extension": ((CHUNKED + b"4;a=b\r\nmine\r\n" + END,), b"mine", True),
    "trailers": ((CHUNKED + CHUNK + b"0\r\nX-Trail: 1\r\nSet-Cookie: s=1\r\n\r\n",), b"mine", True),
    "headers of the connection": ((LENGTH + HOPS + MINE,), b"mine", False),
    "headers named by Connection": ((LENGTH + NAMED + MINE,), b"mine", True),
    "upgrade offered": ((LENGTH + b"Upgrade: h2c\r\nConnection: upgrade\r\n" + MINE,), b"mine", True),
    "control characters as reason": ((b"HTTP/1.1 200 O\x00\x01\xff\r\nContent-Length: 4\r\n" + MINE,), b"mine", True),
    "bomb": ((OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,), BOMB, True),
}


@pytest.mark.parametrize(("script", "body", "kept"), PASSED.values(), ids=PASSED.keys())
def test_what_has_one_meaning_is_passed_on_without_the_rest(
    running: Edge, script: Script, body: bytes, kept: bool
) -> None:
    """The client gets that body and no header of the connection, an interim answer or a trailer."""
    running.upstream.script = script
    with client(running) as connection:
        response = ask(connection, LIE)
        assert (response.status, response.body, response.truncated) == (200, body, False)
        names = {name for name, _ in response.headers}
        assert not names & {"keep-alive", "te", "trailer", "upgrade", "proxy-connection"}
        assert not names & {"x-hop", "x-other", "x-early", "x-trail", "set-cookie"}
        assert ask(connection, "/own").body == b"/own"
    assert reused(running) is kept


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", LENGTH + b"\r\n"),
        ("HEAD", CHUNKED),
        ("HEAD", OK + b"\r\n"),
        ("GET", b"HTTP/1.1 204 N\r\nContent-Length: 4\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 N\r\nContent-Length: 4\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_a_body_where_none_can_be_answers_no_other_request(running: Edge, method: str, head: bytes, late: bool) -> None:
    """Announced for HEAD, 204 or 304 it might come at any time, as the next request's answer: the connection ends."""
    evil = LENGTH + b"\r\nevil"
    running.upstream.script = (head, PAUSE, evil) if late else (head + evil,)
    with client(running) as connection:
        assert ask(connection, LIE, method).body == b""
        assert ask(connection, "/own").body == b"/own"
    assert not reused(running)


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"y"),
        (OK + b"Content-Length: 1000\r\n\r\n", b"y"),
        (CHUNKED + CHUNK + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["interim answers", "a head", "a body", "trailers"],
)
def test_a_drip_ends_when_the_time_of_the_call_is_over(running: Edge, begun: bytes, drip: bytes) -> None:
    """Each byte breaks the silence, and the limit of the whole call holds all the same: 504, or a body that is cut."""
    running.upstream.script = (begun, Endless(drip, seconds=0.1))
    running.upstream.told.clear()
    with client(running) as connection:
        response = ask(connection, f"/hasty{LIE}")
        if response.status == 200:
            assert begun.startswith(OK)
            assert response.truncated
            assert len(response.body) < 200
        else:
            assert (response.status, response.header("content-type")) == (504, "application/problem+json")
    assert running.upstream.told.wait(PATIENCE)
