"""Routes that can never be chosen: told by a table, and the same as trying many requests."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.spec.check_shadow import shadow_problems
from airgate.spec.routing import RouteTable


def route(method: str, path: str) -> dict[str, Any]:
    return {"method": method, "path": path}


def shadowed(*routes: tuple[str, str]) -> list[str]:
    return [found.pointer for found in shadow_problems([route(*each) for each in routes])]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([("GET", "/a/{.+}"), ("GET", "/a/{id}")], ["/paths/1"]),
        ([("GET", "/a/{id}"), ("GET", "/a/{.+}")], ["/paths/0"]),
        ([("GET", "/a/{id}"), ("GET", "/a/b")], []),
        ([("GET", "/a/{x}/{y}"), ("GET", "/a/b/{y}")], ["/paths/1"]),
        ([("GET", "/a/b/{y}"), ("GET", "/a/{x}/{y}")], []),
        ([("ANY", "/a/{id}"), ("GET", "/a/{x}")], []),
        ([("ANY", "/a/{.+}"), ("GET", "/a/{x}")], ["/paths/1"]),
        ([("ANY", "/a/b"), ("GET", "/a/{x}")], []),
        ([("GET", "/a"), ("ANY", "/a")], []),
        ([("GET", "/a/{.+}/z"), ("GET", "/a/{x}/{y}")], ["/paths/1"]),
        ([("GET", "/{.+}"), ("GET", "/a/{.+}")], []),
        ([("GET", "/{.+}"), ("GET", "/{x}")], ["/paths/1"]),
    ],
)
def test_shadowed_routes_are_named(routes: list[tuple[str, str]], expected: list[str]) -> None:
    """By the gateway's order: a wildcard with one segment left beats a parameter, ties go to the first."""
    assert shadowed(*routes) == expected


def test_the_problem_names_the_routes_that_win() -> None:
    """Who reads it knows which route answers instead."""
    (found,) = shadow_problems([route("GET", "/a/{.+}"), route("GET", "/a/{id}")])
    assert found.what == "the route can never be chosen: whatever it matches goes to /paths/0"


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{.+}"])
ROUTES = st.tuples(st.sampled_from(["GET", "PUT", "ANY"]), st.lists(SEGMENTS, min_size=1, max_size=3))


class Placed:
    """A route that knows its place."""

    def __init__(self, place: int, method: str, path: str) -> None:
        self.place, self.method, self.path = place, method, path


@settings(max_examples=300, deadline=None)
@given(st.lists(ROUTES, min_size=1, max_size=5))
def test_it_is_what_trying_all_requests_says(drawn: list[tuple[str, list[str]]]) -> None:
    """A route is shadowed exactly when no request of up to five segments over four names is answered by it."""
    routes = [(method, "/" + "/".join(segments)) for method, segments in drawn]
    table = RouteTable([Placed(place, *each) for place, each in enumerate(routes)])
    chosen = set()
    for length in range(6):
        for segments in product("abcd", repeat=length):
            for method in ("GET", "PUT", "PATCH"):
                matching = table.matches(method, "/".join(["", *segments]))
                chosen |= {matching[0].place} if matching else set()
    assert shadowed(*routes) == [f"/paths/{place}" for place in range(len(routes)) if place not in chosen]
