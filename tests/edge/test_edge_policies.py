"""The policies of routes on a real edge before real upstreams: limits, validation, rewriting, bodies, cache, calls."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.edge.edge_process import SECRET, Response, call, edge, receive
from tests.edge.policy_upstream import PolicyUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[PolicyUpstream]:
    server = PolicyUpstream()
    yield server
    server.shutdown()
    server.server_close()


def proxy(path: str, method: str = "GET", server: str = "up", **more: Any) -> dict[str, Any]:
    policies = {name: more.pop(name) for name in list(more) if name not in ("auth", "mapping")}
    return {
        "method": method,
        "path": path,
        "integration": {"type": "http_proxy", "server": server},
        **more,
        **({"x-airgate": policies} if policies else {}),
    }


SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}


def file(upstream: PolicyUpstream, down: int) -> dict[str, Any]:
    return {
        "servers": [
            {"alias": "up", "url": upstream.url},
            {"alias": "failing", "url": upstream.url},
            {"alias": "down", "url": f"http://127.0.0.1:{down}"},
        ],
        "authorizer": {"type": "jwt", "secret": SECRET},
        "cors": {"allow_origins": ["https://app.example"]},
        "x-airgate": {
            "limits": {"headers": 40, "header_bytes": 8000, "uri": 500, "body": 1000},
            "upstream": {"breaker": {"failures": 3, "cooldown": 0.5}},
            "cache": {"entry": 50_000},
        },
        "paths": [
            proxy("/echo", "ANY"),
            proxy("/post", "POST", limits={"body_seconds": 0.4}),
            proxy("/hang", limits={"seconds": 0.3}),
            proxy("/hang/read", rewrite="/hang", upstream={"read": 0.3}),
            proxy("/rated", rewrite="/echo", limits={"rate": "3/min"}),
            proxy("/client", rewrite="/echo", limits={"per_client": {"rate": ["2/min", "100/h"]}}),
            proxy("/busy", rewrite="/wait", limits={"concurrency": 1}),
            proxy("/one", rewrite="/wait", limits={"per_client": {"concurrency": 1}}),
            proxy(
                "/orders/{id}",
                "PUT",
                rewrite="/v2/{id}/order",
                validate={"body": SCHEMA, "query": {"required": ["day"]}},
            ),
            proxy("/static-never", validate={"headers": {"required": ["x-tenant"]}}),
            proxy("/files/{kind}/{.+}", rewrite="/store/{.+}/of/{kind}"),
            proxy(
                "/made/{id}",
                "POST",
                auth=True,
                rewrite="/orders",
                body={
                    "id": "$request.path.id",
                    "by": "$request.jwt.sub",
                    "n": "$request.body.n",
                    "q": "$request.query.q",
                },
            ),
            proxy("/cache/{kind}", "ANY", cache=True),
            proxy("/mine/{kind}", auth=True, rewrite="/cache/{kind}", cache=True),
            proxy(
                "/mapped/{kind}",
                auth=True,
                rewrite="/cache/{kind}",
                cache=True,
                mapping={"headers": {"X-User": "$request.jwt.sub"}},
            ),
            proxy("/drop-once", upstream={"retries": 1}),
            proxy("/drop", server="up"),
            proxy("/failing", server="failing", rewrite="/drop"),
            proxy("/failing/ok", server="failing", rewrite="/echo"),
            proxy("/gone", server="down"),
        ],
    }


@pytest.fixture(scope="module")
def port(upstream: PolicyUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    config = tmp_path_factory.mktemp("policies") / "config.json"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config.write_text(json.dumps(file(upstream, closed.getsockname()[1])))
        with edge(config) as port:
            yield port


def token(subject: str = "alice") -> tuple[str, str]:
    return "Authorization", f"Bearer {jwt.encode({'sub': subject, 'exp': time.time() + 600}, SECRET)}"


def value(response: Response) -> Any:
    return json.loads(response.body)


def is_problem(response: Response, status: int) -> bool:
    """Whether an answer is problem details of a status."""
    typed = response.header("content-type") == "application/problem+json"
    return typed and response.status == status and value(response)["status"] == status


@pytest.mark.parametrize(
    ("target", "headers", "body", "status"),
    [
        ("/echo?" + "x" * 490, [], None, 200),
        ("/echo?" + "x" * 500, [], None, 414),
        ("/echo", [("X-A", "1")] * 45, None, 431),
        ("/echo", [("X-A", "1" * 8000)], None, 431),
        ("/echo", [], b"x" * 1000, 200),
        ("/echo", [], b"x" * 1001, 413),
    ],
)
def test_sizes_are_bounded(
    port: int, target: str, headers: list[tuple[str, str]], body: bytes | None, status: int
) -> None:
    """Target, headers and body beyond the limits are refused with problem details."""
    answer = call(port, "POST" if body else "GET", target, headers, body)
    assert answer.status == status
    assert status == 200 or is_problem(answer, status)


def test_a_body_whose_length_nobody_tells_is_bounded_while_it_streams(port: int) -> None:
    """A chunked body is refused once it has more bytes than it may."""
    assert is_problem(call(port, "POST", "/echo", [], b"x" * 5000, chunked=True), 413)
    assert call(port, "POST", "/echo", [], b"x" * 900, chunked=True).status == 200


def test_a_body_that_trickles_in_is_given_up(port: int) -> None:
    """Whoever sends a byte now and then gets 408 after the time for the whole body."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.1):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

        sender = threading.Thread(target=trickle)
        sender.start()
        answer = receive(client)
        stop.set()
        sender.join()
    assert is_problem(answer, 408)


