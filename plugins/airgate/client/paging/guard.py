"""Notices that a read goes in circles or stands still."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from airgate.client.pages import Page, Position


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """When a read counts as one that would never end; 0 switches a rule off."""

    same_pages: int = 3
    """Pages in a row that have the same records, two or more: the service passes over what it is asked for."""
    empty_pages: int = 1000
    """Empty pages in a row that each name another one."""
    remembered: int = 10_000
    """Positions by which a circle is noticed at once; a longer one is noticed in its second or third round."""

    def __post_init__(self) -> None:
        for name in ("same_pages", "empty_pages"):
            if getattr(self, name) < 0 or getattr(self, name) == 1:
                raise ValueError(f"{name} must be 2 or more, or 0 for any number, not {getattr(self, name)}")


class LoopGuard:
    """Sees all pages of one read; its memory does not grow with their number.

    Args:
        settings: When to raise.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self._mark, self._marked = b"", 0
        self._count = self._empty = 0
        self._same = 1
        self._before: Page | None = None

    def check(self, position: Position, page: Page, following: Position | None) -> None:
        """Take note of a page and where it leads.

        Raises:
            InvalidResponse: Reading on would bring the same records for ever, or nothing.
        """
        self._count += 1
        self._remember(_digest(position))
        self._check_progress(page, following)
        if following is not None and (earlier := self._earlier(_digest(following))):
            raise page.response.invalid(
                f"page {self._count} of this read leads back to page {earlier}: reading would never end"
            )

    def _check_progress(self, page: Page, following: Position | None) -> None:
        settings, before = self._settings, self._before
        self._before, self._empty = page, 0 if page.records else self._empty + 1
        # The first record decides nearly always, so that this costs nothing.
        same = before is not None and len(page.records) > 1 and page.records == before.records
        self._same = self._same + 1 if same else 1
        if settings.same_pages and self._same >= settings.same_pages:
            raise page.response.invalid(
                f"{self._same} pages in a row have the same {len(page.records)} records: the service passes over what "
                "tells the pages apart; compare the paginator's parameters with the service's documentation, or read "
                "one page with SinglePage"
            )
        if following is not None and settings.empty_pages and self._empty >= settings.empty_pages:
            raise page.response.invalid(f"{self._empty} empty pages in a row: reading would never end")

    def _remember(self, digest: bytes) -> None:
        self._seen[digest] = self._count
        if len(self._seen) > self._settings.remembered:
            self._seen.popitem(last=False)
        # Of what is forgotten one position is kept, ever later ones: a circle of any length meets it (Brent, 1980).
        if self._count >= 2 * self._marked:
            self._mark, self._marked = digest, self._count

    def _earlier(self, digest: bytes) -> int:
        """The number of the page that stood there, 0 when none is known."""
        return self._seen.get(digest, self._marked if digest == self._mark else 0)


_encode = json.JSONEncoder(sort_keys=True).encode


def _digest(position: Position) -> bytes:
    return blake2b(_encode(position).encode(), digest_size=16).digest()
