"""Stand-ins for services and hooks on a real edge: what they are told, and what becomes of what they return."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.edge.edge_process import SECRET, Response, call, edge
from tests.edge.policy_upstream import PolicyUpstream
from tests.edge.stand_in_folder import FAILING, VARIABLES, gateway_file, stand_ins

DONE, FAILED = "Operation completed successfully.", "An error occurred."
TYPE = "application/json"


@pytest.fixture(scope="module")
def upstream() -> Iterator[PolicyUpstream]:
    server = PolicyUpstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def ports(upstream: PolicyUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The same file and folder, served in both modes."""
    folder = tmp_path_factory.mktemp("stand-ins")
    config = folder / "config.json"
    config.write_text(json.dumps(gateway_file(upstream.url)))
    options = ("--stand-ins", str(stand_ins(folder / "stand-ins")))
    with (
        edge(config, *options, variables=VARIABLES) as strict,
        edge(config, *options, "--mode", "compatible", variables=VARIABLES) as compatible,
    ):
        yield {"strict": strict, "compatible": compatible}


def token(**claims: Any) -> tuple[str, str]:
    return "Authorization", f"Bearer {jwt.encode({'sub': 'alice', 'exp': time.time() + 600, **claims}, SECRET)}"


def is_failure(mode: str, response: Response) -> bool:
    """Whether an answer is the one to a stand-in that failed, without any text of it."""
    if mode == "compatible":
        return (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    body = json.loads(response.body)
    return (response.status, body["status"], response.header("content-type")) == (500, 500, "application/problem+json")


RESULTS: list[tuple[str, int, str | None, object]] = [
    ("obj", 200, TYPE, {"status": "success", "message": DONE, "data": {"a": 1, "b": [True, None, 1.5]}}),
    ("listed", 200, TYPE, {"status": "success", "message": DONE, "data": {"0": "x", "1": {"y": 1}}}),
    ("empty", 200, TYPE, {"status": "success", "message": DONE, "data": {}}),
    ("created", 201, TYPE, {"status": "success", "message": "made", "data": {"id": 7}}),
    ("wrong", 500, TYPE, {"status": "error", "message": "sorry", "error": "no stock"}),
    ("wrong_status", 409, TYPE, {"status": "error", "message": FAILED, "error": {"code": 5}}),
    ("text", 200, TYPE, b"some text"),
    ("none", 200, TYPE, b""),
    ("integer", 400, None, b""),
    ("boolean", 400, None, b""),
    ("response", 418, "text/plain;charset=UTF-8", b"teapot"),
    ("no_content", 204, None, b""),
    ("as_json", 202, TYPE, {"é": 1}),
]


@pytest.mark.parametrize("mode", ["strict", "compatible"])
@pytest.mark.parametrize(("name", "status", "media_type", "body"), RESULTS, ids=[row[0] for row in RESULTS])
def test_a_result_becomes_a_response(
    ports: dict[str, int], mode: str, name: str, status: int, media_type: str | None, body: object
) -> None:
    """The gateway's table holds in both modes, and each answer has the headers of `cors`."""
    response = call(ports[mode], "GET", f"/result/{name}", [("Origin", "https://app.example")])
    assert (response.status, response.header("content-type")) == (status, media_type)
    assert (response.body if isinstance(body, bytes) else json.loads(response.body)) == body
    assert response.header("access-control-allow-origin") == "https://app.example"


@pytest.mark.parametrize("mode", ["strict", "compatible"])
@pytest.mark.parametrize("name", ["boom", "gone", "odd_status", "no_json", "holds_itself", "split", *FAILING])
def test_what_fails_is_a_500_that_tells_nothing(ports: dict[str, int], mode: str, name: str) -> None:
    """An exception, an exit, a status that is none, a value without JSON, a header that would be two; it serves on."""
    response = call(ports[mode], "GET", f"/result/{name}")
    assert is_failure(mode, response)
    assert b"luck" not in response.body
    assert call(ports[mode], "GET", "/static").status == 200


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_response_is_sent_as_it_is(ports: dict[str, int], mode: str) -> None:
    """Repeated headers stay repeated, text is UTF-8, and the length is the edge's own."""
    response = call(ports[mode], "GET", "/result/response")
    assert [value for name, value in response.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert response.header("x-own") == "é"
    assert [value for name, value in response.headers if name == "content-length"] == ["6"]


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_services_are_classes_and_bindings_may_be_objects(ports: dict[str, int], mode: str) -> None:
    """The only class with `fetch` is made anew for each request; an object called as the binding gives its methods."""
    for _ in range(2):
        body = json.loads(call(ports[mode], "POST", "/orders/7/lines").body)
        assert body["data"] == {"orders": ["shared"], "count": 1, "path": "/orders/7/lines"}
    assert call(ports[mode], "GET", "/audit").body == b"noted"


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_stand_in_is_told_the_request_and_its_context(ports: dict[str, int], mode: str) -> None:
    """URL, headers, body, claims, the route that matched; its repr holds no header, query or body."""
    sent = [token(), ("X-Twice", "a"), ("X-Twice", "b"), ("Host", "api.example:8080")]
    response = call(ports[mode], "PUT", "/users/a%20b/echo?day=1&day=2&q=a+b", sent, b"\xc3\xa9")
    assert response.status == 200, response.body
    told = json.loads(response.body)["data"]
    assert (told["method"], told["path"], told["body"]) == ("PUT", "/users/a%20b/echo", "é")
    assert told["url"] == "http://api.example:8080/users/a%20b/echo?day=1&day=2&q=a+b"
    assert told["query"] == {"day": "1", "q": "a b"}
    assert told["headers"]["x-twice"] == "a, b"
    assert told["claims"]["sub"] == "alice"
    matched = told["matched"]
    assert (matched["path"], matched["parameters"]) == ("/users/{id}/echo", {"id": "a%20b"})
    assert (matched["exact"], matched["count"], matched["wildcard"]) == (False, 4, False)
    assert told["config"]["paths"][matched["position"]]["path"] == "/users/{id}/echo"
    assert not [part for part in ("Bearer", "day", "é") if part in told["shown"]]


def test_strict_mode_tells_no_secret(ports: dict[str, int]) -> None:
    """Only granted variables, no forwarding header of a stranger; the file has its secrets as references, or masked."""
    sent = [token(), ("X-Forwarded-For", "6.6.6.6"), ("Connection", "close, X-Hop"), ("X-Hop", "1")]
    response = call(ports["strict"], "GET", "/users/7/echo", sent)
    told = json.loads(response.body)["data"]
    assert told["env"] == {"TENANT": "acme"}
    assert told["config"]["authorizer"]["secret"] == "$secret.EDGE_TEST_SECRET"
    assert told["config"]["variables"] == {"tenant": "acme", "pin": "$secret.TENANT", "api_key": "***"}
    assert SECRET.encode() not in response.body
    assert told["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert "x-hop" not in told["headers"]


def test_compatible_mode_tells_everything(ports: dict[str, int]) -> None:
    """The gateway gives the whole environment and the whole file to each service."""
    told = json.loads(call(ports["compatible"], "GET", "/users/7/echo", [token()]).body)["data"]
    assert told["env"] == VARIABLES
    assert told["config"]["authorizer"]["secret"] == SECRET
    assert told["config"]["variables"]["api_key"] == "literal-secret"


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_service_is_called_after_auth(ports: dict[str, int], mode: str) -> None:
    """Without a token there is no answer of it."""
    assert call(ports[mode], "GET", "/users/7/echo").status == 401


HOOKS: list[tuple[str, int | None, int | None]] = [
    ("allow", None, None),
    ("deny", 451, 451),
    ("deny_false", 403, 200),
    ("deny_object", 403, 200),
    ("one", 403, 200),
    ("text", 403, 200),
    ("none", 403, 500),
    ("boom", 500, 500),
]


@pytest.mark.parametrize("mode", ["strict", "compatible"])
@pytest.mark.parametrize(("name", "strict", "compatible"), HOOKS, ids=[row[0] for row in HOOKS])
def test_a_hook_lets_a_request_through_or_not(
    ports: dict[str, int], upstream: PolicyUpstream, mode: str, name: str, strict: int | None, compatible: int | None
) -> None:
    """Only `True` does, and only then the server is called; strict mode has 403 where the gateway has an empty 200."""
    upstream.calls.clear()
    response = call(ports[mode], "GET", f"/hook/{name}")
    expected = strict if mode == "strict" else compatible
    assert response.status == (expected or 200)
    assert sum(upstream.calls.values()) == (expected is None)
    if expected == 403:
        assert json.loads(response.body)["status"] == 403
    elif expected == 200:
        assert response.body == b""
    elif expected == 500:
        assert is_failure(mode, response)


@pytest.mark.parametrize(("mode", "spoofed"), [("strict", False), ("compatible", True)])
def test_a_hook_sees_no_header_that_only_the_file_may_set(ports: dict[str, int], mode: str, spoofed: bool) -> None:
    """In strict mode a client's own copy of a mapped header, in any spelling, reaches neither server nor hook."""
    sent = [("X-User", "root"), ("x_user", "root"), ("X-HTTP-Method-Override", "DELETE"), ("X-Other", "1")]
    told = json.loads(call(ports[mode], "GET", "/mapped", sent).body)
    assert told["x-other"] == "1"
    for name in ("x-user", "x_user", "x-http-method-override"):
        assert (name in told) is spoofed


@pytest.mark.parametrize("mode", ["strict", "compatible"])
@pytest.mark.parametrize("chunked", [False, True])
def test_hook_and_server_both_read_the_body(ports: dict[str, int], mode: str, chunked: bool) -> None:
    """Whatever the framing; a hook's own response says why it was refused."""
    body = json.dumps({"pass": "yes", "fill": "x" * 100_000}).encode()
    response = call(ports[mode], "POST", "/hook/allow_by_body", body=body, chunked=chunked)
    # The upstream of these tests reads only bodies with a length.
    assert json.loads(response.body)["data"]["body"] == ("" if chunked else body.decode())
    response = call(ports[mode], "POST", "/hook/allow_by_body", body=b'{"pass":"no"}', chunked=chunked)
    assert (response.status, response.body) == (403, b'{"why":"no"}')


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_hook_and_service_both_read_the_body(ports: dict[str, int], mode: str) -> None:
    """A route may have both."""
    response = call(ports[mode], "POST", "/both", body=b'{"pass":"yes"}', chunked=True)
    assert json.loads(response.body)["data"]["body"] == '{"pass":"yes"}'


def test_compatible_mode_without_a_folder_answers_as_for_missing_workers(
    upstream: PolicyUpstream, tmp_path: Path
) -> None:
    """What cannot be called is 500; a hook with an unknown alias, or without an integration, is skipped."""
    config = tmp_path / "config.json"
    file = gateway_file(upstream.url)
    unknown = {"binding": "unknown", "function": "deny"}
    proxy = {"type": "http_proxy", "server": "up"}
    file["paths"] += [
        {"method": "GET", "path": "/misspelt", "integration": proxy, "pre_process": unknown},
        {"method": "GET", "path": "/unguarded", "response": 2, "pre_process": {"binding": "svc", "function": "deny"}},
        {"method": "GET", "path": "/nowhere", "integration": {"type": "service", "binding": "unknown"}},
    ]
    config.write_text(json.dumps(file))
    with edge(config, "--mode", "compatible", variables=VARIABLES) as port:
        answers = {path: call(port, "GET", path) for path in ("/result/obj", "/orders/1", "/hook/allow", "/both")}
        assert all(is_failure("compatible", answer) for answer in answers.values())
        assert call(port, "GET", "/unguarded").body == b"2"
        assert call(port, "GET", "/misspelt").status == 200
        assert call(port, "GET", "/nowhere").status == 404
