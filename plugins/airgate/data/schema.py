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
    becomes a list and ``object`` a struct. A column is nullable unless it is ``required`` and its type does not list
    ``null``; what lies within a list or struct is always nullable.

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
    required = set(source.get("required", ()))
    fields = _fields(source, "")
    if unknown := required.difference(field.name for field in fields):
        raise ValueError(f"/required: {', '.join(sorted(unknown))} is not among the properties")
    return pa.schema([field.with_nullable(field.nullable or field.name not in required) for field in fields])


def describe_schema(schema: pa.Schema) -> dict[str, str]:
    """The schema as column name -> Arrow type in text, ``!`` behind the types that are never null."""
    return {field.name: f"{field.type}{'' if field.nullable else '!'}" for field in schema}


def _fields(schema: Mapping[str, Any], pointer: str) -> list[pa.Field]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise ValueError(f"{pointer or '/'}: an object needs 'properties' to become columns")
    return [pa.field(name, *_type(inner, f"{pointer}/properties/{name}")) for name, inner in properties.items()]


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
        item, _ = _type(schema.get("items"), f"{pointer}/items")
        return pa.list_(item), nullable
    if kind == "object":
        # pyarrow takes an absent struct for one whose members are all null, and refuses it where one must not be.
        members = [field.with_nullable(True) for field in _fields(schema, pointer)]
        return pa.struct(members), nullable
    raise ValueError(f"{pointer}/type: {kind!r} is none of array, boolean, integer, number, object, string")
