"""Pages have numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.pages import Page, Position, check_size
from airgate.client.paging.short_pages import asks_for_more, goes_on
from airgate.policy.errors import GatewayError, NotFound


@dataclass(frozen=True, slots=True)
class NumberedPages:
    """Pages have numbers.

    Where the service tells how many pages there are, or how many records, the read ends with the last of them, an empty
    page before is an error, ``null`` in place of the records is empty only there, and pages can be asked for ahead.
    Otherwise an empty or short page ends the read; a short first page does so only if the next one is empty or not
    found, since a service may never give as many as asked for.

    Args:
        page_param: Query parameter for the page's number.
        size_param: Query parameter for the page size; None to send none.
        size: Records a page.
        first_page: Number of the first page.
        pages_field: Dotted name in the body that holds the number of pages; None when there is none.
        total_field: Dotted name of the number of records in the collection.
        pages_header: Response header with the number of pages, such as ``X-Total-Pages``.
        total_header: Response header with the number of records, such as ``X-Total``.
    """

    page_param: str = "page"
    size_param: str | None = "per_page"
    size: int = 100
    first_page: int = 1
    pages_field: str | None = "pages"
    total_field: str | None = None
    pages_header: str | None = None
    total_header: str | None = None

    def __post_init__(self) -> None:
        check_size("size", self.size)

    def first(self) -> Position:
        """The first page's number."""
        return {"page": self.first_page}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page number and size."""
        size = {self.size_param: self.size} if self.size_param else {}
        return {**size, self.page_param: position["page"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The next number."""
        pages, total, came = self._pages(page), self.total(page), len(page.records)
        number = position["page"] - self.first_page + 1
        following = {"page": position["page"] + 1}
        if pages is not None:
            if not came and number < pages:
                raise page.response.invalid(f"the page is empty, but it is number {number} of {pages}")
            return following if number < pages else None
        if total is not None:
            read = position.get("read", 0) + came
            if not came and read < total:
                raise page.response.invalid(f"the page is empty, but {read} of {total} records have come")
            return {**following, "read": read} if read < total else None
        more = goes_on(position, page, self.size, first=number == 1)
        return None if more is None else {**following, **more}

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field, self.total_header)

    def extent(self, page: Page) -> int | None:
        """The number of pages, else of records."""
        pages = self._pages(page)
        return self.total(page) if pages is None else pages

    def ahead(self, position: Position, page: Page) -> Iterator[Position]:
        """The numbers up to the last page."""
        pages, total, step = self._pages(page), self.total(page), len(page.records)
        if pages is not None:
            for number in range(position["page"] + 1, self.first_page + pages):
                yield {"page": number}
        elif total is not None and step:
            reads = range(position.get("read", 0) + step, total, step)
            for number, read in enumerate(reads, position["page"] + 1):
                yield {"page": number, "read": read}

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether all pages have come."""
        pages, total = self._pages(page), self.total(page)
        if pages is not None:
            return bool(position["page"] - self.first_page >= pages)
        return total is not None and bool(position.get("read", 0) >= total)

    def is_end(self, position: Position, error: GatewayError) -> bool:
        """Whether the page was only asked for because the first one was short."""
        return isinstance(error, NotFound) and asks_for_more(position)

    def _pages(self, page: Page) -> int | None:
        return page.count(self.pages_field, self.pages_header)
