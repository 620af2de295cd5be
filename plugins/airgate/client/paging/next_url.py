"""A field of each page holds the address of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.pages import Page, PageRequest, Position, check_size
from airgate.client.paging.linked import asked_by, following


@dataclass(frozen=True, slots=True)
class NextUrlPages:
    """A field of each page holds the address of the next one.

    A missing, null or empty address ends the read; an empty page that has one does not. ``null`` in place of the
    records is empty where the field stands beside it. An address may be relative; it must stay at the gateway, below
    its address.

    Args:
        next_field: Dotted name in the body that holds the address, such as ``links.next``.
        limit_param: Query parameter of the first page for the page size; None to send none.
        limit: Records a page.
        query_only: Take only the address's query, and ask for the collection's own path with it: for services that do
            not know under which address the gateway shows them.
        total_field: Dotted name in the body that holds the number of records, for telling the time left.
        total_header: Response header with that number.
    """

    next_field: str = "next"
    limit_param: str | None = "limit"
    limit: int = 100
    query_only: bool = False
    total_field: str | None = None
    total_header: str | None = None

    def __post_init__(self) -> None:
        check_size("limit", self.limit)

    def first(self) -> Position:
        """No address yet."""
        return {"link": None}

    def params(self, position: Position) -> Mapping[str, Any]:
        """The page size, where no address tells it."""
        return self.request(position).params

    def request(self, position: Position) -> PageRequest:
        """The address, or the first page."""
        return asked_by(position, {self.limit_param: self.limit} if self.limit_param else {})

    def after(self, position: Position, page: Page) -> Position | None:
        """Where the address leads."""
        link = page.get(self.next_field)
        if link is not None and not isinstance(link, str):
            raise page.response.invalid(f"{self.next_field!r} must be an address, not of type {type(link).__name__}")
        return following(page, link, query_only=self.query_only)

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field, self.total_header)

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether the field is there: an answer about a failure would not have it."""
        return page.has(self.next_field)
