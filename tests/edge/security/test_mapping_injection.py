"""What a caller can put into mapped headers, query, body and path: a value there, and never more than a value."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import jwt
import pytest

from airgate.spec.check import problems
from tests.edge.echo_upstream import EchoUpstream, Seen
from tests.edge.edge_process import SECRET, Response, call, edge

LATER = int(time.time()) + 3600
HEADERS = {"X-Sub": "$request.jwt.sub", "X-Asked": "$request.query.q", "X-Copy": "$request.header.x-in"}
BODY = {"sub": "$request.jwt.sub", "asked": "$request.query.q", "sent": "$request.body.sent"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("up")
    yield opened
    opened.close()


def configuration(upstream: EchoUpstream, *, policies: bool) -> dict[str, Any]:
    proxy = {"method": "ANY", "auth": True, "integration": {"type": "http_proxy", "server": "up"}}
    paths: list[dict[str, Any]] = [
        {**proxy, "path": "/headers", "mapping": {"headers": HEADERS}},
        {**proxy, "path": "/query", "mapping": {"query": {"sub": "$request.jwt.sub", "asked": "$request.query.q"}}},
    ]
    if policies:
        paths.append({**proxy, "path": "/body", "method": "POST", "x-airgate": {"body": BODY}})
        paths.append({**proxy, "path": "/items/{id}", "x-airgate": {"rewrite": "/v2/{id}/lines"}})
    return {
        "servers": [{"alias": "up", "url": f"http://127.0.0.1:{upstream.ports['up']}/base"}],
        "authorizer": {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET"},
        "paths": paths,
    }


@pytest.fixture(scope="module")
def strict(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    config = tmp_path_factory.mktemp("mapping") / "config.json"
    config.write_text(json.dumps(configuration(upstream, policies=True)))
    with edge(config, variables={"EDGE_TEST_SECRET": SECRET}) as port:
        yield port


@pytest.fixture(scope="module")
def compatible(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    config = tmp_path_factory.mktemp("mapping") / "config.json"
    config.write_text(json.dumps(configuration(upstream, policies=False)))
    with edge(config, "--mode", "compatible", variables={"EDGE_TEST_SECRET": SECRET}) as port:
        yield port


def bearer(subject: object) -> tuple[str, str]:
    claims = {"sub": subject, "exp": LATER}
    return ("Authorization", f"Bearer {jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, 'HS256')}")


def seen_after(upstream: EchoUpstream, response: Response) -> Seen:
    assert response.status == 200, response
    (seen,) = upstream.take()
    return seen


BREAKING = {
    "CR LF": "a\r\nX-Evil: 1",
    "LF": "a\nX-Evil: 1",
    "CR": "a\rX-Evil: 1",
    "NUL": "a\x00b",
    "end of the head": "a\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
}
LIST = ["a", "b\r\nX-Evil: 1"]
CONTROLS = {"bell": "a\x07b", "escape": "a\x1bb", "DEL": "a\x7fb", "vertical tab": "a\x0bb"} | {
    "record separator": "a\x1eb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
}
BAD = {**BREAKING, **CONTROLS}


@pytest.mark.parametrize("value", [*BAD.values(), LIST], ids=[*BAD, "list"])
def test_a_claim_that_no_header_can_hold_is_refused(strict: int, upstream: EchoUpstream, value: object) -> None:
    """400 that names the header and not the value; the upstream is not called."""
    upstream.take()
    response = call(strict, "GET", "/headers", [bearer(value)])
    assert (response.status, response.header("content-type")) == (400, "application/problem+json")
    assert json.loads(response.body)["detail"].startswith("What the request gives for the header 'X-Sub'")
    assert b"Evil" not in response.body
    assert upstream.take() == []


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_a_query_value_that_no_header_can_hold_is_refused(strict: int, upstream: EchoUpstream, value: str) -> None:
    """Decoded only for the mapping, a line end from an address gets no further than from a token."""
    upstream.take()
    response = call(strict, "GET", f"/headers?q={quote(value)}", [bearer("alice")])
    assert (response.status, upstream.take()) == (400, [])


@pytest.mark.parametrize("value", [*BREAKING.values(), LIST], ids=[*BREAKING, "list"])
def test_compatible_mode_refuses_what_breaks_a_line_as_the_gateway_does(
    compatible: int, upstream: EchoUpstream, value: object
) -> None:
    """500 for CR, LF and NUL, and no call (SPEC.md, section 10.1)."""
    upstream.take()
    response = call(compatible, "GET", "/headers", [bearer(value)])
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    assert upstream.take() == []


HARMLESS = {"letters": "é", "emoji": "😀", "tab": "a\tb", "comma": "a, b", "quotes": "\"a'; x=1", "long": "y" * 5000}


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS.keys())
@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_any_other_value_arrives_as_one_line(
    request: pytest.FixtureRequest, upstream: EchoUpstream, mode: str, value: str
) -> None:
    """Letters as UTF-8; from claim, query and header alike, in place of what the client sent under the name."""
    upstream.take()
    port = request.getfixturevalue(mode)
    sent = [bearer(value), ("X-In", value), ("X-Sub", "mallory"), ("x-asked", "mallory")]
    seen = seen_after(upstream, call(port, "GET", f"/headers?q={quote(value)}", sent))
    for name in ("x-sub", "x-asked", "x-copy"):
        assert [found for key, found in seen.headers if key.lower() == name] == [value]


@pytest.mark.parametrize(
    "value", [*BREAKING.values(), "a&admin=1", "a=1", "a#b", "a;b", "%26admin", "a b", "é"], ids=repr
)
@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_mapped_query_value_stays_one_value(
    request: pytest.FixtureRequest, upstream: EchoUpstream, mode: str, value: str
) -> None:
    """Everything that could end it, or the request line, is escaped; a name that the client repeats is there once."""
    upstream.take()
    port = request.getfixturevalue(mode)
    seen = seen_after(upstream, call(port, "GET", f"/query?q={quote(value)}&sub=x&sub=y", [bearer(value)]))
    path, _, query = seen.target.partition("?")
    assert path == "/base/query"
    assert parse_qsl(query, keep_blank_values=True) == [("q", value), ("sub", value), ("asked", value)]


ODD_JSON = [*BREAKING.values(), LIST, '","admin":true,"x":"', "\\", "\u2028", "é", {"admin": True}, [1, None], 1e300]


@pytest.mark.parametrize("value", ODD_JSON, ids=repr)
def test_a_value_in_a_body_template_stays_a_value(strict: int, upstream: EchoUpstream, value: object) -> None:
    """The body is JSON with the members of the template and no other; its length is that of what is sent."""
    upstream.take()
    text = quote(value) if isinstance(value, str) else "x"
    sent = [bearer(value), ("Content-Type", "application/json"), ("X-Mine", "1")]
    seen = seen_after(upstream, call(strict, "POST", f"/body?q={text}", sent, json.dumps({"sent": value}).encode()))
    asked = value if isinstance(value, str) else "x"
    assert json.loads(seen.body or b"") == {"sub": value, "asked": asked, "sent": value}


@pytest.mark.parametrize("body", [b'{"sent":"\\ud800"}', b'{"sent":{"a":"\\udfff"}}'], ids=repr)
def test_half_a_character_in_a_body_template_is_sent_as_an_escape(
    strict: int, upstream: EchoUpstream, body: bytes
) -> None:
    """JSON may hold it, UTF-8 may not."""
    upstream.take()
    sent = [bearer("alice"), ("Content-Type", "application/json")]
    seen = seen_after(upstream, call(strict, "POST", "/body", sent, body))
    assert json.loads(seen.body or b"")["sent"] == json.loads(body)["sent"]


@pytest.mark.parametrize("value", ["a%3fb=c", "a%23b", "a;b", "a%0d%0aX-Evil:1", "a%20b", "%c3%a9", "a:b@c"])
def test_a_parameter_in_a_rewritten_path_stays_one_segment(strict: int, upstream: EchoUpstream, value: str) -> None:
    """Escaped as it was sent, between the segments of the template."""
    upstream.take()
    seen = seen_after(upstream, call(strict, "GET", f"/items/{value}", [bearer("alice")]))
    assert seen.target == f"/base/v2/{value}/lines"


@pytest.mark.parametrize(
    "value", ["..", "%2e%2e", ".%2E", "..%2fadmin", "%2e%2e%2fadmin", "..%5cadmin", ".", "x/../.."]
)
def test_a_parameter_in_a_rewritten_path_climbs_nowhere(strict: int, upstream: EchoUpstream, value: str) -> None:
    """Dots are resolved before a route is chosen; hidden ones are refused."""
    upstream.take()
    response = call(strict, "GET", f"/items/{value}", [bearer("alice")])
    targets = {seen.target for seen in upstream.take()}
    assert targets <= {"/base/v2/lines"} if response.status == 200 else response.status in (400, 404) and not targets


NAMES = [
    "Host",
    "content-length",
    "Transfer-Encoding",
    "connection",
    "TE",
    "Upgrade",
    "Trailer",
    "Keep-Alive",
    "Expect",
]
BAD_NAMES = ["", "X Y", "X:Y", "X\r\nY", "X\x00", "é", "X(Y)", "Proxy-Connection"]


@pytest.mark.parametrize("name", NAMES + BAD_NAMES)
def test_a_header_that_cannot_be_mapped_is_told_at_the_start(upstream: EchoUpstream, name: str) -> None:
    """The file is not served; the problem stands at the header."""
    file = configuration(upstream, policies=False)
    file["paths"][0]["mapping"]["headers"] = {name: "$request.query.q"}
    (found,) = problems(json.dumps(file), {"EDGE_TEST_SECRET": SECRET})
    assert found.pointer == f"/paths/0/mapping/headers/{name}"


@pytest.mark.parametrize(("first", "second"), [("X-User", "x-user"), ("X-User", "X_User"), ("x_user", "X-USER")])
def test_one_header_in_two_spellings_is_told_at_the_start(upstream: EchoUpstream, first: str, second: str) -> None:
    """Which of the two values a server hands on would be its own affair."""
    file = configuration(upstream, policies=False)
    file["paths"][0]["mapping"]["headers"] = {first: "$request.jwt.sub", second: "$request.query.q"}
    (found,) = problems(json.dumps(file), {"EDGE_TEST_SECRET": SECRET})
    assert found.pointer == f"/paths/0/mapping/headers/{second}"
    assert repr(first) in str(found)


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("where", ["file", "route", "environment"])
def test_a_variable_that_no_header_can_hold_is_told_at_the_start(
    upstream: EchoUpstream, where: str, value: str
) -> None:
    """Wherever it is written; the problem names the variable and repeats nothing of it."""
    environment = {"EDGE_TEST_SECRET": SECRET}
    file = configuration(upstream, policies=False)
    if where == "environment":
        environment["TENANT"], value = value, "$env.TENANT"
    (file if where == "file" else file["paths"][0])["variables"] = {"tenant": value}
    file["paths"][0]["mapping"]["headers"]["X-Tenant"] = "$config.tenant"
    (found,) = problems(json.dumps(file), environment)
    assert found.pointer == "/paths/0/mapping/headers/X-Tenant"
    assert "'tenant'" in str(found)
    assert "Evil" not in str(found)


def test_a_mapping_that_cannot_be_carried_out_keeps_the_edge_from_starting(
    upstream: EchoUpstream, tmp_path: Path
) -> None:
    """The process says what is wrong and ends."""
    file = configuration(upstream, policies=False)
    file["paths"][0]["mapping"]["headers"] = {"Transfer-Encoding": "$request.query.q"}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(file))
    told = "/paths/0/mapping/headers/Transfer-Encoding: the header"
    with pytest.raises(AssertionError, match=told), edge(config, variables={"EDGE_TEST_SECRET": SECRET}):
        pass


def test_compatible_mode_leaves_such_a_mapping_without_effect(upstream: EchoUpstream, tmp_path: Path) -> None:
    """The framing of what the upstream gets is the edge's own, whatever the caller says (SPEC.md, section 10.1)."""
    file = configuration(upstream, policies=False)
    file["paths"] = [{**file["paths"][0], "mapping": {"headers": dict.fromkeys(NAMES, "$request.query.q")}}]
    config = tmp_path / "config.json"
    config.write_text(json.dumps(file))
    with edge(config, "--mode", "compatible", variables={"EDGE_TEST_SECRET": SECRET}) as port:
        upstream.take()
        seen = seen_after(upstream, call(port, "POST", "/headers?q=7", [bearer("alice")], b"body"))
    told = {key.lower(): value for key, value in seen.headers}
    assert (seen.body, told["content-length"]) == (b"body", "4")
    assert told["host"] == f"127.0.0.1:{upstream.ports['up']}"
    assert "7" not in told.values()
