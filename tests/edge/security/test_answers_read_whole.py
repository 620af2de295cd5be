"""Answers that the edge itself reads, key sets and branches: whatever comes, nobody gets in, and memory is bounded."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import Response, call
from tests.edge.operated import Operated, operated
from tests.edge.security.lying_upstream import CLOSE, LIE, Endless, LyingUpstream, Step
from tests.spec.signing import jwk, signed

MEGABYTE = 1024 * 1024
CLAIMS = {"iss": "https://t.test/", "aud": "api", "exp": 4102444800}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b" " * 100 * MEGABYTE)

Script = tuple[Step, ...]


def answered(body: bytes, line: bytes = OK) -> bytes:
    return line + b"Content-Length: %d\r\n\r\n" % len(body) + body


def bomb(coding: bytes = b"gzip") -> bytes:
    return answered(BOMB, OK + b"Content-Encoding: " + coding + b"\r\n")


LIES: dict[str, Script] = {
    "no JSON": (answered(b"<html>"),),
    "JSON nested deeply": (answered(b"[" * 900_000),),
    "a number of a million digits": (answered(b'{"keys":[],"x":' + b"9" * MEGABYTE + b"}"),),
    "bomb": (bomb(),),
    "bomb in a bomb": (bomb(b"gzip, gzip"),),
    "unknown coding": (bomb(b"evil"),),
    "without end": (OK + b"\r\n", Endless(b" " * 100_000)),
    "chunks without end": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        Endless(b"186a0\r\n" + b" " * 100_000 + b"\r\n"),
    ),
    "header without end": (OK + b"X: ", Endless(b"y" * 100_000)),
    "headers without end": (OK, Endless(b"X: y\r\n" * 10_000)),
    "trailers without end": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        Endless(b"X: y\r\n" * 10_000),
    ),
    "cut": (OK + b'Content-Length: 100\r\n\r\n{"keys":[]', CLOSE),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 11\r\n\r\n" + b'{"keys":[]}',),
    "status of another time": (answered(b'{"keys":[]}', b"HTTP/1.1 999 Odd\r\n"),),
    "not found": (answered(b"{}", b"HTTP/1.1 404 Not Found\r\n"),),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[LyingUpstream]:
    opened = LyingUpstream()
    yield opened
    opened.close()


@pytest.fixture
def elsewhere() -> Iterator[LyingUpstream]:
    opened = LyingUpstream()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def branched(upstream: LyingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with operated(by_branch(upstream, tmp_path_factory.mktemp("branches"))) as edge:
        yield edge


def by_key(upstream: LyingUpstream, folder: Path) -> Path:
    """A file with a guarded route, whose keys are where the lies are."""
    address = f"http://127.0.0.1:{upstream.port}{LIE}"
    authorizer = {"type": "auth0", "domain": "t.test", "jwks_uri": address, "x-airgate": {"audience": "api"}}
    route = {"method": "GET", "path": "/private", "auth": True, "response": {"secret": 1}}
    return written(folder, {"authorizer": authorizer, "paths": [route]})


def by_branch(upstream: LyingUpstream, folder: Path) -> Path:
    """A file with a route that asks for the lies, and for the truth beside them."""
    branches = {"lie": {"server": "up", "path": LIE, "timeout": 2.0}}
    route = {"method": "GET", "path": "/both", "integration": {"type": "aggregate", "branches": branches}}
    server = {"alias": "up", "url": f"http://127.0.0.1:{upstream.port}"}
    return written(folder, {"servers": [server], "paths": [route]})


def written(folder: Path, file: dict[str, Any]) -> Path:
    config = folder / "config.json"
    config.write_text(json.dumps(file))
    return config


def most_memory(edge: Operated) -> int:
    """Bytes that the process had at most so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{edge.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def ask(edge: Operated, token: str) -> Response:
    return call(edge.port, "GET", "/private", [("Authorization", f"Bearer {token}")])


@pytest.mark.parametrize("script", LIES.values(), ids=LIES.keys())
def test_no_lie_of_the_server_of_keys_opens_a_route(upstream: LyingUpstream, tmp_path: Path, script: Script) -> None:
    """503, or 401 for a set without the key; of what has no end little is taken, and no bomb is unpacked."""
    upstream.script, upstream.sent = script, 0
    with operated(by_key(upstream, tmp_path)) as edge:
        ask(edge, "a.b.c")
        before = most_memory(edge)
        response = ask(edge, signed(CLAIMS, kid="a"))
        assert response.status in (401, 503)
        assert b"secret" not in response.body
        assert most_memory(edge) - before < 60 * MEGABYTE
    assert upstream.sent < 24 * MEGABYTE


@pytest.mark.parametrize("script", LIES.values(), ids=LIES.keys())
def test_no_lie_of_a_branch_becomes_a_value(upstream: LyingUpstream, branched: Operated, script: Script) -> None:
    """502, 504 or the branch's 404 with problem details, in as little memory."""
    upstream.script, upstream.sent = script, 0
    call(branched.port, "GET", "/none")
    before = most_memory(branched)
    response = call(branched.port, "GET", "/both")
    assert response.status in (404, 502, 504)
    assert response.header("content-type") == "application/problem+json"
    assert most_memory(branched) - before < 60 * MEGABYTE
    assert upstream.sent < 24 * MEGABYTE


def redirect(status: int, elsewhere: LyingUpstream) -> bytes:
    place = b"Location: http://127.0.0.1:%d/keys\r\n" % elsewhere.port
    return answered(b'{"keys":[]}', b"HTTP/1.1 %d Found\r\n" % status + place)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_branch_is_not_followed(
    upstream: LyingUpstream, branched: Operated, elsewhere: LyingUpstream, status: int
) -> None:
    """Where it points to, the request and its headers would be somebody else's."""
    upstream.script = (redirect(status, elsewhere),)
    assert call(branched.port, "GET", "/both").status == 502
    assert elsewhere.asked == []


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_of_the_server_of_keys_is_not_followed(
    upstream: LyingUpstream, elsewhere: LyingUpstream, tmp_path: Path, status: int
) -> None:
    """Who could redirect it could name the keys."""
    upstream.script = (redirect(status, elsewhere),)
    with operated(by_key(upstream, tmp_path)) as edge:
        assert ask(edge, signed(CLAIMS, kid="a")).status == 503
    assert elsewhere.asked == []


def test_made_up_key_ids_ask_for_keys_once(upstream: LyingUpstream, tmp_path: Path) -> None:
    """A hundred tokens with a hundred unknown keys lead to two requests: the first set, and a look for a newer one."""
    keys = json.dumps({"keys": [jwk("RS256", kid="a")]}).encode()
    upstream.script = (answered(keys),)
    upstream.asked.clear()
    good, made_up = signed(CLAIMS, kid="a"), [signed(CLAIMS, kid=f"x{number}") for number in range(100)]
    with operated(by_key(upstream, tmp_path)) as edge:
        assert ask(edge, good).status == 200
        assert {ask(edge, token).status for token in made_up} == {401}
        assert ask(edge, good).status == 200
    assert 1 <= len(upstream.asked) <= 3  # the third where this took more than five seconds
