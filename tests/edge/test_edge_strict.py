"""Strict mode on a real edge: what it refuses to serve, and where it answers more safely than the gateway."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.edge.echo_upstream import EchoUpstream
from tests.edge.edge_process import ROOT, SECRET, call, command, edge

LATER = time.time() + 3600


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {jwt.encode(claims, secret, algorithm)}")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("up")
    yield opened
    opened.close()


def guarded_config(upstream: EchoUpstream) -> dict[str, Any]:
    mapping = {"headers": {"X-User": "$request.jwt.sub"}, "query": {"user": "$request.jwt.sub"}}
    proxy = {"method": "ANY", "integration": {"type": "http_proxy", "server": "up"}, "mapping": mapping}
    return {
        "servers": [
            {"alias": "up", "url": f"http://127.0.0.1:{upstream.ports['up']}"},
            {"alias": "down", "url": f"http://127.0.0.1:{upstream.reserve()}"},
        ],
        "authorizer": {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET"},
        "cors": {"allow_origins": ["https://app.example"]},
        "paths": [
            {**proxy, "path": "/guarded/{.+}", "auth": True},
            {**proxy, "path": "/open/{.+}"},
            {"method": "GET", "path": "/down", "integration": {"type": "http_proxy", "server": "down"}},
        ],
    }


@pytest.fixture(scope="module")
def strict_port(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    config = tmp_path_factory.mktemp("strict") / "config.json"
    config.write_text(json.dumps(guarded_config(upstream)))
    with edge(config, variables={"EDGE_TEST_SECRET": SECRET}) as port:
        yield port


def test_a_bad_file_is_refused_with_every_problem_at_once(tmp_path: Path) -> None:
    """The edge exits with 2 and lists each problem with its JSON pointer, and the missing variable by name."""
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "servers": [{"alias": "up", "url": "$env.EDGE_TEST_NOT_SET"}],
                "path": [],
                "paths": [{"method": "GET", "path": "/a", "auth": True, "response": 1, "respones": 2}],
            }
        )
    )
    done = subprocess.run(command(config), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "/servers/0/url: the variable 'EDGE_TEST_NOT_SET' is not set" in done.stderr
    assert "/path: unknown key 'path'. Write 'paths' if that is meant" in done.stderr
    assert "/paths/0/auth: the route asks for auth" in done.stderr
    assert "/paths/0/respones: unknown key 'respones'. Write 'response' if that is meant" in done.stderr


def test_a_client_cannot_send_a_mapped_name_itself(strict_port: int, upstream: EchoUpstream) -> None:
    """On a route without a token, the client's copies of the mapped header and query name are dropped."""
    upstream.take()
    response = call(strict_port, "GET", "/open/x?user=spoof&page=2", [("x-user", "spoof")])
    assert response.status == 200
    (seen,) = upstream.take()
    assert seen.target == "/x?page=2"
    assert "x-user" not in {name.lower() for name, _ in seen.headers}


def test_a_valid_token_reaches_the_upstream_as_mapped_header(strict_port: int, upstream: EchoUpstream) -> None:
    """The claim replaces what the client sent under the mapped name."""
    upstream.take()
    headers = [*token(sub="alice", exp=LATER), ("X-User", "mallory")]
    assert call(strict_port, "GET", "/guarded/x", headers).status == 200
    (seen,) = upstream.take()
    assert [value for name, value in seen.headers if name.lower() == "x-user"] == ["alice"]


def test_a_mapped_header_cannot_be_taken_away_by_naming_it_in_connection(
    strict_port: int, upstream: EchoUpstream
) -> None:
    """`Connection: X-User` ends the client's own headers at the edge, never what the edge tells the upstream."""
    upstream.take()
    named = ("Connection", "close, X-User, X-Mine, X-Forwarded-For")
    assert (
        call(strict_port, "GET", "/guarded/x", [*token(sub="alice", exp=LATER), ("X-Mine", "1"), named]).status == 200
    )
    (seen,) = upstream.take()
    headers = {name.lower(): value for name, value in seen.headers}
    assert headers["x-user"] == "alice"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert "x-mine" not in headers


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], 'Bearer realm="gateway"'),
        (token(sub="a"), 'Bearer realm="gateway", error="invalid_token"'),
        (token(sub="a", exp=1), 'Bearer realm="gateway", error="invalid_token"'),
        (token(algorithm="HS512", sub="a", exp=LATER), 'Bearer realm="gateway", error="invalid_token"'),
        (token(secret="x" * 40, sub="a", exp=LATER), 'Bearer realm="gateway", error="invalid_token"'),
    ],
    ids=["no token", "no exp", "expired", "other algorithm", "other secret"],
)
def test_a_bad_token_is_refused_with_a_challenge(
    strict_port: int, upstream: EchoUpstream, headers: list[tuple[str, str]], challenge: str
) -> None:
    """A 401 says how to authenticate, and the upstream is not called."""
    upstream.take()
    response = call(strict_port, "GET", "/guarded/x", headers)
    assert (response.status, response.header("www-authenticate")) == (401, challenge)
    assert upstream.take() == []


def test_a_dead_upstream_gives_problem_details_with_cors_headers(strict_port: int) -> None:
    """A refused connection is 502 with RFC 9457 details that name the server, readable across origins."""
    response = call(strict_port, "GET", "/down", [("Origin", "https://app.example")])
    assert response.status == 502
    assert response.header("content-type") == "application/problem+json"
    assert response.header("access-control-allow-origin") == "https://app.example"
    assert "'down'" in json.loads(response.body)["detail"]


def test_the_edge_imports_neither_airflow_nor_pandas() -> None:
    """Importing the edge stays light: no Airflow, no data libraries."""
    program = "import sys, airgate.edge, airgate.edge.server, airgate.edge.proxy; print(*sys.modules)"
    done = subprocess.run([*command(Path())[:1], "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"airflow", "pandas", "pyarrow", "numpy"} & {name.split(".")[0] for name in done.stdout.split()}
