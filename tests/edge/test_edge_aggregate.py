"""One request becomes several calls at once: live, over upstreams of which one hangs, one breaks off, one is killed."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.edge.edge_process import ROOT, SECRET, Response, call, edge
from tests.edge.policy_upstream import PolicyUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[PolicyUpstream]:
    server = PolicyUpstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def victim() -> Iterator[subprocess.Popen[str]]:
    """A process of its own, to be killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.edge.policy_upstream"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def branch(path: str, **more: Any) -> dict[str, Any]:
    return {"server": "up", "path": path, **more}


def optional(path: str, **more: Any) -> dict[str, Any]:
    return branch(path, required=False, **more)


ROUTES: dict[str, dict[str, Any]] = {
    "/trip/{id}": {
        "flights": branch(
            "/v1/flights/{id}",
            select="data",
            forward=["X-Tenant"],
            mapping={
                "headers": {"X-User": "$request.jwt.sub", "X-Fixed": "yes", "X-None": "$request.jwt.nothing"},
                "query": {"day": "$request.query.day", "flight": "$request.path.id", "region": "$config.region"},
            },
        ),
        "weather": optional("/weather", select="count"),
    },
    "/post": {
        "order": branch(
            "/orders", method="POST", select="data.body", body={"id": "$request.body.id", "by": "$request.jwt.sub"}
        ),
    },
    "/slow-optional": {"ok": branch("/ok", select="data.path"), "slow": optional("/hang", timeout=0.3)},
    "/slow-required": {"ok": optional("/ok"), "slow": branch("/hang", timeout=0.3)},
    "/broken": {
        "ok": branch("/ok", select="data.path"),
        "dies": optional("/die"),
        "drops": optional("/drop"),
        "error": optional("/status/500"),
        "big": optional("/big", limit=1000),
        "text": optional("/text"),
        "down": {"server": "down", "path": "/x", "required": False},
    },
    "/required-404": {"ok": optional("/ok"), "gone": branch("/status/404")},
    "/required-500": {"ok": optional("/ok"), "bad": branch("/status/500")},
    "/early": {"fails": branch("/status/500"), "slow": branch("/hang", timeout=15)},
    "/parallel": {name: branch("/wait") for name in ("a", "b", "c", "d")},
    "/left": {"slow": branch("/hang", timeout=15)},
    "/killed": {
        "ok": branch("/ok", select="data.path"),
        "victim": {"server": "victim", "path": "/hang", "required": False},
    },
}
BODIES = {"/post"}


