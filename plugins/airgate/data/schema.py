"""What records look like: a JSON Schema, read as the Arrow schema that a read is locked to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

SchemaSource: TypeAlias = pa.Schema | Mapping[str, Any] | str | Path
"""An Arrow schema, a JSON Schema of one record, or the path of a file that holds one."""

_SCALARS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
}
_TEXT_FORMATS: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "date-time": pa.timestamp("us", tz="UTC"),
}


def arrow_schema(source: SchemaSource) -> pa.Schema:
    """The Arrow schema of a record.

    ``integer`` becomes int64, ``number`` float64, ``boolean`` bool, ``string`` string; a string of format ``date``
    becomes date32 and of format ``date-time`` timestamp[us, UTC] (a time without an offset is taken as UTC). ``array``
    becomes a list and ``object`` a struct. A property is nullable unless it is ``required`` and its type does not list
    ``null``.

    Raises:
        ValueError: When the schema uses what Arrow columns cannot hold, naming the place as a JSON pointer.
        OSError: When the file cannot be read.
    """
    if isinstance(source, pa.Schema):
        return source
    if isinstance(source, (str, Path)):
        try:
            source = json.loads(Path(source).read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"schema file {source} is not JSON: {error}") from None
    if not isinstance(source, Mapping):
        raise ValueError(f"a schema must be a JSON object, not {type(source).__name__}")  # noqa: TRY004
    return pa.schema(_fields(source, ""))


def describe_schema(schema: pa.Schema) -> dict[str, str]:
    """The schema as column name -> Arrow type in text, ``!`` behind the types that are never null."""
    return {field.name: f"{field.type}{'' if field.nullable else '!'}" for field in schema}


def _fields(schema: Mapping[str, Any], pointer: str) -> list[pa.Field]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise ValueError(f"{pointer or '/'}: an object needs 'properties' to become columns")
    required = set(schema.get("required", ()))
    if unknown := required - set(properties):
        raise ValueError(f"{pointer}/required: {', '.join(sorted(unknown))} is not among the properties")
    fields = []
    for name, inner in properties.items():
        kind, nullable = _type(inner, f"{pointer}/properties/{name}")
        fields.append(pa.field(name, kind, nullable=nullable or name not in required))
    return fields


def _type(schema: Any, pointer: str) -> tuple[pa.DataType, bool]:
    if not isinstance(schema, Mapping):
        raise ValueError(f"{pointer}: must be an object with a 'type'")  # noqa: TRY004
    named = schema.get("type")
    types = [named] if isinstance(named, str) else list(named or ())
    nullable = "null" in types
    types = [kind for kind in types if kind != "null"]
    if len(types) != 1:
        raise ValueError(f"{pointer}/type: a column needs exactly one type besides null, not {named!r}")
    kind = types[0]
    if kind == "string":
        return _TEXT_FORMATS.get(schema.get("format", ""), pa.string()), nullable
    if kind in _SCALARS:
        return _SCALARS[kind], nullable
    if kind == "array":
        item, item_nullable = _type(schema.get("items"), f"{pointer}/items")
        return pa.list_(pa.field("item", item, nullable=item_nullable)), nullable
    if kind == "object":
        return pa.struct(_fields(schema, pointer)), nullable
    raise ValueError(f"{pointer}/type: {kind!r} is none of array, boolean, integer, number, object, string")