@pytest.mark.parametrize("path", ["/hang", "/hang/read"])
def test_a_request_that_takes_too_long_is_504(port: int, path: str) -> None:
    """By the route's time for all of it, and by the server's silence."""
    begun = time.monotonic()
    assert is_problem(call(port, "GET", path), 504)
    assert time.monotonic() - begun < 3


def test_a_route_grants_its_rate_and_says_when_to_come_back(port: int) -> None:
    """The fourth request of a minute is 429 with Retry-After and RateLimit; the granted ones tell what is left."""
    answers = [call(port, "GET", "/rated") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[0].header("ratelimit-policy") == '"route";q=3;w=60'
    assert answers[0].header("ratelimit") == '"route";r=2;t=60'
    assert is_problem(answers[3], 429)
    assert 55 <= int(answers[3].header("retry-after") or 0) <= 60
    assert (answers[3].header("ratelimit") or "").startswith('"route";r=0;t=')


def test_a_client_has_a_rate_of_its_own(port: int) -> None:
    """The limit counts by address, whatever the client says of itself."""
    answers = [call(port, "GET", "/client", [("X-Forwarded-For", f"9.9.9.{number}")]) for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(("path", "status"), [("/busy", 503), ("/one", 429)])
def test_requests_at_once_are_bounded(port: int, path: str, status: int) -> None:
    """While one is under way the next is turned away; afterwards there is room again."""
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(call(port, "GET", path).status)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, status, status]
    assert call(port, "GET", path).status == 200


def test_another_method_is_405_with_allow(port: int) -> None:
    """Where the path is served otherwise; else it is 404."""
    answer = call(port, "DELETE", "/orders/7")
    assert is_problem(answer, 405)
    assert answer.header("allow") == "PUT"
    assert call(port, "DELETE", "/nowhere").status == 404


def test_forwarding_headers_are_the_edges_own(port: int) -> None:
    """What the client says of its path is dropped; headers that Connection names stay behind."""
    sent = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6"), ("X-Hop", "1")]
    seen = value(call(port, "GET", "/echo", [*sent, ("Connection", "close, X-Hop")]))["data"]["headers"]
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert seen["forwarded"].startswith("for=127.0.0.1;proto=http;host=")
    assert not {"x-real-ip", "x-hop"} & set(seen)


def test_vary_is_kept_and_the_origin_named(port: int) -> None:
    """A cache cannot give one origin's answer to another, nor one without cross-origin headers to a listed origin."""
    for origin in ("https://app.example", "https://other.example"):
        answer = call(port, "GET", "/echo", [("Origin", origin)])
        assert answer.header("vary") == "Origin"
        assert (answer.header("access-control-allow-origin") == origin) is (origin == "https://app.example")


@pytest.mark.parametrize(
    ("target", "body", "status", "places"),
    [
        ("/orders/7?day=1", b'{"id": 1}', 200, None),
        ("/orders/7?day=1", b'{"id": "1"}', 422, [("body", "/id")]),
        ("/orders/7", b'{"id": "1"}', 400, [("query", ""), ("body", "/id")]),
        ("/orders/7?day=1", b'{"id": 1, "id": 2}', 400, None),
        ("/orders/7?day=1", b"", 400, None),
    ],
)
def test_requests_are_validated_before_the_upstream_is_called(
    port: int, upstream: PolicyUpstream, target: str, body: bytes, status: int, places: list[tuple[str, str]] | None
) -> None:
    """Faults are named by part and JSON pointer; what is valid arrives unchanged under the rewritten path."""
    before = upstream.calls["/v2/7/order"]
    answer = call(port, "PUT", target, [("Content-Type", "application/json")], body)
    assert answer.status == status
    assert upstream.calls["/v2/7/order"] - before == (status == 200)
    if status == 200:
        assert value(answer)["data"]["body"] == body.decode()
    elif places:
        assert [(each["in"], each["pointer"]) for each in value(answer)["errors"]] == places


@pytest.mark.parametrize(("method", "target"), [("PUT", "/orders/?day=1"), ("GET", "/files/pdf/"), ("GET", "/mine/")])
def test_a_placeholder_that_stands_for_nothing_leads_to_no_other_path(
    port: int, upstream: PolicyUpstream, method: str, target: str
) -> None:
    """`/orders/` is not the order of an empty id, whose rewritten path would be that of something else."""
    before = dict(upstream.calls)
    token = jwt.encode({"sub": "alice", "exp": time.time() + 600}, SECRET)
    body = b'{"id": 1}' if method == "PUT" else None
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    answer = call(port, method, target, headers, body)
    assert (answer.status, answer.body) == (404, b'{"message":"No match found."}')
    assert dict(upstream.calls) == before


def test_a_path_is_rewritten_with_what_was_sent(port: int) -> None:
    """Parameters and wildcard move; an escaped slash stays escaped and the query stays."""
    seen = value(call(port, "GET", "/files/a%2Fb/x/y?q=1"))["data"]
    assert (seen["path"], seen["query"]) == ("/store/x/y/of/a%2Fb", {"q": ["1"]})


def test_a_body_is_made_from_the_request(port: int) -> None:
    """Values keep their type, what is unresolved leaves no key, and the framing is that of the new body."""
    headers = [token(), ("Content-Type", "application/json")]
    seen = value(call(port, "POST", "/made/7", headers, b'{"n": [1, null], "evil": true}', chunked=True))["data"]
    assert json.loads(seen["body"]) == {"id": "7", "by": "alice", "n": [1, None]}
    assert seen["headers"]["content-length"] == str(len(seen["body"]))
    assert "transfer-encoding" not in seen["headers"]


def test_halves_of_characters_in_a_body_stay_what_they_are(port: int) -> None:
    """JSON may escape half of a surrogate pair; the new body escapes it again."""
    headers = [token(), ("Content-Type", "application/json")]
    seen = value(call(port, "POST", "/made/7", headers, rb'{"n": "\ud800"}'))["data"]
    assert json.loads(seen["body"])["n"] == "\ud800"


def test_fresh_answers_come_from_memory_until_something_changes(port: int, upstream: PolicyUpstream) -> None:
    """The second request calls nobody and has an Age; a PUT to the target makes the edge ask again."""
    first, second = (call(port, "GET", "/cache/fresh") for _ in range(2))
    assert (value(first), upstream.calls["/cache/fresh"]) == (value(second), 1)
    assert second.header("age") is not None
    assert call(port, "GET", "/cache/fresh", [("If-None-Match", '"v1"')]).status == 304
    assert upstream.calls["/cache/fresh"] == 1
    assert call(port, "PUT", "/cache/fresh", [], b"x").status == 200
    assert value(call(port, "GET", "/cache/fresh"))["count"] == 3


def test_an_answer_that_must_be_checked_is_checked(port: int, upstream: PolicyUpstream) -> None:
    """The upstream is asked with the entity tag and says Not Modified; the client gets the whole answer."""
    answers = [call(port, "GET", "/cache/check") for _ in range(3)]
    assert [(answer.status, value(answer)) for answer in answers] == [(200, {"count": 1})] * 3
    assert upstream.calls["/cache/check"] == 3


def test_answers_are_not_shared_between_callers_unless_public(port: int) -> None:
    """With a token only what is public is kept, and where a mapping names the caller each has answers of its own."""
    counts = {
        path: [value(call(port, "GET", path, [token()]))["count"] for _ in range(2)]
        for path in ("/mine/fresh", "/mine/public")
    }
    assert counts["/mine/fresh"][0] != counts["/mine/fresh"][1]
    assert counts["/mine/public"][0] == counts["/mine/public"][1]
    alice, bob, again = (
        value(call(port, "GET", "/mapped/public", [token(name)]))["count"] for name in ("alice", "bob", "alice")
    )
    assert alice != bob
    assert alice == again


def test_a_safe_call_without_an_answer_is_sent_again_where_the_route_says_so(
    port: int, upstream: PolicyUpstream
) -> None:
    """One more time, and nowhere else."""
    assert call(port, "GET", "/drop-once").status == 200
    assert upstream.calls["/drop-once"] == 2
    before = upstream.calls["/drop"]
    assert is_problem(call(port, "GET", "/drop"), 502)
    assert upstream.calls["/drop"] - before == 1


def test_a_server_that_fails_is_left_alone_for_a_while(port: int, upstream: PolicyUpstream) -> None:
    """After three failures every route to that server answers 503 with Retry-After; then it is tried again."""
    assert [call(port, "GET", "/failing").status for _ in range(3)] == [502] * 3
    before = upstream.calls["/drop"]
    answer = call(port, "GET", "/failing/ok")
    assert is_problem(answer, 503)
    assert answer.header("retry-after") == "1"
    assert upstream.calls["/drop"] == before
    assert call(port, "GET", "/echo").status == 200, "another server"
    time.sleep(0.6)
    assert call(port, "GET", "/failing/ok").status == 200


def test_a_file_whose_schema_is_missing_is_refused(tmp_path: Path) -> None:
    """Strict mode says so at the start, with the place in the file."""
    from airgate.edge.checking import problems

    route = {"method": "POST", "path": "/a", "response": 1, "x-airgate": {"validate": {"body": {"$ref": "nope.json"}}}}
    (found,) = problems(json.dumps({"paths": [route]}), {}, tmp_path)
    assert found.pointer == "/paths/0/x-airgate/validate/body"


def test_a_token_names_the_client_also_where_the_answer_is_static(tmp_path: Path) -> None:
    """Each subject has a rate of its own; a bad token is 401 and counts for nobody."""
    limits = {"limits": {"per_client": {"rate": "2/min"}}}
    route = {"method": "GET", "path": "/a", "auth": True, "response": 1, "x-airgate": limits}
    guard = {"type": "jwt", "secret": SECRET}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"authorizer": guard, "x-airgate": {"client": "token"}, "paths": [route]}))
    with edge(config) as port:
        assert [call(port, "GET", "/a").status for _ in range(3)] == [401] * 3
        assert [call(port, "GET", "/a", [token("alice")]).status for _ in range(3)] == [200, 200, 429]
        assert call(port, "GET", "/a", [token("bob")]).status == 200


def test_a_store_that_cannot_be_asked_lets_nobody_in(tmp_path: Path) -> None:
    """Without a count there is no grant: 503 that says when to come back."""
    route = {"method": "GET", "path": "/a", "response": 1, "x-airgate": {"limits": {"rate": "5/min"}}}
    limits = {"x-airgate": {"limits": {"store": "redis://127.0.0.1:1/0"}}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"paths": [route], **limits}))
    with edge(config) as port:
        answer = call(port, "GET", "/a")
    assert is_problem(answer, 503)
    assert answer.header("retry-after") == "1"


def test_two_edges_with_one_store_hold_one_limit(upstream: PolicyUpstream, tmp_path: Path) -> None:
    """However requests fall on the processes, together they get no more than the rate."""
    route = proxy("/echo", limits={"rate": "5/min"})
    limits = {"x-airgate": {"limits": {"store": str(tmp_path / "limits.db")}}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"servers": [{"alias": "up", "url": upstream.url}], "paths": [route], **limits}))
    with edge(config) as one, edge(config) as two:
        statuses = [call(port, "GET", "/echo").status for port in (one, two) * 4]
    assert sorted(statuses) == [200] * 5 + [429] * 3
