"""Templates that the edge fills: paths with placeholders, JSON with references."""

import pytest

from airgate.spec.extension_paths import fill, parameters
from airgate.spec.extension_references import Sources, compiled, filled, uses_body
from airgate.spec.message import Request

REQUEST = Request("POST", b"/a", b"page=2&page=3&empty=&name=a%20b", [(b"x-tenant", b"north"), (b"x-tenant", b"south")])
SOURCES = Sources(
    REQUEST,
    {"sub": "alice", "roles": ["a", "b"], "none": None, "a.b": 1},
    {"{id}": "7%2F8", "{.+}": "x/y"},
    {"region": "eu", "limits": {"n": 1}},
    {"customer": {"name": "Ann", "tags": ["x", {"k": True}]}, "null": None},
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("$request.header.X-Tenant", "north, south"),
        ("$request.query.page", "2"),
        ("$request.query.empty", ""),
        ("$request.query.name", "a b"),
        ("$request.jwt.sub", "alice"),
        ("$request.jwt.roles", ["a", "b"]),
        ("$request.jwt.a.b", 1),
        ("$request.path.id", "7/8"),
        ("$request.body.customer.name", "Ann"),
        ("$request.body.customer.tags.1.k", True),
        ("$config.limits", {"n": 1}),
        ("$request.jwt.none", None),
        ("$request.body.customer.tags.9", None),
        ("text $request.jwt.sub", "text $request.jwt.sub"),
        ({"a": "$request.jwt.sub", "b": "$request.jwt.none", "c": 1}, {"a": "alice", "c": 1}),
        (["$request.jwt.none", {"x": "$request.body.null"}], [None, {}]),
    ],
)
def test_references_become_values_of_their_own_type(template: object, value: object) -> None:
    """The whole text is a reference or it is literal; what is unresolved leaves no key, and null in a list."""
    assert filled(compiled(template), SOURCES) == value


def test_a_template_says_whether_it_needs_the_body() -> None:
    """Only then is the request's body read first."""
    assert uses_body(compiled({"a": [{"b": "$request.body.x"}]}))
    assert not uses_body(compiled({"a": "$request.jwt.sub", "b": "request.body.x"}))


@pytest.mark.parametrize(
    ("route", "path", "template", "expected"),
    [
        ("/a/{id}", "/a/7", "/v2/{id}/full", "/v2/7/full"),
        ("/a/{id}", "/a/x%2Fy", "/v2/{id}", "/v2/x%2Fy"),
        ("/a/{id}", "/a/", "/v2/{id}", "/v2/"),
        ("/a/{x}/{y}", "/a/1/2", "/{y}/{x}", "/2/1"),
        ("/a/{id}/{.+}", "/a/1/b/c", "/v2/{.+}/of/{id}", "/v2/b/c/of/1"),
        ("/a/{.+}", "/a", "/v2/{.+}", "/v2/"),
        ("/a/{.+}/z", "/a/b/c", "/v2/{.+}", "/v2/b"),
    ],
)
def test_placeholders_are_filled_with_what_was_sent(route: str, path: str, template: str, expected: str) -> None:
    """Escapes stay escaped, so a value never becomes a segment of its own."""
    assert fill(template, parameters(route, path)) == expected
