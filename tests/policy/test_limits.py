"""Limits as they are configured, and when a scope lets the next caller in."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.policy.limits import ConnectionLimits, Limit, Scope, Window, opens_at, parse_limits


def test_rates_and_concurrency_are_read_for_the_connection_and_its_routes() -> None:
    """Rates may be one text with commas or a list, periods may be counted."""
    limits = parse_limits(
        {"rate": "100/min, 10/s", "concurrency": 4, "routes": {"/orders": {"rate": ["5 / 15min"], "concurrency": 1}}}
    )
    assert limits.connection == Limit((Window(100, 60), Window(10, 1)), 4)
    assert limits.routes == {"/orders": Limit((Window(5, 900),), 1)}
    assert not parse_limits({})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "limits must be an object"),
        ({"rates": "1/s"}, "unknown field rates; there are rate, concurrency, routes"),
        ({"rate": "fast"}, "limits.rate: 'fast' must be requests/period"),
        ({"rate": "5/fortnight"}, "'5/fortnight' must be requests/period"),
        ({"rate": "0/s"}, "must allow between 1 and"),
        ({"rate": "1/0s"}, "a period of zero"),
        ({"rate": 5}, "must be text or a list of texts"),
        ({"rate": [5]}, "must be text or a list of texts"),
        ({"concurrency": True}, "limits.concurrency must be a whole number"),
        ({"concurrency": 0}, "limits.concurrency must be at least 1"),
        ({"routes": ["/a"]}, "limits.routes must be an object of paths"),
        ({"routes": {"orders": {"rate": "1/s"}}}, "'orders' must be a path that begins with /"),
        ({"routes": {"/orders": "1/s"}}, "limits.routes['/orders'] must be an object"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_cure(value: Any, told: str) -> None:
    """The message holds the field and what it should be."""
    with pytest.raises(ValueError) as caught:
        parse_limits(value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/orders", "/orders"),
        ("orders/?page=2", "/orders"),
        ("/orders/5", "/orders/{id}"),
        ("/orders/5/lines", "/orders/{id}"),
        ("/orders/open", "/orders/open"),
        ("/orders/5/lines.csv", "/orders/{id}/{file}.csv"),
        ("/ordersheet", "/"),
    ],
)
def test_the_most_specific_route_counts(path: str, pattern: str) -> None:
    """More segments beat fewer, a literal beats a template, a prefix ends at a slash."""
    patterns = ("/", "/orders", "/orders/{id}", "/orders/open", "/orders/{id}/{file}.csv")
    limit = Limit((Window(1, 1),))
    limits = ConnectionLimits(limit, dict.fromkeys(patterns, limit))
    assert limits.scopes("c", path) == (Scope("c", limit), Scope(f"c {pattern}", limit))


def test_what_nothing_limits_has_no_scope() -> None:
    """An empty limit costs no question to the store."""
    limits = ConnectionLimits(Limit(), {"/a": Limit(concurrency=1), "/a/b": Limit()})
    assert limits.scopes("c", "/x") == ()
    assert limits.scopes("c", "/a/b") == ()
    assert [scope.key for scope in limits.scopes("c", "/a/c")] == ["c /a"]


@pytest.mark.parametrize(
    ("limit", "ahead", "held", "opens"),
    [
        (Limit((Window(3, 1),)), 0, 0, 1_000_011),  # the third last grant, at 10, has to leave
        (Limit((Window(3, 1),)), 1, 0, 1_000_021),
        (Limit((Window(3, 1),)), 2, 0, 1_000_031),
        (Limit((Window(3, 1),)), 3, 0, 2_000_011),
        (Limit((Window(4, 1),)), 0, 0, 100),  # one is left
        (Limit((Window(4, 1),)), 1, 0, 1_000_011),
        (Limit((Window(4, 1), Window(3, 2))), 0, 0, 2_000_011),  # the stricter window counts
        (Limit(concurrency=2), 0, 1, 0),
        (Limit(concurrency=2), 1, 1, 100 + 5_000),
        (Limit(concurrency=2), 3, 2, 100 + 20_000),
    ],
)
def test_a_scope_opens_when_the_right_grant_leaves_the_window(limit: Limit, ahead: int, held: int, opens: int) -> None:
    """With grants at 10, 20 and 30 microseconds, at 100; those ahead in line take their turn first."""
    grants = [30, 20, 10]
    told = opens_at(limit, ahead, lambda back: grants[back - 1] if back <= 3 else None, held, 100, 100)
    assert told == opens
