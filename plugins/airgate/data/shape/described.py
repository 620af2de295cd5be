"""The records that an OpenAPI document says an operation answers with."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from airgate.data.shape.schema import arrow_schema
from airgate.openapi import Document
from airgate.openapi.library import Library, Node
from airgate.openapi.records import described_record

_ANYTHING = {"type": "object", "additionalProperties": True}
_MOST = 500
"""Schemas within one column; documents whose schemas all name each other would have no end."""


def described_schema(
    document: Document, operation_id: str, records: str | None = "data", *, status: str = "200", loose: bool = True
) -> pa.Schema:
    """The Arrow schema of the records in an operation's answer.

    References are followed, into other files of the document, too. What leads back to itself becomes JSON text.

    Args:
        document: The service's OpenAPI document.
        operation_id: The operation that gives a page, or an export.
        records: Dotted path of the list of records in the answer; empty for a bare list, None for an export whose lines
            are records.
        status: Which of its answers.
        loose: Whether a value that has no single type becomes JSON text instead of being refused: documents are often
            vague about fields that nobody needs.

    Raises:
        ValueError: When there is no such operation or it does not describe such an answer.
    """
    record = described_record(document, operation_id, records, status)
    try:
        return arrow_schema(_Inlining(document.library).record(record, ()), loose=loose)
    except ValueError as error:
        place = "its lines" if records is None else f"records at {records!r}"
        raise ValueError(f"operation {operation_id!r}, {place}: {error}") from None


class _Inlining:
    """Schemas with their references replaced by what they name."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._left = _MOST

    def record(self, node: Node, above: tuple[str, ...]) -> dict[str, Any]:
        """The schema of a record, each of its columns within bounds of its own."""
        target = self._library.follow(node)
        if target.reference in above:
            return {}
        schema = {name: value for name, value in target.value.items() if name != "allOf"}
        above = (*above, target.reference)
        if parts := target.value.get("allOf"):
            schema["allOf"] = [self.record(target.child("allOf", place), above) for place in range(len(parts))]
        if properties := target.get("properties"):
            schema["properties"] = {}
            for name in properties.value:
                self._left = _MOST
                schema["properties"][name] = self._inlined(properties.child(name), above)
        return schema

    def _inlined(self, node: Node, above: tuple[str, ...]) -> Any:
        target = self._library.follow(node)
        self._left -= 1
        if target.reference in above or self._left < 0:
            return _ANYTHING
        if not isinstance(target.value, dict):
            return target.value
        above = (*above, target.reference)
        schema = dict(target.value)
        if properties := target.get("properties"):
            schema["properties"] = {name: self._inlined(properties.child(name), above) for name in properties.value}
        for word in ("items", "additionalProperties"):
            if inner := target.get(word):
                schema[word] = self._inlined(inner, above)
        for word in ("oneOf", "anyOf", "allOf"):
            if choices := target.get(word):
                schema[word] = [self._inlined(choices.child(place), above) for place in range(len(choices.value))]
        return schema