@pytest.fixture(scope="module")
def port(
    upstream: PolicyUpstream, victim: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    assert victim.stdout is not None
    config = tmp_path_factory.mktemp("aggregate") / "config.json"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        servers = [
            {"alias": "up", "url": upstream.url},
            {"alias": "down", "url": f"http://127.0.0.1:{closed.getsockname()[1]}"},
            {"alias": "victim", "url": victim.stdout.readline().strip()},
        ]
        paths = [
            {
                "method": "POST" if path in BODIES else "GET",
                "path": path,
                "auth": True,
                "integration": {"type": "aggregate", "branches": branches},
            }
            for path, branches in ROUTES.items()
        ]
        file = {
            "servers": servers,
            "authorizer": {"type": "jwt", "secret": SECRET},
            "variables": {"region": "eu"},
            "paths": paths,
        }
        config.write_text(json.dumps(file))
        with edge(config) as port:
            yield port


def token() -> tuple[str, str]:
    return "Authorization", f"Bearer {jwt.encode({'sub': 'alice', 'exp': time.time() + 600}, SECRET)}"


def ask(port: int, target: str, *headers: tuple[str, str], method: str = "GET", body: bytes | None = None) -> Response:
    return call(port, method, target, [token(), *headers], body)


def value(response: Response) -> Any:
    return json.loads(response.body)


def test_the_branches_are_merged_with_a_status_each(port: int) -> None:
    """Path, query, headers, claims and variables reach the branch; only named headers of the client go along."""
    answer = ask(port, "/trip/LH%2F7?day=2026-01-31&other=1", ("X-Tenant", "north"), ("Cookie", "a=b"))
    assert answer.status == 200, answer.body
    merged = value(answer)
    assert merged["_status"] == {"flights": {"status": 200}, "weather": {"status": 200}}
    assert merged["weather"] == 1
    seen = merged["flights"]
    assert seen["path"] == "/v1/flights/LH%2F7"
    assert seen["query"] == {"day": ["2026-01-31"], "flight": ["LH/7"], "region": ["eu"]}
    named = {name: each for name, each in seen["headers"].items() if name.startswith("x-")}
    assert named == {"x-user": "alice", "x-fixed": "yes", "x-tenant": "north"}
    assert not {"authorization", "cookie"} & set(seen["headers"])


def test_a_placeholder_that_stands_for_nothing_leads_a_branch_to_no_other_path(
    port: int, upstream: PolicyUpstream
) -> None:
    """`/trip/` is no trip: its branch would ask for the list of flights."""
    before = dict(upstream.calls)
    assert ask(port, "/trip/").status == 404
    assert dict(upstream.calls) == before


def test_without_a_token_nothing_is_called(port: int, upstream: PolicyUpstream) -> None:
    """Authorisation comes first."""
    before = dict(upstream.calls)
    assert call(port, "GET", "/trip/1").status == 401
    assert dict(upstream.calls) == before


def test_a_branch_posts_a_body_made_from_the_request(port: int) -> None:
    """References in the template become values of the client's body and token."""
    answer = ask(port, "/post", ("Content-Type", "application/json"), method="POST", body=b'{"id": 7, "evil": 1}')
    assert json.loads(value(answer)["order"]) == {"id": 7, "by": "alice"}


def test_a_hanging_optional_branch_is_null_after_its_timeout(port: int) -> None:
    """The others are answered, and its status says 504."""
    begun = time.monotonic()
    merged = value(ask(port, "/slow-optional"))
    assert time.monotonic() - begun < 2
    assert (merged["ok"], merged["slow"]) == ("/ok", None)
    assert merged["_status"]["slow"] == {"status": 504, "detail": "did not answer within 0.3 s"}


def test_a_hanging_required_branch_makes_the_answer_504(port: int) -> None:
    """Problem details name server, branch and what became of each."""
    answer = ask(port, "/slow-required")
    assert (answer.status, answer.header("content-type")) == (504, "application/problem+json")
    assert "branch 'slow' did not answer within 0.3 s" in value(answer)["detail"]
    assert value(answer)["branches"]["slow"]["status"] == 504


def test_whatever_happens_to_optional_branches_the_answer_stands(port: int) -> None:
    """Breaking off, refusing, failing, too much and no JSON are told by status; the rest is there."""
    merged = value(ask(port, "/broken"))
    assert merged["ok"] == "/ok"
    told = {name: each["status"] for name, each in merged["_status"].items()}
    assert told == {"ok": 200, "dies": 502, "drops": 502, "error": 500, "big": 502, "text": 502, "down": 502}
    assert all(merged[name] is None for name in told if name != "ok")


@pytest.mark.parametrize(("path", "status"), [("/required-404", 404), ("/required-500", 502)])
def test_a_failed_required_branch_decides_the_status(port: int, path: str, status: int) -> None:
    """That something is not there is passed on; what else a server says is a bad gateway."""
    assert ask(port, path).status == status


def test_a_failed_required_branch_ends_the_others(port: int, upstream: PolicyUpstream) -> None:
    """Nobody waits for what cannot be used any more, and the hanging call is closed."""
    upstream.hanging.clear()
    upstream.left.clear()
    begun = time.monotonic()
    answer = ask(port, "/early")
    assert answer.status == 502
    assert time.monotonic() - begun < 5
    if upstream.hanging.wait(0.2):  # the call may have been ended before it was made
        assert upstream.left.wait(5)


def test_branches_run_at_the_same_time(port: int) -> None:
    """Four waits of 0.4 s take much less than 1.6 s."""
    begun = time.monotonic()
    assert ask(port, "/parallel").status == 200
    assert time.monotonic() - begun < 1.2


def test_a_client_that_leaves_ends_the_branches(port: int, upstream: PolicyUpstream) -> None:
    """The upstream sees its connection close long before the timeout of the branch."""
    upstream.hanging.clear()
    upstream.left.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        name, text = token()
        client.sendall(f"GET /left HTTP/1.1\r\nHost: x\r\n{name}: {text}\r\n\r\n".encode())
        assert upstream.hanging.wait(5)
        assert not upstream.left.is_set()
    assert upstream.left.wait(5)


def test_a_server_that_is_killed_while_it_works_costs_only_its_branch(port: int, victim: subprocess.Popen[str]) -> None:
    """SIGKILL in the middle of a call: its branch is 502, the others are answered; so is the next request."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        name, text = token()
        client.sendall(f"GET /killed HTTP/1.1\r\nHost: x\r\n{name}: {text}\r\nConnection: close\r\n\r\n".encode())
        time.sleep(0.5)
        victim.send_signal(signal.SIGKILL)
        data = b""
        while piece := client.recv(65536):
            data += piece
    for body in (data.partition(b"\r\n\r\n")[2], ask(port, "/killed").body):
        merged = json.loads(body)
        assert (merged["ok"], merged["victim"]) == ("/ok", None)
        assert merged["_status"]["victim"]["status"] == 502


def test_a_body_that_is_no_json_is_refused_before_any_call(port: int, upstream: PolicyUpstream) -> None:
    """A template over the body needs one that can be read."""
    before = upstream.calls["/orders"]
    assert ask(port, "/post", ("Content-Type", "application/json"), method="POST", body=b"{").status == 400
    assert upstream.calls["/orders"] == before
