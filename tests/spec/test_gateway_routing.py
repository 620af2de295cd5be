"""Which route serves a request, by tables (SPEC.md, section 5)."""

from dataclasses import dataclass

import pytest

from airgate.spec.routing import RouteTable


@dataclass(frozen=True)
class Entry:
    """A route with nothing but what routing looks at."""

    method: object
    path: str


def chosen(routes: list[tuple[object, str]], method: str, path: str) -> tuple[object, str] | None:
    found = RouteTable([Entry(*route) for route in routes]).matches(method, path)
    return (found[0].method, found[0].path) if found else None


@pytest.mark.parametrize(
    ("configured", "requested", "matches"),
    [
        ("/health", "/health", True),
        ("/health", "/health/", False),
        ("/health", "/HEALTH", False),
        ("/users/{id}", "/users/7", True),
        ("/users/{id}", "/users/", True),
        ("/users/{id}", "/users", False),
        ("/users/{}", "/users/7", True),
        ("/users/{.*}", "/users/7", True),
        ("/users/{id}.json", "/users/7.json", False),
        ("/files/{.+}", "/files", True),
        ("/files/{.+}", "/files/", True),
        ("/files/{.+}", "/files/a/b", True),
        ("/files/{.+}", "/filesx", False),
        ("/w/{a}/{.+}", "/w", False),
        ("/mid/{.+}/end", "/mid/a/end", True),
        ("/mid/{.+}/end", "/mid/a/other", True),
        ("/mid/{.+}/end", "/mid/a/b/end", False),
        ("no/slash", "/no/slash", False),
        ("{.+}", "/anything", False),
        ("/{.+}", "/", True),
        ("/a//b", "/a//b", True),
        ("/a//b", "/a/b", False),
    ],
)
def test_a_path_matches_by_segments(configured: str, requested: str, matches: bool) -> None:
    """Parameters fill one segment, a last wildcard the rest, an inner one ends the comparison."""
    assert (chosen([("GET", configured)], "GET", requested) is not None) is matches


@pytest.mark.parametrize(
    ("configured", "requested", "matches"),
    [
        ("GET", "GET", True),
        ("ANY", "PURGE", True),
        ("ANY", "HEAD", True),
        ("GET", "HEAD", False),
        ("get", "GET", False),
        ("*", "GET", False),
        ("any", "GET", False),
        (None, "GET", False),
        (5, "GET", False),
    ],
)
def test_a_method_matches_exactly_or_by_any(configured: object, requested: str, matches: bool) -> None:
    """Only the same text or ANY serves a method; HEAD is not GET."""
    assert (chosen([(configured, "/x")], requested, "/x") is not None) is matches


@pytest.mark.parametrize(
    ("paths", "requested", "winner"),
    [
        (["/a/{id}", "/a/{.+}"], "/a/x", "/a/{.+}"),
        (["/a/{.+}", "/a/{p}/{q}"], "/a/x/y", "/a/{p}/{q}"),
        (["/a/{id}", "/a/lit"], "/a/lit", "/a/lit"),
        (["/api/{a}/{b}", "/api/x/{b}"], "/api/x/y", "/api/{a}/{b}"),
        (["/api/x/{b}", "/api/{a}/{b}"], "/api/x/y", "/api/x/{b}"),
        (["/api/{.+}", "/{.+}"], "/api", "/{.+}"),
        (["/wa/b/{.+}", "/wa/{.+}"], "/wa/b", "/wa/{.+}"),
        (["/wa/{.+}", "/wa/b/{.+}"], "/wa/b/c", "/wa/b/{.+}"),
        (["/files/{.+}", "/{id}"], "/files", "/{id}"),
    ],
)
def test_the_more_exact_route_wins_then_the_longer_then_the_one_without_wildcard(
    paths: list[str], requested: str, winner: str
) -> None:
    """The gateway's order of preference, surprises included: a wildcard counts as exact for one segment."""
    assert chosen([("GET", path) for path in paths], "GET", requested) == ("GET", winner)


@pytest.mark.parametrize(
    ("routes", "winner"),
    [
        ([("ANY", "/x"), ("POST", "/x")], ("POST", "/x")),
        ([("GET", "/{id}"), ("ANY", "/x")], ("ANY", "/x")),
        ([("ANY", "/{a}"), ("ANY", "/{b}")], ("ANY", "/{a}")),
    ],
)
def test_the_method_decides_after_the_path_and_the_order_last(
    routes: list[tuple[object, str]], winner: tuple[str, str]
) -> None:
    """A route for the very method beats ANY only among equal paths; then the first in the file wins."""
    assert chosen(routes, str(winner[0]) if winner[0] != "ANY" else "GET", "/x") == winner


def test_a_thousand_routes_do_not_hide_each_other() -> None:
    """Each of many routes that share prefixes and parameters is found by its own request."""
    routes: list[tuple[object, str]] = [("GET", f"/v1/{{tenant}}/r{number}/{{id}}") for number in range(1000)]
    table = RouteTable([Entry(*route) for route in routes])
    for number in (0, 499, 999):
        assert [found.path for found in table.matches("GET", f"/v1/t/r{number}/5")] == [routes[number][1]]
