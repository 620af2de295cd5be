"""What a service says of each record of a batch, in a 207 (RFC 4918, 13) or any other answer that goes item by item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from airgate.client.message import Response
from airgate.policy.retry import retry_after

BUSY = frozenset({425, 429, 503})
"""Statuses of an item whose record the service has not taken up and will take later (RFC 8470, RFC 6585, RFC 9110)."""

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """A record that the service did not accept."""

    reason: str
    busy: bool = False
    """Whether it is to be sent again."""
    status: int | None = None
    """Its own, where it has one that is a number."""
    wait: float | None = None
    """Seconds after which to send it again, where the item says so."""


@dataclass(frozen=True, slots=True)
class ItemResults:
    """Where an answer tells what became of each record; the expressions are JMESPath.

    Raises:
        ValueError: When an expression is none.
    """

    status: str | None = None
    """Of one item: 200 to 299 or true for a record that was accepted, anything else for one that was not."""
    error: str | None = None
    """Of one item: why its record was not accepted; nothing, false or empty for one that was."""
    results: str = "@"
    """The list of items, within the answer; ``@`` is the answer itself."""
    index: str | None = None
    """Of one item: place of its record in the batch, from 0, for services that tell of some records only; the others
    were accepted then. None when there is an item for each record, in their order."""
    retry: str | None = None
    """Of one item whose record was not accepted: whether it was not even tried and is to be sent again, any value but
    nothing, false, zero or empty. None goes by the status: 425, 429 and 503."""
    retry_after: str | None = None
    """Of one item to be sent again: after how many seconds, or when, as in the header of that name."""

    def __post_init__(self) -> None:
        for name in ("status", "error", "results", "index", "retry", "retry_after"):
            if (expression := getattr(self, name)) is not None:
                _compile(f"item_{name}", expression)
        if (self.retry or self.retry_after) and not self.told:
            raise ValueError("item_retry and item_retry_after tell of refused items: give item_status or item_error")

    @property
    def told(self) -> bool:
        """Whether anything is looked for."""
        return self.status is not None or self.error is not None

    def refused(self, response: Response, count: int, now: float) -> dict[int, RefusedItem]:
        """The records that the service did not accept, by their place in the batch.

        Args:
            response: To the batch.
            count: Records in the batch.
            now: Unix time, to read a date after which to send again.

        Raises:
            InvalidResponse: When the answer does not tell what became of each record.
        """
        if not self.told:
            return {}
        items = _search(response, "item_results", self.results, response.json())
        if items is None and self.index is not None:
            return {}  # nothing to complain about
        if not isinstance(items, list):
            raise response.invalid(f"item_results {self.results!r} gives {type(items).__name__}, not a list of items")
        if self.index is None and len(items) != count:
            raise response.invalid(
                f"the answer tells of {len(items)} items and {count} records were sent; where a service tells of some "
                "records only, item_index says of which"
            )
        refused = {}
        for place, item in enumerate(items):
            found = self._refused(response, item, now)
            if found is not None:
                refused[self._place(response, item, place, count)] = found
        return refused

    def _place(self, response: Response, item: Any, place: int, count: int) -> int:
        if self.index is None:
            return place
        told = _search(response, "item_index", self.index, item)
        if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told < count:
            raise response.invalid(f"item_index {self.index!r} gives {told!r}, not a place among {count} records")
        return told

    def _refused(self, response: Response, item: Any, now: float) -> RefusedItem | None:
        """Why an item's record was not accepted, None when it was."""
        error = None if self.error is None else _search(response, "item_error", self.error, item)
        status = None if self.status is None else _search(response, "item_status", self.status, item)
        if self.status is not None and is_accepted(status) and not error:
            return None
        if self.status is None and not error:
            return None
        parts = [f"status {_text(status)}"] if self.status is not None else []
        reason = ": ".join([*parts, *([_text(error)] if error else [])])[:_LONGEST]
        number = _number(status)
        busy = number in BUSY if self.retry is None else bool(_search(response, "item_retry", self.retry, item))
        return RefusedItem(reason, busy, number, self._wait(response, item, now) if busy else None)

    def _wait(self, response: Response, item: Any, now: float) -> float | None:
        if self.retry_after is None:
            return None
        told = _search(response, "item_retry_after", self.retry_after, item)
        if isinstance(told, float):
            told = -(-told // 1)  # the header knows whole seconds only, and nobody should come too early
        return retry_after({"retry-after": f"{told:.0f}" if isinstance(told, (int, float)) else str(told or "")}, now)


def is_accepted(status: object) -> bool:
    """Whether an item's status says that its record was accepted; a text such as ``HTTP/1.1 201 Created`` counts."""
    if isinstance(status, bool):
        return status
    number = _number(status)
    return number is not None and 200 <= number <= 299


def _number(status: object) -> int | None:
    """A status as a whole number, None for one that is none."""
    if isinstance(status, str):
        words = status.removeprefix("HTTP/").split()
        return next((int(word) for word in words if word.isascii() and word.isdigit()), None)
    if isinstance(status, bool) or not isinstance(status, (int, float)) or status != status // 1:
        return None
    return int(status)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@lru_cache(maxsize=64)
def _compile(name: str, expression: str) -> Any:
    # Imported here, as every parse of a DAG file would pay for it otherwise.
    import jmespath
    import jmespath.exceptions

    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{name}: {expression!r} is not a JMESPath expression ({problem})") from None


def _search(response: Response, name: str, expression: str, value: Any) -> Any:
    import jmespath.exceptions

    try:
        return _compile(name, expression).search(value)
    except jmespath.exceptions.JMESPathError as error:
        raise response.invalid(f"{name} {expression!r} does not fit the answer ({error})") from None
