"""The header ``Link`` of a page leads to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.pages import Page, PageRequest, Position, check_size
from airgate.client.paging.link_header import parse_links
from airgate.client.paging.linked import asked_by, following


@dataclass(frozen=True, slots=True)
class LinkHeaderPages:
    """The header ``Link`` of a page leads to the next one (RFC 8288).

    No such link ends the read; an empty page that has one does not. ``null`` in place of the records is empty where the
    total is 0. A link may be relative; it must stay at the gateway, below its address.

    Args:
        limit_param: Query parameter of the first page for the page size; None to send none.
        limit: Records a page.
        rel: The link's relation.
        query_only: Take only the link's query, and ask for the collection's own path with it: for services that do not
            know under which address the gateway shows them.
        total_field: Dotted name in the body that holds the number of records, for telling the time left.
        total_header: Response header with that number.
    """

    limit_param: str | None = "per_page"
    limit: int = 100
    rel: str = "next"
    query_only: bool = False
    total_field: str | None = None
    total_header: str | None = "X-Total-Count"

    def __post_init__(self) -> None:
        check_size("limit", self.limit)

    def first(self) -> Position:
        """No link yet."""
        return {"link": None}

    def params(self, position: Position) -> Mapping[str, Any]:
        """The page size, where no link tells it."""
        return self.request(position).params

    def request(self, position: Position) -> PageRequest:
        """The link, or the first page."""
        return asked_by(position, {self.limit_param: self.limit} if self.limit_param else {})

    def after(self, position: Position, page: Page) -> Position | None:
        """Where the link leads."""
        header = ", ".join(page.response.headers.getall("link", []))
        for link in parse_links(header):
            if self.rel.lower() in link.relations and not link.elsewhere:
                return following(page, link.target, query_only=self.query_only)
        return None

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field, self.total_header)

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether there are no records at all."""
        return self.total(page) == 0
