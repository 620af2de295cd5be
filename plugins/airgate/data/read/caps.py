"""How much a read may bring before it fails: one that brings more was probably meant otherwise, or never ends."""

from __future__ import annotations


class Caps:
    """Counts pages and records, and refuses what is more than allowed.

    Args:
        max_pages: Pages a read may have; None for any number.
        max_records: Records a read may have; None for any number.
        pages: Read by earlier tries.
        records: Read by earlier tries.
    """

    def __init__(self, max_pages: int | None, max_records: int | None, pages: int, records: int) -> None:
        self._max_pages, self._max_records = max_pages, max_records
        self._pages, self._records = pages, records

    @property
    def pages_left(self) -> float:
        """Pages that may still be asked for."""
        return float("inf") if self._max_pages is None else self._max_pages - self._pages

    def count(self, records: int, *, last: bool) -> None:
        """Take note of a page.

        Raises:
            ValueError: It is one too many, or there is one more than may be.
        """
        self._pages, self._records = self._pages + 1, self._records + records
        if self._max_pages is not None and self._pages + (not last) > self._max_pages:
            raise ValueError(f"the collection has more than {self._max_pages} pages; raise max_pages if it must")
        if self._max_records is not None and self._records > self._max_records:
            raise ValueError(f"the collection has more than {self._max_records} records; raise max_records if it must")
