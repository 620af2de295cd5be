"""URLs, requests and responses."""

from __future__ import annotations

import pytest

from airgate.client.message import Request, Response, headers_of, join_url
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
    ],
)
def test_a_path_cannot_leave_the_gateway(path, path_params, message) -> None:
    """Credentials go to the gateway only, so an address of its own or a climbing path is refused."""
    with pytest.raises(ValueError, match=message):
        join_url("http://gw", path, path_params)


def test_a_body_that_is_not_json_is_an_invalid_response() -> None:
    """The error names the call, not only the parser's complaint."""
    response = Response(200, headers_of(), b"<html>", "GET", "http://gw/x")
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
