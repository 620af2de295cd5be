"""How a collection is read page by page.

A paginator is a small frozen object. It says where to start, which query parameters a position means, and which
position follows a page. Positions are plain JSON objects, so that a read can be stored and taken up again anywhere:

    @dataclass(frozen=True)
    class EvenPages:
        def first(self):
            return {"page": 0}

        def params(self, position):
            return {"page": position["page"]}

        def after(self, position, page):
            return {"page": position["page"] + 2} if page.records else None
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from airgate.client.message import Response
from airgate.client.salvage import split_list, split_object

Position = dict[str, Any]
"""Where a page stands in its collection; JSON."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, split into its records without decoding them."""

    records: Sequence[msgspec.Raw]
    """JSON text of each record."""
    envelope: Mapping[str, msgspec.Raw]
    """JSON text of what stands beside the records, by name; empty for a bare list."""
    response: Response

    def get(self, name: str) -> Any:
        """The decoded value beside the records under that dotted name, such as ``meta.next``; None when missing."""
        first, *rest = name.split(".")
        raw = self.envelope.get(first)
        value = None if raw is None else msgspec.json.decode(raw)
        for inner in rest:
            value = value.get(inner) if isinstance(value, dict) else None
        return value

    def count(self, name: str | None) -> int | None:
        """The number beside the records under that name; None when there is none.

        Raises:
            InvalidResponse: When something else stands there: to guess an end would lose records.
        """
        value = self.get(name) if name else None
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise self.response.invalid(f"{name!r} must be a number of 0 or more, not {value!r}")


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def split_page(response: Response, records: str) -> Page:
    """Split an answer into records and envelope.

    Args:
        response: The answer; its body is JSON.
        records: Dotted path to the list of records, such as ``data`` or ``result.items``; empty for a bare list.

    Raises:
        InvalidResponse: When the body is not JSON or has no list there.
    """
    try:
        return _split(response, records, _OBJECT.decode, _LIST.decode)
    except (msgspec.DecodeError, RecursionError) as error:
        refusal = error
    try:
        return _split(response, records, split_object, split_list)
    except (ValueError, RecursionError):
        raise response.invalid(f"the body has no list of records at {records!r} ({refusal})") from None


def _split(
    response: Response,
    records: str,
    members: Callable[[bytes | msgspec.Raw], dict[str, msgspec.Raw]],
    items: Callable[[bytes | msgspec.Raw], list[msgspec.Raw]],
) -> Page:
    raw: bytes | msgspec.Raw = response.bytes
    envelope: dict[str, msgspec.Raw] = {}
    for name in filter(None, records.split(".")):
        inner = members(raw)
        if name not in inner:
            raise response.invalid(f"the body has no {records!r}; it has {', '.join(sorted(inner)) or 'nothing'}")
        raw = inner.pop(name)
        envelope.update(inner)
    return Page(items(raw), envelope, response)


class Paginator(Protocol):
    """Reads a collection in pages."""

    def first(self) -> Position:
        """Where the first page stands."""
        ...

    def params(self, position: Position) -> Mapping[str, Any]:
        """The query parameters that ask for that page."""
        ...

    def after(self, position: Position, page: Page) -> Position | None:
        """Where the page after ``page`` stands; None at the end."""
        ...


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name} must be 1 or more records a page, not {size}")


@dataclass(frozen=True, slots=True)
class CursorPages:
    """Each page names the next one with an opaque text.

    Args:
        cursor_field: Name in the body that holds the next cursor; missing, null or empty text ends the read.
        cursor_param: Query parameter that carries it.
        limit_param: Query parameter for the page size.
        limit: Records a page.
    """

    cursor_field: str = "next_cursor"
    cursor_param: str = "cursor"
    limit_param: str = "limit"
    limit: int = 100

    def __post_init__(self) -> None:
        _check_size("limit", self.limit)

    def first(self) -> Position:
        """No cursor yet."""
        return {"cursor": None}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page size and cursor."""
        return {self.limit_param: self.limit, self.cursor_param: position["cursor"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The cursor that the page names."""
        cursor = page.get(self.cursor_field)
        if cursor is None or cursor == "":
            return None
        if not isinstance(cursor, (str, int)):
            raise page.response.invalid(f"{self.cursor_field!r} must be a text or a number, not {cursor!r}")
        if cursor == position["cursor"]:
            raise page.response.invalid(
                f"the page names its own cursor as {self.cursor_field!r}: reading would never end"
            )
        return {"cursor": cursor}


@dataclass(frozen=True, slots=True)
class OffsetPages:
    """Pages are counted in records: skip so many, give so many.

    Args:
        offset_param: Query parameter for the records to skip.
        limit_param: Query parameter for the page size.
        limit: Records a page.
        total_field: Name in the body that holds the number of records; without it an empty or short page ends the read.
    """

    offset_param: str = "offset"
    limit_param: str = "limit"
    limit: int = 100
    total_field: str | None = "total"

    def __post_init__(self) -> None:
        _check_size("limit", self.limit)

    def first(self) -> Position:
        """Nothing skipped."""
        return {"offset": 0}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page size and offset."""
        return {self.limit_param: self.limit, self.offset_param: position["offset"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The offset behind the records that came, which may be fewer than asked for."""
        offset = position["offset"] + len(page.records)
        total = page.count(self.total_field)
        if total is None:
            return {"offset": offset} if len(page.records) >= self.limit else None
        if not page.records and offset < total:
            raise page.response.invalid(f"the page is empty, but {offset} of {total} records have come")
        return {"offset": offset} if offset < total else None


@dataclass(frozen=True, slots=True)
class NumberedPages:
    """Pages have numbers.

    Args:
        page_param: Query parameter for the page's number.
        size_param: Query parameter for the page size.
        size: Records a page.
        first_page: Number of the first page.
        pages_field: Name in the body that holds the number of pages; without it an empty or short page ends the read.
    """

    page_param: str = "page"
    size_param: str = "per_page"
    size: int = 100
    first_page: int = 1
    pages_field: str | None = "pages"

    def __post_init__(self) -> None:
        _check_size("size", self.size)

    def first(self) -> Position:
        """The first page's number."""
        return {"page": self.first_page}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page number and size."""
        return {self.size_param: self.size, self.page_param: position["page"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The next number."""
        pages = page.count(self.pages_field)
        following = {"page": position["page"] + 1}
        if pages is None:
            return following if len(page.records) >= self.size else None
        read = position["page"] - self.first_page + 1
        if not page.records and read < pages:
            raise page.response.invalid(f"the page is empty, but it is number {read} of {pages}")
        return following if read < pages else None
