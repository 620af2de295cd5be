"""Where pages come from: one after the other, from the first or from where an earlier read stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airgate.client.message import Response
from airgate.client.pages import Page, Paginator, Position, split_page


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What asks for a page."""

    params: Mapping[str, Any] = field(default_factory=dict)
    """Query parameters."""


Fetch = Callable[[PageRequest], Response]
"""Asks for one page; raises a ``GatewayError`` when there is none."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A page, and where it stands."""

    position: Position
    page: Page
    following: Position | None
    """Where the next one stands; None behind the last."""


def read_pages(paginator: Paginator, fetch: Fetch, records: str, start: Position) -> Iterator[Reached]:
    """Give every page in order.

    Args:
        paginator: How the collection is read.
        fetch: Asks for a page.
        records: Dotted path of the list of records in an answer; empty for a bare list.
        start: Where the first page stands.

    Raises:
        GatewayError: A page cannot be had, or is none.
    """
    position: Position | None = start
    while position is not None:
        page = split_page(fetch(PageRequest(paginator.params(position))), records)
        following = paginator.after(position, page)
        yield Reached(position, page, following)
        position = following
