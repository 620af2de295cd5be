"""Pagination."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.client.message import Response, headers_of
from airgate.client.pages import split_page
from airgate.pagination import CursorPages, NumberedPages, OffsetPages, Page
from airgate.policy.errors import InvalidResponse


def response(body: Any) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(200, headers_of(), content, "GET", "http://gw/x")


def page(records: int, **envelope: Any) -> Page:
    return split_page(response({"data": [{}] * records, **envelope}), "data")


@pytest.mark.parametrize(
    ("body", "path", "records"),
    [
        ({"data": [{"a": 1}, 2], "next": "x"}, "data", [b'{"a": 1}', b"2"]),
        ({"result": {"items": [1]}, "next": "x"}, "result.items", [b"1"]),
        ([1, 2], "", [b"1", b"2"]),
        ({"data": []}, "data", []),
        (
            b'{"data": ["\\ud800", 1e999, 12345678901234567890123]}',
            "data",
            [b'"\\ud800"', b"1e999", b"12345678901234567890123"],
        ),
    ],
)
def test_records_are_found_and_left_as_text(body, path, records) -> None:
    """The path selects the list; each record keeps its own JSON text."""
    assert [bytes(raw) for raw in split_page(response(body), path).records] == records


def test_what_stands_beside_the_records_is_at_hand() -> None:
    """The envelope of every level can be asked for by name."""
    split = split_page(response({"meta": {"n": 3}, "result": {"items": [], "next": None}}), "result.items")
    assert (split.get("meta"), split.get("next"), split.get("absent")) == ({"n": 3}, None, None)


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"items": []}, "data", "it has items"),
        ({"data": {}}, "data", "no list of records"),
        ({"data": None}, "data", "no list of records"),
        ([1], "data", "no list of records"),
        (b"<html>", "data", "no list of records"),
        (b'{"data": [1, NaN}', "data", "no list of records"),
        (b'{"data": ["\\ud800"', "data", "no list of records"),
        (b'{"data": ["\\ud800"] "x": 1}', "data", "no list of records"),
        (b'{1: ["\\ud800"]}', "data", "no list of records"),
        (b'{"data" ["\\ud800"]}', "data", "no list of records"),
        (b'{"items": ["\\ud800"]}', "data", "it has items"),
        (b"[" * 100_000, "", "no list of records"),
        (b"", "data", "no list of records"),
    ],
)
def test_a_page_of_another_shape_is_an_invalid_response(body, path, message) -> None:
    """A list that is not there never reads as an empty one."""
    with pytest.raises(InvalidResponse, match=message):
        split_page(response(body), path)


@pytest.mark.parametrize(
    ("envelope", "after"),
    [({"next_cursor": "b"}, {"cursor": "b"}), ({"next_cursor": None}, None), ({"next_cursor": ""}, None), ({}, None)],
)
def test_cursor_pages_follow_the_cursor_to_its_end(envelope, after) -> None:
    """A missing, null or empty cursor ends the read; an empty page with a cursor does not."""
    pages = CursorPages(limit=5)
    assert pages.params(pages.first()) == {"limit": 5, "cursor": None}
    assert pages.after({"cursor": "a"}, page(0, **envelope)) == after


def test_a_cursor_that_names_itself_is_refused() -> None:
    """The read would never end."""
    with pytest.raises(InvalidResponse, match="never end"):
        CursorPages().after({"cursor": "a"}, page(1, next_cursor="a"))


@pytest.mark.parametrize(
    ("offset", "records", "envelope", "after"),
    [
        (0, 10, {"total": 25}, {"offset": 10}),
        (10, 7, {"total": 25}, {"offset": 17}),
        (20, 5, {"total": 25}, None),
        (0, 10, {}, {"offset": 10}),
        (0, 9, {}, None),
        (0, 0, {"total": 0}, None),
    ],
)
def test_offset_pages_advance_by_what_came(offset, records, envelope, after) -> None:
    """A server that gives fewer records than asked for loses none; without a total a short page is the last."""
    assert OffsetPages(limit=10).after({"offset": offset}, page(records, **envelope)) == after


@pytest.mark.parametrize(
    ("number", "records", "envelope", "after"),
    [
        (1, 10, {"pages": 3}, {"page": 2}),
        (3, 4, {"pages": 3}, None),
        (1, 10, {}, {"page": 2}),
        (1, 9, {}, None),
    ],
)
def test_numbered_pages_count_to_the_end(number, records, envelope, after) -> None:
    """The number of pages ends the read, else an empty or short page."""
    assert NumberedPages(size=10).after({"page": number}, page(records, **envelope)) == after


@pytest.mark.parametrize(
    ("pages", "position", "answer", "message"),
    [
        (OffsetPages(limit=10), {"offset": 10}, page(0, total=25), "10 of 25 records"),
        (OffsetPages(limit=10), {"offset": 0}, page(10, total="25"), "'total' must be a number"),
        (OffsetPages(limit=10), {"offset": 0}, page(10, total=-1), "'total' must be a number"),
        (NumberedPages(size=10), {"page": 2}, page(0, pages=3), "number 2 of 3"),
        (NumberedPages(size=10), {"page": 2}, page(5, pages=True), "'pages' must be a number"),
        (CursorPages(), {"cursor": None}, page(5, next_cursor={"id": 1}), "'next_cursor' must be a text"),
    ],
)
def test_a_page_that_contradicts_itself_does_not_end_the_read(pages, position, answer, message) -> None:
    """To take it for the last one would lose records silently."""
    with pytest.raises(InvalidResponse, match=message):
        pages.after(position, answer)


def test_fields_may_lie_deeper() -> None:
    """A dotted name reaches into what stands beside the records."""
    answer = page(10, meta={"next": "b", "total": 25})
    assert CursorPages(cursor_field="meta.next").after({"cursor": None}, answer) == {"cursor": "b"}
    assert OffsetPages(limit=10, total_field="meta.total").after({"offset": 15}, answer) is None
    assert answer.get("meta.next.deeper") is None


@pytest.mark.parametrize("pages", [CursorPages, OffsetPages])
def test_an_empty_page_size_is_refused(pages) -> None:
    """When the DAG is parsed, not when the read does not move."""
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        pages(limit=0)
    with pytest.raises(ValueError, match="size must be 1 or more"):
        NumberedPages(size=0)


def test_numbered_pages_may_start_at_zero() -> None:
    """Page 2 of 3 is the last when counting starts at 0."""
    pages = NumberedPages(size=10, first_page=0)
    assert pages.first() == {"page": 0}
    assert pages.after({"page": 1}, page(10, pages=3)) == {"page": 2}
    assert pages.after({"page": 2}, page(10, pages=3)) is None
