"""Headers by which a client would be somebody else, somewhere else, or ask for something else."""

from collections.abc import Iterator

import pytest

from tests.edge.edge_process import Response, call
from tests.edge.security.attacked_edge import Attacked, attacked, proxy, token
from tests.edge.security.raw_client import talk
from tests.edge.security.recording_upstream import Arrived


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    mapping = {"headers": {"X-User-Id": "$request.jwt.sub", "X-Tag": "$request.query.tag"}}
    routes = (
        {**proxy("/mine/{.+}", auth=True), "mapping": mapping},
        {**proxy("/thing"), "method": "GET"},
        {**proxy("/thing"), "method": "POST"},
        {**proxy("/thing", auth=True), "method": "DELETE"},
    )
    with attacked(tmp_path_factory.mktemp("headers"), *routes) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(edge: Attacked) -> None:
    edge.upstream.forget()


def asked(edge: Attacked, target: str, *headers: tuple[str, str], method: str = "GET") -> Arrived:
    """What the upstream sees of a request that is served."""
    assert call(edge.port, method, target, headers).status == 200
    (seen,) = edge.arrived()
    return seen


@pytest.mark.parametrize("name", ["X-User-Id", "x-user-id", "X_User_Id", "x-user_id", "X-USER_ID"])
@pytest.mark.parametrize("target", ["/mine/a", "/other"])
def test_a_header_that_the_file_maps_is_never_the_clients(edge: Attacked, name: str, target: str) -> None:
    """With a token it is the token's, once; without one there is none, in no spelling, however often it is sent."""
    seen = asked(edge, target, token(), (name, "root"), (name, "admin"))
    found = [value for other, value in seen.headers if other.replace("_", "-") == "x-user-id"]
    assert found == (["alice"] if target == "/mine/a" else [])


@pytest.mark.parametrize(
    "named",
    [
        "x-user-id",
        "X-User-Id, close",
        "X-Request-Id",
        "traceparent",
        "x-forwarded-for",
        "forwarded",
        "host",
        "via,,x-user-id",
    ],
)
def test_what_the_edge_tells_an_upstream_cannot_be_taken_away(edge: Attacked, named: str) -> None:
    """`Connection` ends the client's own headers at the edge, never those of the edge."""
    seen = asked(edge, "/mine/a", token(), ("Connection", named), ("X-Request-Id", "mine"))
    assert seen.values("x-user-id") == ["alice"]
    for name in ("x-request-id", "traceparent", "x-forwarded-for", "x-forwarded-proto", "forwarded", "host"):
        assert len(seen.values(name)) == 1, name
    assert seen.values("x-request-id") == ["mine"]


def test_a_token_named_as_of_one_connection_still_counts_and_ends_at_the_edge(edge: Attacked) -> None:
    """The edge has judged it; the upstream does not get it, and without it nobody is let in."""
    named = ("Connection", "Authorization, Cookie")
    seen = asked(edge, "/mine/a", token(), named, ("Cookie", "a=b"))
    assert seen.values("x-user-id") == ["alice"]
    assert seen.values("authorization") == seen.values("cookie") == []
    assert call(edge.port, "GET", "/mine/a", [named]).status == 401


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "X_Forwarded_For", "x-forwarded_for", "X-Forwarded-Host", "X-Forwarded-Proto"),
        *("X-Real-IP", "X_Real_IP", "Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "CF_Connecting_IP"),
    ],
)
def test_where_a_request_comes_from_is_not_for_the_client_to_tell(edge: Attacked, name: str) -> None:
    """Its own word is dropped, in spellings with `_`, too, and written anew."""
    seen = asked(edge, "/other", (name, "203.0.113.7"))
    assert "203.0.113.7" not in str(seen.headers)
    assert seen.values("x-forwarded-for") == ["127.0.0.1"]
    assert len([other for other, _ in seen.headers if other.replace("_", "-") == name.lower().replace("_", "-")]) <= 1


