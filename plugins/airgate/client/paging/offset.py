"""Pages are counted in records: skip so many, give so many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.pages import Page, Position, check_size
from airgate.client.paging.short_pages import asks_for_more, goes_on
from airgate.policy.errors import GatewayError, NotFound


@dataclass(frozen=True, slots=True)
class OffsetPages:
    """Pages are counted in records: skip so many, give so many.

    With a total, the read ends when so many records have come, an empty page before is an error, ``null`` in place of
    the records is empty only there, and pages can be asked for ahead. Without one, an empty or short page ends the
    read; a short first page does so only if the next one is empty or not found, since a service may never give as many
    as asked for.

    Args:
        offset_param: Query parameter for the records to skip.
        limit_param: Query parameter for the page size; None to send none.
        limit: Records a page.
        total_field: Dotted name in the body that holds the number of records; None when there is none.
        total_header: Response header with that number, such as ``X-Total-Count``.
    """

    offset_param: str = "offset"
    limit_param: str | None = "limit"
    limit: int = 100
    total_field: str | None = "total"
    total_header: str | None = None

    def __post_init__(self) -> None:
        check_size("limit", self.limit)

    def first(self) -> Position:
        """Nothing skipped."""
        return {"offset": 0}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page size and offset."""
        size = {self.limit_param: self.limit} if self.limit_param else {}
        return {**size, self.offset_param: position["offset"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The offset behind the records that came, which may be fewer than asked for."""
        offset = position["offset"] + len(page.records)
        total = self.total(page)
        if total is None:
            more = goes_on(position, page, self.limit, first=not position["offset"])
            return None if more is None else {"offset": offset, **more}
        if not page.records and offset < total:
            raise page.response.invalid(f"the page is empty, but {offset} of {total} records have come")
        return {"offset": offset} if offset < total else None

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field, self.total_header)

    def extent(self, page: Page) -> int | None:
        """The total."""
        return self.total(page)

    def ahead(self, position: Position, page: Page) -> Iterator[Position]:
        """Every so many records up to the total."""
        step, total = len(page.records), self.total(page)
        if step and total is not None:
            for offset in range(position["offset"] + step, total, step):
                yield {"offset": offset}

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether all records have come."""
        total = self.total(page)
        return total is not None and bool(position["offset"] >= total)

    def is_end(self, position: Position, error: GatewayError) -> bool:
        """Whether the page was only asked for because the first one was short."""
        return isinstance(error, NotFound) and asks_for_more(position)
