"""The end of a collection whose service tells no total: an empty page, or one that is shorter than the others."""

from __future__ import annotations

from airgate.client.pages import Page, Position

SIZE = "size"
"""In a position: records that pages really have, where the service gives fewer than it is asked for."""


def goes_on(position: Position, page: Page, asked: int, *, first: bool) -> Position | None:
    """What to add to the next position, None behind the last page.

    A short first page may be the whole collection, or the service may never give as many as asked for. One more request
    tells which.

    Args:
        position: Where the page stands.
        page: What came.
        asked: Records that were asked for.
        first: Whether it is the first page of the collection.
    """
    came, size = len(page.records), position.get(SIZE, asked)
    if not came or (came < size and not first):
        return None
    return {SIZE: came} if first and came < asked else {SIZE: size} if size != asked else {}


def asks_for_more(position: Position) -> bool:
    """Whether the page there was only asked for to see whether there is one."""
    return SIZE in position
