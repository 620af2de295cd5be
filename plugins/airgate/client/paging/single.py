"""One page is all there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client.pages import Page, Position


@dataclass(frozen=True, slots=True)
class SinglePage:
    """One page is all there is.

    ``null`` in place of the records is refused: nothing tells it from a failure.

    Args:
        whole: What stands at the path of the records is one record, an object, and no list of them; with an empty path
            it is the whole body.
    """

    whole: bool = False

    def first(self) -> Position:
        """The page."""
        return {}

    def params(self, position: Position) -> Mapping[str, Any]:
        """None."""
        return {}

    def after(self, position: Position, page: Page) -> Position | None:
        """Nothing."""
        return None

    def total(self, page: Page) -> int | None:
        """As many as came."""
        return len(page.records)
