"""The Arrow types of columns: which one a name means, and which columns hold JSON text."""

from __future__ import annotations

import re

import pyarrow as pa

_JSON_TEXT = {b"airgate": b"json"}

_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=([\w/+:-]+))?\]")
_DECIMAL = re.compile(r"decimal128\((\d+), (\d+)\)")
_TIME = re.compile(r"time(32|64)\[(s|ms|us|ns)\]")


def as_json_text(name: str, nullable: bool = True) -> pa.Field:
    """A text column whose values are the JSON text of what came, whatever that was; null stays null."""
    return pa.field(name, pa.string(), nullable, metadata=_JSON_TEXT)


def is_json_text(field: pa.Field) -> bool:
    """Whether a column holds JSON text."""
    return bool(field.metadata and field.metadata.get(b"airgate") == b"json")


def named_type(name: str) -> pa.DataType:
    """The scalar type that Arrow writes as that name, such as ``int8`` or ``timestamp[us, tz=UTC]``.

    Raises:
        ValueError: When it is none that a column of records can have.
    """
    if found := _TIMESTAMP.fullmatch(name):
        return pa.timestamp(found[1], tz=found[2])
    if found := _DECIMAL.fullmatch(name):
        return pa.decimal128(int(found[1]), int(found[2]))
    if found := _TIME.fullmatch(name):
        return pa.time32(found[2]) if found[1] == "32" else pa.time64(found[2])
    try:
        return pa.type_for_alias(name.partition("[")[0] if name.startswith("date") else name)
    except (ValueError, KeyError):
        raise ValueError(f"{name!r} is not the name of an Arrow type that a column can have") from None


def no_rows(schema: pa.Schema) -> pa.Table:
    """A table of a schema without a row. ``schema.empty_table()`` would import pandas, which takes 0.2 s (measured)."""
    return pa.Table.from_batches([], schema=schema)


def is_text(of: pa.DataType) -> bool:
    """Whether a type is text of any layout."""
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))
