"""What a service says of each record of a batch, in a 207 (RFC 4918, 13) or any other answer that goes item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from airgate.client.message import Response

_LONGEST = 500


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

    def __post_init__(self) -> None:
        for name in ("status", "error", "results", "index"):
            if (expression := getattr(self, name)) is not None:
                _compile(f"item_{name}", expression)

    @property
    def told(self) -> bool:
        """Whether anything is looked for."""
        return self.status is not None or self.error is not None

    def refused(self, response: Response, count: int) -> dict[int, str]:
        """The records that the service did not accept: place in the batch -> reason.

        Args:
            response: To the batch.
            count: Records in the batch.

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
            reason = self._reason(response, item)
            if reason is not None:
                refused[self._place(response, item, place, count)] = reason
        return refused

    def _place(self, response: Response, item: Any, place: int, count: int) -> int:
        if self.index is None:
            return place
        told = _search(response, "item_index", self.index, item)
        if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told < count:
            raise response.invalid(f"item_index {self.index!r} gives {told!r}, not a place among {count} records")
        return told

    def _reason(self, response: Response, item: Any) -> str | None:
        """Why an item's record was not accepted, None when it was."""
        error = None if self.error is None else _search(response, "item_error", self.error, item)
        status = None if self.status is None else _search(response, "item_status", self.status, item)
        if self.status is not None and is_accepted(status) and not error:
            return None
        if self.status is None and not error:
            return None
        parts = [f"status {_text(status)}"] if self.status is not None else []
        return ": ".join([*parts, *([_text(error)] if error else [])])[:_LONGEST]


def is_accepted(status: object) -> bool:
    """Whether an item's status says that its record was accepted; a text such as ``HTTP/1.1 201 Created`` counts."""
    if isinstance(status, bool):
        return status
    if isinstance(status, str):
        words = status.removeprefix("HTTP/").split()
        status = next((int(word) for word in words if word.isascii() and word.isdigit()), None)
    return isinstance(status, (int, float)) and 200 <= status <= 299


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


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