@pytest.mark.parametrize(
    "name",
    [
        *("X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-HTTP-Method", "X-Method-Override"),
        *("X-Original-URL", "X-Rewrite-URL", "x_rewrite-url"),
    ],
)
def test_a_request_cannot_ask_for_another_method_or_path_than_its_own(edge: Attacked, name: str) -> None:
    """Routes and tokens were chosen by those of the request line."""
    assert call(edge.port, "DELETE", "/thing").status == 401
    seen = asked(edge, "/thing", (name, "DELETE"), method="POST")
    assert seen.method == "POST"
    assert "DELETE" not in str(seen.headers)


@pytest.mark.parametrize("name", ["Content_Length", "Content_Type", "Transfer_Encoding", "X_Request_Id"])
def test_a_name_that_an_application_takes_for_the_servers_is_dropped(edge: Attacked, name: str) -> None:
    """CGI and WSGI make one name of both; other names with `_` are the client's business."""
    seen = asked(edge, "/other", (name, "7"), ("X_Mine", "1"))
    assert name.lower() not in {other for other, _ in seen.headers}
    assert seen.values("x_mine") == ["1"]


@pytest.mark.parametrize(
    "headers", [[token(), ("Authorization", "Bearer x")], [("Authorization", "Bearer x"), token()]]
)
def test_of_two_tokens_none_counts(edge: Attacked, headers: list[tuple[str, str]]) -> None:
    """Which one an upstream would take is unknown."""
    assert call(edge.port, "GET", "/mine/a", headers).status == 401
    assert edge.arrived() == []


@pytest.mark.parametrize("tag", ["a%0d%0aX-User-Id:%20root", "a%0aX-A:%20b", "a%00b", "%0d"])
def test_a_mapped_value_cannot_begin_a_header(edge: Attacked, tag: str) -> None:
    """A line end in a query parameter that becomes a header is refused before the upstream hears of it, or trimmed."""
    answer: Response = call(edge.port, "GET", f"/mine/a?tag={tag}", [token()])
    seen = edge.arrived()
    assert (answer.status == 200) == (tag == "%0d")
    assert [each.values("x-user-id") for each in seen] == ([["alice"]] if tag == "%0d" else [])


def test_bytes_beyond_ascii_in_a_value_stay_within_it(edge: Attacked) -> None:
    """Latin-1 and UTF-8 alike, and what is neither."""
    for value in (b"caf\xe9", "café".encode(), b"\x85\xff\xc3("):
        talk(edge.port, b"GET /other HTTP/1.1\r\nHost: x\r\nX-A: " + value + b"\r\n\r\n")
    seen = [each for each in edge.arrived() if each.target == "/other"]
    assert [len(each.values("x-a")) for each in seen] == [1, 1, 1]


HOSTS = {
    b"x": 200,
    b"x:80": 200,
    b"x.example.:8080": 200,
    b"127.0.0.1": 200,
    b"[::1]:80": 200,
    b"x_y-z.example": 200,
    b"": 200,
    b"x:": 200,
    b"x:80:80": 400,
    b"x:port": 400,
    b"x y": 400,
    b"x, y": 400,
    b"x/y": 400,
    b"x?y": 400,
    b"x#y": 400,
    b"user@x": 400,
    b"x\\y": 400,
    b'x"y': 400,
    b"<x>": 400,
    b"http://x": 400,
    b"[::1": 400,
    b"::1": 400,
    b"x\xe9": 400,
    b"x%": 400,
    b"x\ty": 400,
}


@pytest.mark.parametrize(("host", "status"), HOSTS.items())
def test_a_host_is_a_name_or_an_address(edge: Attacked, host: bytes, status: int) -> None:
    """What an upstream is told in `X-Forwarded-Host` cannot be part of a URL that the client made up."""
    heard = talk(edge.port, b"GET /other HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert heard.statuses[0] == status
    assert heard.closed == (status == 400)
    seen = [each for each in edge.arrived() if each.target == "/other"]
    assert [each.values("x-forwarded-host") for each in seen] == (
        [[host.decode()] if host else []] if status == 200 else []
    )
