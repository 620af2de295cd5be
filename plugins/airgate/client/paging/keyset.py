"""Each page is asked for by the key of the last record before it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from typing import Any

import msgspec

from airgate.client.pages import Page, Position, check_size
from airgate.policy.json_faults import NOT_JSON

Key = str | int | float


@dataclass(frozen=True, slots=True)
class KeysetPages:
    """Each page is asked for by the key of the last record before it: everything since that id or moment.

    The service must sort by the key. An empty page ends the read, or ``has_more_field``: a short one does not, since a
    service may never give as many as asked for. ``null`` in place of the records is empty where ``has_more_field`` is
    told.

    Args:
        key: Dotted name of the key in a record: a text or a number.
        since_param: Query parameter that carries it.
        limit_param: Query parameter for the page size; None to send none.
        limit: Records a page.
        start: Key to begin behind; None to begin at the beginning.
        inclusive: The service gives the records with the key itself once more. Those that came are taken out, told by
            their text, also where several records share a key. No more than a page of them may.
        has_more_field: Dotted name of a boolean in the body that tells whether there is another page.
        total_field: Dotted name of the number of records in the collection, for telling the time left.
    """

    key: str = "id"
    since_param: str = "since"
    limit_param: str | None = "limit"
    limit: int = 100
    start: Key | None = None
    inclusive: bool = False
    has_more_field: str | None = None
    total_field: str | None = None

    def __post_init__(self) -> None:
        check_size("limit", self.limit)

    def first(self) -> Position:
        """The start."""
        return {"since": self.start}

    def params(self, position: Position) -> Mapping[str, Any]:
        """Page size and key."""
        size = {self.limit_param: self.limit} if self.limit_param else {}
        return {**size, self.since_param: position["since"]}

    def after(self, position: Position, page: Page) -> Position | None:
        """The key of the last record, and with ``inclusive`` which records of that key came."""
        more = page.get(self.has_more_field) if self.has_more_field else None
        if more is not None and not isinstance(more, bool):
            raise page.response.invalid(f"{self.has_more_field!r} must be true or false, not {more!r}")
        if more is False or (not page.records and not more):
            return None
        if not page.records:
            raise page.response.invalid(f"the page is empty, but {self.has_more_field!r} is true")
        last, since = self._key(page, len(page.records) - 1), position["since"]
        if not self.inclusive:
            if last == since:
                raise page.response.invalid(
                    f"the last record has the {self.key} again that the page was asked to begin behind: reading would "
                    "never end; if the service includes it, set inclusive=True"
                )
            return {"since": last}
        return self._behind(position, page, last)

    def fresh(self, position: Position, page: Page) -> Page:
        """The page without the records with the key itself that came before."""
        seen = set(position.get("seen", ()))
        if not seen:
            return page
        since, records = position["since"], page.records
        repeated = takewhile(lambda at: self._key(page, at) == since, range(len(records)))
        dropped = {at for at in repeated if _digest(records[at]) in seen}
        return dataclasses.replace(page, records=[record for at, record in enumerate(records) if at not in dropped])

    def total(self, page: Page) -> int | None:
        """Records in the collection, where the service tells."""
        return page.count(self.total_field)

    def null_is_empty(self, position: Position, page: Page) -> bool:
        """Whether the service says that there is nothing more."""
        return self.has_more_field is not None and page.get(self.has_more_field) is False

    def _behind(self, position: Position, page: Page, last: Key) -> Position | None:
        came, full = len(page.records), position.get("full", 0)
        if not self.fresh(position, page).records:
            if came >= min(self.limit, full or self.limit):
                raise page.response.invalid(
                    f"{came} records share one {self.key}, as many as a page has: the ones behind them cannot be asked "
                    f"for; raise limit (now {self.limit})"
                )
            return None
        backwards = takewhile(lambda at: self._key(page, at) == last, range(came - 1, -1, -1))
        seen = {_digest(page.records[at]) for at in backwards} | _earlier(position, last)
        # The page before this one was not the last: so long can a page be that has no room for more.
        return {"since": last, "seen": sorted(seen), "came": came, "full": max(full, position.get("came", 0))}

    def _key(self, page: Page, index: int) -> Key:
        """The key of a record.

        Raises:
            InvalidResponse: There is none.
        """
        record = page.records[index]
        try:
            value = msgspec.json.decode(record)
        except NOT_JSON:
            value = json.loads(bytes(record).decode(errors="replace"))
        for name in self.key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return value
        raise page.response.invalid(
            f"record {index} of the page has no {self.key!r} that is a text or a number, so the next page cannot be "
            "asked for"
        )


def _earlier(position: Position, last: Key) -> set[str]:
    return set(position.get("seen", ())) if position["since"] == last else set()


def _digest(record: msgspec.Raw) -> str:
    return blake2b(record, digest_size=8).hexdigest()
