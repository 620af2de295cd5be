"""How much a read may bring before it fails: one that brings more was probably meant otherwise, or never ends."""

from __future__ import annotations

from collections.abc import Iterable

from airgate.policy.redaction import redact_text, redact_url


class Caps:
    """Counts pages and records, and refuses what is more than allowed.

    Args:
        max_pages: Pages a read may have; None for any number.
        max_records: Records a read may have; None for any number.
        pages: Read by earlier tries.
        records: Read by earlier tries.
        source: Names the collection in messages, as ``shown`` gives it.
        piece: What a page is called there.
    """

    def __init__(
        self,
        max_pages: int | None,
        max_records: int | None,
        pages: int,
        records: int,
        *,
        source: str = "",
        piece: str = "page",
    ) -> None:
        self._max_pages, self._max_records = max_pages, max_records
        self._pages, self._records = pages, records
        self._source, self._piece = source, piece

    @property
    def pages_left(self) -> float:
        """Pages that may still be asked for."""
        return float("inf") if self._max_pages is None else self._max_pages - self._pages

    @property
    def place(self) -> str:
        """Where the next page stands, in words: its number is the one that dead letters have, over all tries."""
        return self.place_in(self._source)

    def place_in(self, source: str) -> str:
        """The same, of a collection that is named otherwise."""
        number = f"{self._piece} {self._pages} (the first is 0)"
        return f"{source}, {number}" if source else number

    def count(self, records: int, *, last: bool) -> None:
        """Take note of a page.

        Raises:
            ValueError: It is one too many, or there is one more than may be.
        """
        pages, records = self._pages + 1, self._records + records
        if self._max_pages is not None and pages + (not last) > self._max_pages:
            raise ValueError(
                f"{self.place}: the collection has more than {self._max_pages} pages; raise max_pages if it must"
            )
        if self._max_records is not None and records > self._max_records:
            raise ValueError(
                f"{self.place}: the collection has more than {self._max_records} records; raise max_records if it must"
            )
        self._pages, self._records = pages, records


def shown(source: str, secrets: Iterable[str] = ()) -> str:
    """The name of a collection, method and path template, as an error may show it.

    Args:
        source: The name.
        secrets: Values that must not be seen.
    """
    return redact_text(redact_url(source), secrets)
