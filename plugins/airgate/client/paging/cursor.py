"""Each page names the next one with an opaque text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from airgate.client.pages import Page, PageRequest, Position, check_size

SentIn = Literal["query", "header", "body"]


@dataclass(frozen=True, slots=True)
class CursorPages:
    """Each page names the next one with an opaque text.

    A missing, null or empty cursor ends the read. An empty page that names a cursor does not: services that filter
    after paging give such pages. ``null`` in place of the records is an empty page where the cursor's field stands
    beside it, or ``has_more_field``.

    Args:
        cursor_field: Dotted name in the body that holds the next cursor.
        cursor_param: Name under which the cursor is sent.
        limit_param: Query parameter, or member of the body, for the page size; None to send none.
        limit: Records a page.
        cursor_header: Response header that holds the next cursor, instead of a field of the body.
        sent_in: Where the cursor is sent: as a ``query`` parameter, as a request ``header``, or as a member of the JSON
            ``body``, and there the page size, too.
        has_more_field: Dotted name of a boolean; false ends the read though there is a cursor.
        total_field: Dotted name of the number of records in the collection, for telling the time left.
        total_header: Response header with that number.
    """

    cursor_field: str = "next_cursor"
    cursor_param: str = "cursor"
    limit_param: str | None = "limit"
    limit: int = 100
    cursor_header: str | None = None
    sent_in: SentIn = "query"
    has_more_field: str | None = None
    total_field: str | None = None
    total_header: str | None = None

    def __post_init__(self) -> None:
        check_size("limit", self.limit)
        if self.sent_in not in get_args(SentIn):
            raise ValueError(f"sent_in must be one of {', '.join(get_args(SentIn))}, not {self.sent_in!r}")

    def first(self) -> Position:
        """No cursor yet."""
        return {"cursor": None}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page size and cursor, as far as they are query parameters."""
        size = {self.limit_param: self.limit} if self.limit_param and self.sent_in != "body" else {}
        return {**size, self.cursor_param: position["cursor"]} if self.sent_in == "query" else size

    def request(self, position: Position) -> PageRequest:
        """Page size and cursor, each in its place."""
        params, cursor = self.params(position), position["cursor"]
        named = {} if cursor is None else {self.cursor_param: cursor}
        if self.sent_in == "header":
            return PageRequest(params, headers={name: str(value) for name, value in named.items()})
        if self.sent_in == "body":
            size = {self.limit_param: self.limit} if self.limit_param else {}
            return PageRequest(params, json={**size, **named})
        return PageRequest(params)

    def after(self, position: Position, page: Page) -> Position | None:
        """The cursor that the page names."""
        name = self.cursor_header or self.cursor_field
        cursor = page.response.headers.get(name) if self.cursor_header else page.get(name)
        if self.has_more_field and (more := page.get(self.has_more_field)) is not None:
            if not isinstance(more, bool):
                raise page.response.invalid(f"{self.has_more_field!r} must be true or false, not {more!r}")
            if not more:
                return None
            if cursor is None or cursor == "":
                raise page.response.invalid(f"{self.has_more_field!r} is true, but there is no {name!r}")
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, (str, int)):
            raise page.response.invalid(f"{name!r} must be a text or a number, not {cursor!r}")
        if cursor == position["cursor"]:
            raise page.response.invalid(f"the page names its own cursor as {name!r}: reading would never end")
        return {"cursor": cursor}

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field, self.total_header)

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether the cursor's place is there: an answer about a failure would not have it."""
        told = self.has_more_field is not None and page.has(self.has_more_field)
        if self.cursor_header:
            return told or self.cursor_header in page.response.headers
        return told or page.has(self.cursor_field)
