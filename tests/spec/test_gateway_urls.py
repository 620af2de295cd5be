"""Paths, queries and server URLs as the WHATWG URL standard reads them (SPEC.md, sections 5.1 and 6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.spec.target import stripped_prefix, upstream_path
from airgate.spec.url import Origin, escape_query, normalise_path, parse_form, parse_origin, serialise_form


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/x/%2e%2e/health", "/health"),
        ("/health/.", "/health/"),
        ("/a/./b/../c", "/a/c"),
        ("/../../a", "/a"),
        ("/a/.%2E", "/"),
        ("/a/..%2fb", "/a/..%2fb"),
        ("/a/...", "/a/..."),
        ("/a\\b", "/a/b"),
        ('/a "#<>?^`{}', "/a%20%22%23%3C%3E%3F%5E%60%7B%7D"),
        ("/|[]';%zz", "/|[]';%zz"),
        ("/%c3%C3é", "/%c3%C3%C3%A9"),
        ("//a//", "//a//"),
        ("", "/"),
    ],
)
def test_a_request_path_is_normalised(sent: str, path: str) -> None:
    """Dot segments go, unsafe characters are escaped, existing escapes and double slashes stay."""
    assert normalise_path(sent.encode()) == path


@given(st.binary().map(lambda tail: b"/" + tail))
def test_normalising_twice_changes_nothing(raw: bytes) -> None:
    """What was normalised is normal, for any bytes, also by the quick way for harmless paths."""
    once = normalise_path(raw)
    assert normalise_path(once.encode()) == once


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text("aé&=+% ~*"))))
def test_a_form_survives_writing_and_reading(pairs: list[tuple[str, str]]) -> None:
    """Whatever is written as a form is read back the same."""
    assert parse_form(serialise_form(pairs).encode()) == pairs


def test_a_query_is_escaped_only_where_a_url_must() -> None:
    """Space, quotes, angle brackets, hash and non-ASCII are escaped, everything else passes byte for byte."""
    assert escape_query("a=\"'<># é&&+%zz`{}|^\\[]".encode()) == "a=%22%27%3C%3E%23%20%C3%A9&&+%zz`{}|^\\[]"


def test_a_query_is_read_as_a_form() -> None:
    """Plus is a space, empty parts are dropped, bad UTF-8 becomes the replacement character."""
    assert parse_form(b"a=b+c&&x&%ff=%zz") == [("a", "b c"), ("x", ""), ("\ufffd", "%zz")]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8000", Origin("http", "127.0.0.1", 8000, "/")),
        (" HTTPS://User:pw@Example.COM/base/?k=v#f ", Origin("https", "example.com", 443, "/base/")),
        ("http://[::1]:81/x", Origin("http", "::1", 81, "/x")),
        ("http://bücher.example/", Origin("http", "xn--bcher-kva.example", 80, "/")),
        ("http:\\\\h\\a", Origin("http", "h", 80, "/a")),
        ("http://127.1/", Origin("http", "127.0.0.1", 80, "/")),
        ("ftp://h/x", Origin("ftp", "h", 21, "/x")),
    ],
)
def test_a_server_url_is_read(url: str, origin: Origin) -> None:
    """Scheme, host, port and path come out; user information, query and fragment are dropped."""
    assert parse_origin(url) == origin


@pytest.mark.parametrize(
    "url", ["", "/x", "not a url", "http://", "http://h:99999", "http://a b/", "http://[::1", "//h/x"]
)
def test_a_bad_server_url_is_refused(url: str) -> None:
    """Empty, relative and unparsable URLs raise ValueError."""
    with pytest.raises(ValueError):
        parse_origin(url)


@pytest.mark.parametrize(
    ("base", "route", "requested", "sent"),
    [
        ("/", "/files/{.+}", "/files/a/b", "/a/b"),
        ("/", "/files/{.+}", "/files", "/"),
        ("/", "/files/{.+}", "/files/", "/"),
        ("/base/v1", "/{.+}", "/x", "/base/v1/x"),
        ("/t/", "/exact", "/exact", "/t/exact"),
        ("//x//y//", "/m/{.+}", "/m//a//b/", "/x/y/a/b/"),
        ("/", "/u/{id}/{.+}", "/u/1/a", "/u/1/a"),
        ("/", "/in/{.+}/tail", "/in/a/tail", "/in/a/tail"),
    ],
)
def test_the_upstream_path_drops_a_literal_prefix_and_double_slashes(
    base: str, route: str, requested: str, sent: str
) -> None:
    """Only a route that ends in a wildcard strips, and only text that stands there literally."""
    assert upstream_path(Origin("http", "h", 80, base), stripped_prefix(route), requested) == sent
