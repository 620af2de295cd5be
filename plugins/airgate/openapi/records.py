"""Where the answer of an operation has its records, as its document describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airgate.openapi.library import Library, Node
from airgate.openapi.styles import is_json

if TYPE_CHECKING:
    from airgate.openapi.document import Document

_LINES = frozenset(
    {
        *("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl"),
        *("application/jsonlines", "application/x-jsonlines", "application/json-lines", "text/csv", "application/csv"),
    }
)
"""Media types of exports. What a document says of their schema is commonly that of a line, or of a list of them."""


def described_record(document: Document, operation_id: str, records: str | None, status: str = "200") -> Node:
    """The schema of one record in an operation's answer.

    Args:
        document: The service's.
        operation_id: The operation that gives the records.
        records: Dotted path of the list of records in the answer; empty for a bare list, None for an export whose lines
            are records.
        status: Which of its answers.

    Raises:
        ValueError: There is no such operation, or it does not describe such an answer.
    """
    operation, library = document.operation(operation_id), document.library
    where = f"operation {operation_id!r}"
    described = next(
        (operation.responses[name] for name in (status, "2XX", "default") if name in operation.responses), None
    )
    if described is None:
        raise ValueError(f"{where} describes no answer {status}, only {', '.join(operation.responses) or 'none'}")
    content = library.follow(described).get("content")
    media = _media_type(content, lines=records is None)
    schema = content.child(media).get("schema") if content and media else None
    if schema is None:
        raise ValueError(f"{where} describes no JSON{' or CSV' if records is None else ''} answer {status}")
    if records is None:
        record = _below(library, schema, "items") or schema
        if not _is_object(library, record):
            raise ValueError(
                f"{where}: what it says of the answer {status} is no record ({schema.pointer}); name an operation that "
                "describes one, and where its records are"
            )
        return record
    found: Node | None = schema
    for name in filter(None, records.split(".")):
        found = _below(library, found, "properties", name) if found else None
    found = _below(library, found, "items") if found else None
    if found is None:
        raise ValueError(f"{where}: the answer {status} has no list of records at {records!r} ({schema.pointer})")
    return found


def _media_type(content: Node | None, *, lines: bool) -> str | None:
    names: list[str] = [] if content is None else list(content.value)
    exports = [name for name in names if name.partition(";")[0].strip().lower() in _LINES] if lines else []
    return next(iter([*exports, *filter(is_json, names)]), None)


def _is_object(library: Library, node: Node) -> bool:
    words = ("properties", "additionalProperties")
    return any(word in part.value for part in _parts(library, node) for word in words)


def _parts(library: Library, node: Node) -> Iterator[Node]:
    """The schema that a node means, and those that it unites."""
    schema = library.follow(node)
    yield schema
    for place in range(len(schema.value.get("allOf", ()))):
        yield from _parts(library, schema.child("allOf", place))


def _below(library: Library, node: Node, *keys: str) -> Node | None:
    for part in _parts(library, node):
        value: Node | None = part
        for key in keys:
            value = value.get(key) if value else None
        if value is not None:
            return value
    return None
