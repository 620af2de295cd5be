"""A schema kept as a file beside the data, so that a later read is locked to the same one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airgate.data.shape.arrowtypes import is_json_text
from airgate.data.shape.schema import arrow_schema
from airgate.data.store.storage import Folder

FILE_NAME = "schema.json"

_PLAIN: dict[pa.DataType, dict[str, str]] = {
    pa.bool_(): {"type": "boolean"},
    pa.int64(): {"type": "integer"},
    pa.int32(): {"type": "integer", "format": "int32"},
    pa.float64(): {"type": "number"},
    pa.float32(): {"type": "number", "format": "float"},
    pa.string(): {"type": "string"},
    pa.date32(): {"type": "string", "format": "date"},
    pa.timestamp("us", tz="UTC"): {"type": "string", "format": "date-time"},
    pa.time64("us"): {"type": "string", "format": "time"},
    pa.binary(): {"type": "string", "format": "binary"},
}


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A JSON Schema file in a folder; the folder of a data set, or one that several runs share."""

    folder: Folder
    name: str = FILE_NAME

    def load(self) -> pa.Schema | None:
        """The schema; None while there is no file.

        Raises:
            ValueError: When the file is no schema that ``arrow_schema`` reads.
        """
        try:
            content = self.folder.read(self.name)
        except FileNotFoundError:
            return None
        where = f"{self.folder.uri}/{self.name}"
        try:
            return arrow_schema(json.loads(content))
        except json.JSONDecodeError as error:
            raise ValueError(f"schema file {where} is not JSON: {error}") from None
        except ValueError as error:
            raise ValueError(f"schema file {where}: {error}") from None

    def save(self, schema: pa.Schema) -> None:
        """Write the schema, whole or not at all; a file that says the same already is left alone."""
        content = json.dumps(json_schema(schema), indent=1).encode()
        try:
            if self.folder.read(self.name) == content:
                return
        except FileNotFoundError:
            pass
        self.folder.write(self.name, content)


def json_schema(schema: pa.Schema) -> dict[str, Any]:
    """The JSON Schema that ``arrow_schema`` reads as this schema again.

    A type that JSON Schema has no word for is named by ``x-arrow-type`` beside the nearest one.

    Raises:
        ValueError: When a column has a type that records in JSON cannot fill.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {field.name: _document(field) for field in schema},
        "required": [field.name for field in schema if not field.nullable],
    }


def _document(field: pa.Field) -> dict[str, Any]:
    if is_json_text(field):
        return {"x-arrow-type": "json"} if field.nullable else {"type": "object", "additionalProperties": True}
    document = _type(field.type, field.name)
    return document | {"type": [document["type"], "null"]} if field.nullable else document


def _type(of: pa.DataType, name: str) -> dict[str, Any]:
    if of in _PLAIN:
        return dict(_PLAIN[of])
    if pa.types.is_list(of):
        return {"type": "array", "items": _type(of.value_type, f"{name}[]")}
    if pa.types.is_struct(of):
        return {"type": "object", "properties": {inner.name: _type(inner.type, f"{name}.{inner.name}") for inner in of}}
    if pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_decimal(of):
        return {"type": "integer" if pa.types.is_integer(of) else "number", "x-arrow-type": str(of)}
    if pa.types.is_temporal(of) or pa.types.is_large_string(of):
        return {"type": "string", "x-arrow-type": str(of)}
    raise ValueError(f"column {name}: records in JSON cannot fill the type {of}")
