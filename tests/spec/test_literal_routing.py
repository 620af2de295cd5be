"""The route table against a slow reading of the rules it compiles, on random tables and paths (SPEC.md, section 5)."""

from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airgate.spec.routing import RouteTable

# Few words, so that random routes and requests meet often; segments that only look like parameters among them.
SEGMENTS = ["", "a", "b", "{id}", "{}", "{.*}", "{.+}", "{.+}x", "x{id}", "*"]
METHODS = ["GET", "POST", "OPTIONS", "ANY", "get", "*", None]


@dataclass(frozen=True)
class Entry:
    """A route with nothing but what routing looks at; `place` tells equal ones apart."""

    method: object
    path: str
    place: int


@dataclass(frozen=True)
class Match:
    """What the rules say of one route that matches."""

    count: int
    exact: bool
    wild: bool


def literal_match(configured: str, requested: str) -> Match | None:
    """Sections 5.2 and 5.4, sentence by sentence: both paths are split on `/` and compared segment by segment."""
    config, request = configured.split("/"), requested.split("/")
    if not configured.startswith("/"):
        return None  # config paths without a leading slash never match
    wild_at = config.index("{.+}") if "{.+}" in config else None
    wild_is_last = config[-1] == "{.+}"
    if wild_is_last:
        if len(request) < len(config) - 1:
            return None  # the request needs at least the segments before it
    elif len(request) != len(config):
        return None  # without a wildcard in the last place the number of segments must be equal
    parameter_met = False
    for position, segment in enumerate(config):
        if position == wild_at:
            break  # comparison ends there, whatever stands from that position on
        if position >= len(request):
            return None
        if segment.startswith("{") and segment.endswith("}"):
            parameter_met = True  # matches any segment, the empty one too
        elif segment != request[position]:
            return None
    count = len(config) if wild_at is None else min(len(config), len(request))
    exact = not parameter_met and count == len(config) and count == len(request)
    return Match(count, exact, wild_at is not None)


def literal_order(routes: list[Entry], method: str, path: str) -> list[Entry]:
    """Section 5.3, then the five steps of 5.4, as five stable sorts from the last to the first."""
    found = [
        (entry, match)
        for entry in routes
        if entry.method in (method, "ANY") and (match := literal_match(entry.path, path)) is not None
    ]
    found.sort(key=lambda pair: pair[0].place)
    found.sort(key=lambda pair: 0 if pair[0].method == method else 1)
    found.sort(key=lambda pair: 1 if pair[1].wild else 0)
    found.sort(key=lambda pair: pair[1].count, reverse=True)
    found.sort(key=lambda pair: 0 if pair[1].exact else 1)
    return [entry for entry, _ in found]


paths = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map("/".join)
configured_paths = st.one_of(paths.map("/{}".format), paths.map(lambda path: f"/{path}"), paths)
tables = st.lists(st.tuples(st.sampled_from(METHODS), configured_paths), max_size=8).map(
    lambda drawn: [Entry(method, path, place) for place, (method, path) in enumerate(drawn)]
)
requested_paths = st.lists(st.sampled_from(["", "a", "b", "c", "{id}", "*"]), min_size=1, max_size=5).map(
    lambda drawn: "/" + "/".join(drawn)
)


@settings(max_examples=1500, deadline=None)
@given(tables, st.sampled_from(["GET", "HEAD", "OPTIONS", "PURGE"]), requested_paths)
@example([Entry("GET", "/a/{id}", 0), Entry("GET", "/a/{.+}", 1)], "GET", "/a/x")
@example([Entry("GET", "/a/{.+}", 0), Entry("GET", "/a/{p}/{q}", 1)], "GET", "/a/x/y")
@example([Entry("GET", "/{.+}/b/{.+}", 0), Entry("GET", "/{id}/b/{.+}", 1)], "GET", "/a")
def test_the_route_table_prefers_what_the_rules_prefer(routes: list[Entry], method: str, path: str) -> None:
    """For any table and request, the compiled tree gives the same routes in the same order as the rules."""
    assert RouteTable(routes).matches(method, path) == literal_order(routes, method, path)
