"""URLs, requests and responses."""

from __future__ import annotations

from datetime import date
from http import HTTPMethod
from uuid import UUID

import pytest

from airgate.client.effects import Send
from airgate.client.message import Request, Response, headers_of, join_url
from airgate.client.streamed import Held, StreamedResponse
from airgate.policy.errors import InvalidResponse


@pytest.mark.parametrize(
    ("base", "path", "path_params", "params", "url"),
    [
        ("http://gw", "/a", None, None, "http://gw/a"),
        ("http://gw/", "a", None, None, "http://gw/a"),
        ("http://gw/v1", "/a/", None, None, "http://gw/v1/a/"),
        ("http://gw", "/o/{id}", {"id": "a/b c?"}, None, "http://gw/o/a%2Fb%20c%3F"),
        ("http://gw", "/a?x=1", None, {"y": 2}, "http://gw/a?x=1&y=2"),
        ("http://gw", "/a", None, {"tag": ["b", "c"], "gone": None, "on": True}, "http://gw/a?tag=b&tag=c&on=true"),
        ("http://gw", "/a", None, {"q": "ü &"}, "http://gw/a?q=%C3%BC%20%26"),
        ("http://gw", "/a", None, {"gone": None}, "http://gw/a"),
    ],
)
def test_paths_are_joined_and_escaped(base, path, path_params, params, url) -> None:
    """A gateway's prefix is kept, placeholders are one segment each, parameters are escaped once."""
    assert join_url(base, path, path_params, params) == url


@pytest.mark.parametrize(
    ("path", "path_params", "message"),
    [
        ("http://elsewhere.test/a", None, "relative"),
        ("//elsewhere.test/a", None, "relative"),
        ("/a/../admin", None, r"'\.\.'"),
        ("/%2e%2E/admin", None, r"'\.\.'"),
        ("/a%2f..%2fadmin", None, r"'\.\.'"),
        ("/a\\..\\admin", None, r"'\.\.'"),
        ("/o/{id}", {"id": ".."}, "'id'"),
        ("/o/{id}", {"id": ""}, "'id'"),
        ("/o/{id}", {}, "id"),
        ("/o/{", {}, "placeholder"),
        ("/o/{x:>300000000}", {"x": "a"}, "placeholder without a value.*x:>300"),
        ("/o/{x.__class__.__mro__}", {"x": "a"}, "placeholder without a value"),
        ("/o/{x!r}", {"x": "a"}, "placeholder without a value"),
        ("/o/{}", {"x": "a"}, "placeholder without a value"),
        ("/o/{{x}}", {"x": "a"}, "a brace that is no placeholder"),
        ("/o/x}", {"x": "a"}, "a brace that is no placeholder"),
        ("/o/7#/cancel", {}, "must not contain '#'.*%23"),
        ("/o?a=1#b", {}, "must not contain '#'"),
        ("/a/./b", {}, r"must not contain '\.'"),
        ("/a/..;/b", {}, r"must not contain '\.\.'"),
        ("/a/%2e%2e;x=1/b", {}, r"must not contain '\.\.'"),
        ("/a/{x}/b", {"x": "..;"}, r"must not contain '\.\.'"),
        ("/o/{id}", {"id": None}, "path_params: 'id' must be a text, number or other single value, not None"),
        ("/o/{id}", {"id": [1]}, "path_params: 'id' must be .*, not a list"),
        ("/o/{id}", {"id": float("nan")}, "path_params: 'id' must be a finite number"),
    ],
)
def test_a_path_cannot_leave_the_gateway(path, path_params, message) -> None:
    """Credentials go to the gateway only, so an address of its own or a climbing path is refused."""
    with pytest.raises(ValueError, match=message):
        join_url("http://gw", path, path_params)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "params: 'p' must be .* not a set"),
        ({"a": 1}, "params: 'p' must be .* not a dict"),
        ([{"a": 1}], "params: 'p' must be .* not a dict"),
        (b"x", "params: 'p' must be .* not a bytes"),
        (float("inf"), "params: 'p' must be a finite number"),
    ],
)
def test_a_value_that_a_query_cannot_hold_is_refused(value, message) -> None:
    """What Python would write of it no service understands."""
    with pytest.raises(ValueError, match=message):
        join_url("http://gw", "/x", None, {"p": value})


