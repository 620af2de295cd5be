"""The server of a key set is killed and comes back, under a real edge in strict mode: never open, soon well again."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.edge_process import ROOT, Response, call, edge
from tests.spec.signing import jwk, shared, signed

CLAIMS = {"iss": "https://t.test/", "aud": "api", "exp": 4102444800}


class KeyServer:
    """The process that gives out the keys, on one port through all its lives."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._document = folder / "keys.json"
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self, *kinds: str) -> None:
        keys = [jwk(kind, kid=kind) for kind in kinds]
        self._document.write_text(json.dumps({"keys": keys}))

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.edge.key_server", str(self.port), str(self._document)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        _until(lambda: call(self.port, "GET", "/").status == 200)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def keys(tmp_path: Path, closed_port: int) -> Iterator[KeyServer]:
    server = KeyServer(tmp_path, closed_port)
    yield server
    server.kill()


@pytest.fixture
def port(tmp_path: Path, keys: KeyServer) -> Iterator[int]:
    settings = {"type": "auth0", "domain": "t.test", "jwks_uri": f"http://127.0.0.1:{keys.port}/keys"}
    config = tmp_path / "config.json"
    routes = [{"method": "GET", "path": "/private", "auth": True, "response": {"secret": 1}}]
    config.write_text(json.dumps({"authorizer": {**settings, "x-airgate": {"audience": "api"}}, "paths": routes}))
    with edge(config) as opened:
        yield opened


def ask(port: int, token: str) -> Response:
    return call(port, "GET", "/private", [("Authorization", f"Bearer {token}")])


def token(kind: str) -> str:
    return signed(CLAIMS, kind, "RS256", kid=kind)


def test_an_outage_of_the_keys_opens_nothing_and_ends_by_itself(keys: KeyServer, port: int) -> None:
    """Without keys 503; with them 200; killed again, known keys go on and new ones wait; back again, all is well."""
    keys.publish("RS256")
    unavailable = ask(port, token("RS256"))
    assert (unavailable.status, unavailable.header("content-type")) == (503, "application/problem+json")
    assert unavailable.header("retry-after") in ("1", "2")
    assert b"secret" not in unavailable.body

    keys.start()
    _until(lambda: ask(port, token("RS256")).status == 200)
    keys.kill()
    assert ask(port, token("RS256")).body == b'{"secret":1}'
    assert ask(port, shared(CLAIMS, b"k" * 32)).status == 401

    keys.publish("RS256", "RS256:new")
    _until(lambda: ask(port, token("RS256:new")).status == 503)
    assert ask(port, token("RS256")).status == 200
    keys.start()
    _until(lambda: ask(port, token("RS256:new")).status == 200)
    assert ask(port, signed(CLAIMS, "RS256:stranger", "RS256", kid="RS256")).status == 401


def _until(holds: Callable[[], bool]) -> None:
    """Try for as long as a recovery may take; a connection that is refused does not hold."""
    ends = time.monotonic() + 15
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        assert time.monotonic() < ends, "it did not come about in time"
        time.sleep(0.1)
