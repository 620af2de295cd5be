"""`airgate-edge check` and `explain`: what they print about a file without serving it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import ROOT, SECRET

PROXY = {"type": "http_proxy", "server": "up"}
FILE: dict[str, Any] = {
    "servers": [{"alias": "up", "url": "http://127.0.0.1:9001/base"}],
    "authorizer": {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET"},
    "variables": {"key": "$secret.EDGE_TEST_SECRET", "tenant": "acme"},
    "paths": [
        {"method": "ANY", "path": "/{.+}", "integration": PROXY},
        {"method": "GET", "path": "/users/{id}", "integration": PROXY, "x-airgate": {"rewrite": "/v2/people/{id}"}},
        {"method": "GET", "path": "/users/me", "response": {"me": True}},
        {
            "method": "POST",
            "path": "/users/{id}/orders",
            "auth": True,
            "integration": PROXY,
            "mapping": {
                "headers": {"X-User": "$request.jwt.sub", "X-Key": "$config.key", "X-Tenant": "$config.tenant"},
                "query": {"user": "$request.jwt.sub"},
            },
        },
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(FILE))
    return file


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airgate.edge", *arguments]
    environment = {**os.environ, "EDGE_TEST_SECRET": SECRET}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_check_accepts_a_good_file_and_lists_all_problems_of_a_bad_one(config: Path) -> None:
    """The exit code is 0 or 2; each problem has a line with its pointer and the cure, also a schema that is missing."""
    assert run("check", str(config)).returncode == 0
    bad = {**FILE, "pats": [], "paths": [{"method": "GET", "path": "/a", "respones": 1}, {"method": "FETCH"}]}
    config.write_text(json.dumps(bad))
    done = run("check", str(config))
    assert done.returncode == 2
    assert "has 4 problem(s)" in done.stderr
    for pointer in ("/pats", "/paths/0/respones", "/paths/1/method", "/paths/1/path"):
        assert f"  {pointer}: " in done.stderr
    route = {"method": "GET", "path": "/a", "response": 1, "x-airgate": {"validate": {"query": {"$ref": "gone.json"}}}}
    config.write_text(json.dumps({"paths": [route]}))
    done = run("check", str(config))
    assert done.returncode == 2
    assert "/paths/0/x-airgate/validate" in done.stderr
    assert run("check", str(config), "--mode", "compatible").returncode == 0


def explained(config: Path, *arguments: str) -> list[str]:
    done = run("explain", str(config), *arguments)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_explain_tells_the_route_and_why_the_others_lost(config: Path) -> None:
    """The chosen route comes with its place in the file, and each other one that matches with the reason."""
    lines = explained(config, "GET", "/users/me")
    assert "route GET /users/me (/paths/2, static answer)" in lines
    assert "not GET /users/{id} (/paths/1): it has a parameter where the chosen one matches as it stands" in lines
    assert any(line.startswith("not ANY /{.+} (/paths/0): ") for line in lines)
    assert 'answer 200, {"me":true}' in lines


def test_explain_tells_what_the_upstream_would_see(config: Path) -> None:
    """URL, headers set and dropped, the secret one hidden, claims as given, and what the caller has to prove."""
    request = ("POST", "/users/7/orders?user=spoofed&page=2", "--header", "X-User: mallory", "--header", "TE: trailers")
    lines = explained(config, *request, "--claims", '{"sub": "alice"}')
    assert "auth a bearer token that the authorizer of type jwt accepts; else 401" in lines
    assert "upstream up: POST http://127.0.0.1:9001/base/users/7/orders?user=alice&page=2" in lines
    assert {"sets x-user: alice", "sets x-tenant: acme", "sets x-key: (secret)", "drops te"} <= set(lines)


def test_explain_follows_a_rewritten_path_and_a_plain_spelling(config: Path) -> None:
    """The path that routing reads is shown where it differs from the one asked for, and so is the rewritten one."""
    lines = explained(config, "GET", "//users/%37")
    assert "the path is read as /users/7" in lines
    assert "upstream up: GET http://127.0.0.1:9001/base/v2/people/7" in lines


def test_explain_tells_which_methods_a_path_has(tmp_path: Path) -> None:
    """Where no route serves a request, those are listed that would with another method."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"paths": [{"method": "PUT", "path": "/a", "response": 1}]}))
    lines = explained(config, "GET", "/a")
    assert lines[1].startswith("route none: answered with 404")
    assert "PUT would be served by PUT /a" in lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GET", "users"], "'users' is no path"),
        (["GET", "/a", "--header", "X"], "'X' is not 'NAME: VALUE'"),
        (["GET", "/users/1/orders", "--claims", "[]"], "the claims are not a JSON object"),
    ],
)
def test_explain_refuses_what_is_no_request(config: Path, arguments: list[str], said: str) -> None:
    """The exit code is 2, and one line says why."""
    if "--claims" in arguments:
        arguments = ["POST", *arguments[1:]]
    done = run("explain", str(config), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
