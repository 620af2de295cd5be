"""JSON Schema to Arrow."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from airgate.data.schema import arrow_schema, describe_schema


def test_types_formats_and_nulls_become_columns() -> None:
    """Each JSON type has its Arrow type; required and never null means not nullable."""
    schema = arrow_schema(
        {
            "properties": {
                "id": {"type": "integer"},
                "price": {"type": ["number", "null"]},
                "name": {"type": "string"},
                "on": {"type": "string", "format": "date"},
                "at": {"type": "string", "format": "date-time"},
                "ok": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
            },
            "required": ["id", "price"],
        }
    )
    assert describe_schema(schema) == {
        "id": "int64!",
        "price": "double",
        "name": "string",
        "on": "date32[day]",
        "at": "timestamp[us, tz=UTC]",
        "ok": "bool",
        "tags": "list<item: string>",
        "place": "struct<lat: double>",
    }


def test_a_file_and_an_arrow_schema_do_as_well(tmp_path: Path) -> None:
    """A path is read, an Arrow schema is taken as it is."""
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"properties": {"a": {"type": "integer"}}}))
    assert arrow_schema(file) == arrow_schema(str(file)) == pa.schema([("a", pa.int64())])
    assert arrow_schema(pa.schema([("a", pa.int8())])) == pa.schema([("a", pa.int8())])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "/: an object needs 'properties'"),
        ({"properties": {"a": {}}}, "/properties/a/type: a column needs exactly one type"),
        ({"properties": {"a": {"type": ["string", "integer"]}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": "null"}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": "text"}}}, "'text' is none of array"),
        ({"properties": {"a": {"type": "array"}}}, "/properties/a/items"),
        ({"properties": {"a": {"type": "object"}}}, "/properties/a: an object needs"),
        ({"properties": {"a": {"type": "integer"}}, "required": ["b"]}, "/required: b is not among"),
        ([1], "JSON object"),
    ],
)
def test_what_cannot_be_a_column_is_named(document, message) -> None:
    """The error holds the JSON pointer of the wrong place."""
    with pytest.raises(ValueError, match=message):
        arrow_schema(document)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    """The path stands in the error."""
    file = tmp_path / "s.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"s\.json is not JSON"):
        arrow_schema(file)