def test_values_are_written_as_services_read_them() -> None:
    """Booleans, days, members of an enum and UUIDs, in a path as in a query."""
    values = {"a": True, "b": date(2013, 1, 2), "c": HTTPMethod.GET, "d": UUID(int=7)}
    written = ("true", "2013-01-02", "GET", "00000000-0000-0000-0000-000000000007")
    assert join_url("http://gw", "/{a}/{b}/{c}/{d}", values) == f"http://gw/{'/'.join(written)}"
    pairs = "&".join(f"{name}={text}" for name, text in zip("abcd", written, strict=True))
    assert join_url("http://gw", "/", None, values) == f"http://gw/?{pairs}"


def test_a_request_shows_neither_its_signature_nor_its_body() -> None:
    """Nor a key in its address, whatever the key is called there."""
    headers = {"Authorization": "Bearer hunter2hunter2", "X-Own": "hunter2", "Accept": "a/b"}
    request = Request("POST", "https://x/y?api_key=hunter2", headers, b"client_secret=hunter2")
    for shown in (request, Send(request, 5.0), request.with_secret_param("sesame", "hunter2/")):
        assert "hunter2" not in repr(shown)
        assert "https://x/y?api_key=***" in repr(shown)
        assert "a/b" in repr(shown)


def test_a_response_shows_its_size_only() -> None:
    """A token endpoint's answer is one, too."""
    response = Response(200, headers_of([("Set-Cookie", "hunter2")]), b"hunter2", "GET", "https://x/y")
    assert repr(response).startswith("Response(200, 'GET', 'https://x/y', headers=")
    assert "received=7" in repr(response)
    assert "hunter2" not in repr(response)


def test_the_representation_of_a_streamed_answer_reads_nothing() -> None:
    """A debugger or a log line must not take the body away."""
    response = StreamedResponse(200, headers_of(), b"", "GET", "u", source=Held(b"abc"))
    assert "received=0" in repr(response)
    assert b"".join(response.iter_bytes()) == b"abc"


def test_a_byte_order_mark_is_passed_over() -> None:
    """RFC 8259 lets a reader do so."""
    assert Response(200, headers_of(), b'\xef\xbb\xbf{"a": 1}', "GET", "u").json() == {"a": 1}


def test_a_request_id_is_one_line() -> None:
    """It stands in errors and logs, and a service chooses it."""
    sent = headers_of([("X-Request-Id", "a\x1b[31mb" + "c" * 500)])
    assert Response(200, sent, b"", "GET", "u").request_id == "ab" + "c" * 198


@pytest.mark.parametrize("body", [b"<html>", '{"größe": 1}'.encode("latin-1"), b'["\xf6"]', b"[" * 100_000])
def test_a_body_that_is_not_json_is_an_invalid_response(body: bytes) -> None:
    """The error names the call, not only the parser's complaint; also for text in Latin-1, and what has no bottom."""
    response = Response(200, headers_of(), body, "GET", "http://gw/x")
    with pytest.raises(InvalidResponse, match="GET http://gw/x: the body is not JSON"):
        response.json()


def test_text_follows_the_charset() -> None:
    """Latin-1 is read as such, an unknown charset as UTF-8."""
    latin = headers_of([("Content-Type", "text/plain; charset=ISO-8859-1")])
    unknown = headers_of([("Content-Type", 'text/plain; charset="nope"')])
    assert Response(200, latin, b"\xfc", "GET", "u").text == "ü"
    assert Response(200, unknown, "ü".encode(), "GET", "u").text == "ü"


def test_with_headers_replaces_whatever_the_case() -> None:
    """HTTP header names do not know case."""
    assert Request("GET", "u", {"ACCEPT": "a", "B": "b"}).with_headers({"Accept": "c"}).headers == {
        "B": "b",
        "Accept": "c",
    }
