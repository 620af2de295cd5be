"""Pages that are asked for by the key of the last record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.client.message import Response, headers_of
from airgate.client.splitting import split_page
from airgate.pagination import KeysetPages, Page
from airgate.policy.errors import InvalidResponse


def page(*keys: Any, **envelope: Any) -> Page:
    records = [key if isinstance(key, dict) else {"id": key} for key in keys]
    body = json.dumps({"data": records, **envelope}).encode()
    return split_page(Response(200, headers_of(), body, "GET", "http://gw/x"), "data")


def test_the_key_of_the_last_record_asks_for_the_next_page() -> None:
    """Also with a short page: a service may never give as many as asked for; an empty page is the end."""
    pages = KeysetPages(limit=3, start=5)
    assert pages.params(pages.first()) == {"limit": 3, "since": 5}
    assert pages.after({"since": 5}, page(6, 8)) == {"since": 8}
    assert pages.after({"since": 8}, page()) is None
    assert KeysetPages().params(KeysetPages().first()) == {"limit": 100, "since": None}


def test_the_key_may_lie_deeper() -> None:
    """A dotted name reaches into the record."""
    pages = KeysetPages(key="meta.at", since_param="after")
    assert pages.after({"since": None}, page({"meta": {"at": "2013-01-01"}})) == {"since": "2013-01-01"}


def test_has_more_spares_the_last_request() -> None:
    """And contradicts an empty page."""
    pages = KeysetPages(has_more_field="more")
    assert pages.after({"since": 1}, page(2, more=False)) is None
    assert pages.after({"since": 1}, page(2, more=True)) == {"since": 2}
    with pytest.raises(InvalidResponse, match="empty, but 'more' is true"):
        pages.after({"since": 1}, page(more=True))
    with pytest.raises(InvalidResponse, match="'more' must be true or false"):
        pages.after({"since": 1}, page(2, more=1))


@pytest.mark.parametrize("record", [{"id": None}, {}, {"id": [1]}, {"id": True}])
def test_a_record_without_a_key_is_named(record: dict[str, Any]) -> None:
    """The error tells which one, since the next page cannot be asked for."""
    with pytest.raises(InvalidResponse, match="record 1 of the page has no 'id'"):
        KeysetPages().after({"since": None}, page(1, record))


def test_a_damaged_record_still_has_its_key() -> None:
    """Half a surrogate pair costs the record, not the read."""
    response = Response(200, headers_of(), b'[{"id": 3, "x": "\\ud800"}]', "GET", "http://gw/x")
    assert KeysetPages().after({"since": None}, split_page(response, "")) == {"since": 3}


def test_a_boundary_that_comes_again_is_refused_unless_asked_for() -> None:
    """The error names the cure."""
    with pytest.raises(InvalidResponse, match="set inclusive=True"):
        KeysetPages().after({"since": 3}, page(3))


def ids(page: Page) -> list[int]:
    return [json.loads(bytes(record))["n"] for record in page.records]


def read(pages: KeysetPages, rows: list[tuple[int, int]], cap: int) -> list[int]:
    """All n of a service that gives the rows (key, n) from ``since`` on, that included, ``cap`` at the most."""
    position, got = pages.first(), []
    while position is not None:
        since = position["since"]
        found = [{"id": key, "n": n} for key, n in rows if since is None or key >= since][:cap]
        answer = page(*found)
        got += ids(pages.fresh(position, answer))
        position = json.loads(json.dumps(pages.after(position, answer)))
    return got


@pytest.mark.parametrize(
    ("keys", "limit", "cap"),
    [
        ([1], 3, 3),
        ([1, 2, 3], 3, 3),
        ([1, 2, 3, 4, 5, 6, 7], 3, 3),
        ([1, 1, 2, 2, 2, 3, 3], 4, 4),
        ([1, 2, 2, 2, 2, 3], 9, 5),
        ([1, 1, 1], 4, 4),
        ([], 3, 3),
    ],
)
def test_an_inclusive_boundary_is_delivered_once(keys: list[int], limit: int, cap: int) -> None:
    """Records that share the boundary's key are told apart by their text; none is lost, none comes twice."""
    rows = [(key, n) for n, key in enumerate(keys)]
    assert read(KeysetPages(limit=limit, inclusive=True), rows, cap) == list(range(len(keys)))


@pytest.mark.parametrize(("limit", "cap"), [(3, 3), (100, 3)])
def test_more_equal_keys_than_a_page_has_are_noticed(limit: int, cap: int) -> None:
    """What lies behind them could never be asked for: that is an error, not an end."""
    rows = [(key, n) for n, key in enumerate([1, 2, 3, 4, 5, 5, 5, 5, 5, 6])]
    with pytest.raises(InvalidResponse, match=r"share one id, as many as a page has.*raise limit"):
        read(KeysetPages(limit=limit, inclusive=True), rows, cap)
