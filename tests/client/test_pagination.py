"""How an answer becomes a page, and the schemes that name or count pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.client.message import Response, headers_of
from airgate.client.splitting import split_page
from airgate.pagination import (
    CursorPages,
    KeysetPages,
    LinkHeaderPages,
    NextUrlPages,
    NumberedPages,
    OffsetPages,
    Page,
    PageRequest,
)
from airgate.policy.errors import InvalidResponse, NotFound, Unavailable


def response(body: Any, headers: dict[str, str] | None = None) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(200, headers_of((headers or {}).items()), content, "GET", "http://gw/x")


def page(records: int, *, headers: dict[str, str] | None = None, **envelope: Any) -> Page:
    return split_page(response({"data": [{}] * records, **envelope}, headers), "data")


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
    assert (split.has("meta.n"), split.has("next"), split.has("absent"), split.has("meta.m")) == (
        True,
        True,
        False,
        False,
    )


def test_the_full_path_names_what_stands_beside_the_records_as_well() -> None:
    """To write result.next for records at result.items is natural, and must not read as a missing cursor."""
    split = split_page(response({"result": {"items": [], "next": "b", "page": {"n": 1}}}), "result.items")
    assert [split.get(name) for name in ("result.next", "next", "result.page.n", "result.absent")] == [
        "b",
        "b",
        1,
        None,
    ]


def test_a_whole_object_may_be_the_record() -> None:
    """The body or an object in it is one record; a list is none."""
    for body, path, record in (({"id": 1}, "", b'{"id": 1}'), ({"user": {"id": 2}, "n": 1}, "user", b'{"id": 2}')):
        assert [bytes(raw) for raw in split_page(response(body), path, whole=True).records] == [record]
    for body in ([{"id": 1}], None, 5, b'{"a": NaN'):
        with pytest.raises(InvalidResponse, match="no object"):
            split_page(response(body), "", whole=True)
    assert len(split_page(response(b'{"a": NaN}'), "", whole=True).records) == 1


@pytest.mark.parametrize(
    ("pages", "position", "envelope", "empty"),
    [
        (CursorPages(), {"cursor": "a"}, {"next_cursor": None}, True),
        (CursorPages(), {"cursor": "a"}, {"errors": ["no"]}, False),
        (CursorPages(has_more_field="more"), {"cursor": "a"}, {"more": False}, True),
        (CursorPages(cursor_header="X-Next"), {"cursor": "a"}, {}, False),
        (OffsetPages(), {"offset": 0}, {"total": 0}, True),
        (OffsetPages(), {"offset": 0}, {"total": 3}, False),
        (OffsetPages(), {"offset": 0}, {}, False),
        (NumberedPages(), {"page": 1}, {"pages": 0}, True),
        (NumberedPages(), {"page": 1}, {"pages": 1}, False),
        (NumberedPages(total_field="n"), {"page": 2, "read": 4}, {"n": 4}, True),
        (NumberedPages(), {"page": 1}, {}, False),
        (NextUrlPages(), {"link": None}, {"next": None}, True),
        (NextUrlPages(), {"link": None}, {}, False),
        (LinkHeaderPages(total_field="n"), {"link": None}, {"n": 0}, True),
        (LinkHeaderPages(), {"link": None}, {}, False),
        (KeysetPages(has_more_field="more"), {"since": 1}, {"more": False}, True),
        (KeysetPages(), {"since": 1}, {}, False),
    ],
)
def test_null_is_an_empty_page_only_where_something_says_so(pages, position, envelope, empty) -> None:
    """An answer that failed with status 200 often has null in place of its records: it never ends a read."""
    split = split_page(response({"data": None, **envelope}), "data", null=True)
    assert (split.null, split.records) == (True, ())
    assert pages.null_is_empty(position, split) is empty


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


@pytest.mark.parametrize(
    ("pages", "headers", "envelope", "after"),
    [
        (CursorPages(cursor_header="X-Next"), {"x-next": "b"}, {}, {"cursor": "b"}),
        (CursorPages(cursor_header="X-Next"), {}, {"next_cursor": "b"}, None),
        (CursorPages(has_more_field="more"), {}, {"next_cursor": "b", "more": True}, {"cursor": "b"}),
        (CursorPages(has_more_field="more"), {}, {"next_cursor": "b", "more": False}, None),
        (CursorPages(has_more_field="more"), {}, {"next_cursor": "b"}, {"cursor": "b"}),
        (CursorPages(), {}, {"next_cursor": 0}, {"cursor": 0}),
    ],
)
def test_a_cursor_may_stand_in_a_header_and_more_may_be_told(pages, headers, envelope, after) -> None:
    """The header is looked up in any case; has_more ends the read where the last page has a cursor, too."""
    assert pages.after({"cursor": "a"}, page(3, headers=headers, **envelope)) == after


@pytest.mark.parametrize(
    ("pages", "first", "second"),
    [
        (CursorPages(), PageRequest({"limit": 100, "cursor": None}), PageRequest({"limit": 100, "cursor": "b"})),
        (
            CursorPages(sent_in="header", cursor_param="X-Cursor"),
            PageRequest({"limit": 100}),
            PageRequest({"limit": 100}, headers={"X-Cursor": "b"}),
        ),
        (
            CursorPages(sent_in="body", limit_param="page_size"),
            PageRequest(json={"page_size": 100}),
            PageRequest(json={"page_size": 100, "cursor": "b"}),
        ),
        (CursorPages(limit_param=None), PageRequest({"cursor": None}), PageRequest({"cursor": "b"})),
    ],
)
def test_a_cursor_is_sent_where_the_service_wants_it(pages, first, second) -> None:
    """As a query parameter, a header, or in the JSON body together with the page size."""
    assert (pages.request(pages.first()), pages.request({"cursor": "b"})) == (first, second)


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
        (10, 9, {}, None),
        (10, 0, {}, None),
        (0, 0, {}, None),
        (0, 0, {"total": 0}, None),
        (50, 0, {"total": 45}, None),
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
        (2, 9, {}, None),
        (1, 0, {}, None),
        (1, 0, {"pages": 0}, None),
        (5, 0, {"pages": 4}, None),
    ],
)
def test_numbered_pages_count_to_the_end(number, records, envelope, after) -> None:
    """The number of pages ends the read, else an empty or short page."""
    assert NumberedPages(size=10).after({"page": number}, page(records, **envelope)) == after


@pytest.mark.parametrize(
    ("pages", "second", "third"),
    [
        (OffsetPages(limit=10), {"offset": 7, "size": 7}, {"offset": 14, "size": 7}),
        (NumberedPages(size=10), {"page": 2, "size": 7}, {"page": 3, "size": 7}),
    ],
)
def test_a_service_that_never_gives_as_many_as_asked_for_is_read_to_its_end(pages, second, third) -> None:
    """A short first page is followed by one more request; the size that pages have then tells the last one."""
    assert pages.after(pages.first(), page(7)) == second
    assert pages.after(second, page(7)) == third
    assert pages.after(third, page(6)) is None
    assert pages.after(second, page(0)) is None
    assert pages.is_end(second, NotFound("answered 404"))
    assert not pages.is_end(second, Unavailable("answered 503"))
    assert not pages.is_end(pages.first(), NotFound("answered 404"))


def test_numbered_pages_end_by_the_number_of_records() -> None:
    """A total counts what came, so that neither a cap of the service nor a short page ends the read early."""
    pages = NumberedPages(size=10, pages_field=None, total_header="X-Total")
    assert pages.after({"page": 1}, page(4, headers={"X-Total": "10"})) == {"page": 2, "read": 4}
    assert pages.after({"page": 2, "read": 4}, page(4, headers={"X-Total": "10"})) == {"page": 3, "read": 8}
    assert pages.after({"page": 3, "read": 8}, page(2, headers={"X-Total": "10"})) is None
    with pytest.raises(InvalidResponse, match="8 of 10 records"):
        pages.after({"page": 3, "read": 8}, page(0, headers={"X-Total": "10"}))
    with pytest.raises(InvalidResponse, match="'X-Total' must be a number of 0 or more, not 'many'"):
        pages.after({"page": 1}, page(4, headers={"X-Total": "many"}))


@pytest.mark.parametrize(
    ("pages", "position", "answer", "ahead"),
    [
        (OffsetPages(limit=10), {"offset": 0}, {"records": 10, "total": 25}, [{"offset": 10}, {"offset": 20}]),
        (OffsetPages(limit=10), {"offset": 3}, {"records": 4, "total": 13}, [{"offset": 7}, {"offset": 11}]),
        (OffsetPages(limit=10), {"offset": 0}, {"records": 10}, []),
        (OffsetPages(limit=10), {"offset": 0}, {"records": 0, "total": 5}, []),
        (NumberedPages(), {"page": 2}, {"records": 9, "pages": 4}, [{"page": 3}, {"page": 4}]),
        (NumberedPages(first_page=0), {"page": 0}, {"records": 9, "pages": 2}, [{"page": 1}]),
        (NumberedPages(total_field="n"), {"page": 1}, {"records": 2, "n": 3}, [{"page": 2, "read": 2}]),
        (NumberedPages(), {"page": 1}, {"records": 9}, []),
    ],
)
def test_counted_pages_know_where_later_ones_stand(pages, position, answer, ahead) -> None:
    """The positions are those that page after page would give."""
    assert list(pages.ahead(position, page(**answer))) == ahead


@pytest.mark.parametrize(
    ("pages", "position", "answer", "message"),
    [
        (OffsetPages(limit=10), {"offset": 10}, page(0, total=25), "10 of 25 records"),
        (OffsetPages(limit=10), {"offset": 0}, page(10, total="25"), "'total' must be a number"),
        (OffsetPages(limit=10), {"offset": 0}, page(10, total=-1), "'total' must be a number"),
        (NumberedPages(size=10), {"page": 2}, page(0, pages=3), "number 2 of 3"),
        (NumberedPages(size=10), {"page": 2}, page(5, pages=True), "'pages' must be a number"),
        (CursorPages(), {"cursor": None}, page(5, next_cursor={"id": 1}), "'next_cursor' must be a text"),
        (CursorPages(has_more_field="more"), {"cursor": "a"}, page(5, more=True), "there is no 'next_cursor'"),
        (CursorPages(has_more_field="more"), {"cursor": "a"}, page(5, more="yes"), "'more' must be true or false"),
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
    with pytest.raises(ValueError, match="sent_in must be one of query, header, body, not 'cookie'"):
        CursorPages(sent_in="cookie")


def test_numbered_pages_may_start_at_zero() -> None:
    """Page 2 of 3 is the last when counting starts at 0."""
    pages = NumberedPages(size=10, first_page=0)
    assert pages.first() == {"page": 0}
    assert pages.after({"page": 1}, page(10, pages=3)) == {"page": 2}
    assert pages.after({"page": 2}, page(10, pages=3)) is None
