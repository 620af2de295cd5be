"""JSON Schema to Arrow."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from airgate.data.shape.described import described_schema
from airgate.data.shape.schema import arrow_schema, describe_schema
from airgate.openapi import load


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
    ("column", "text"),
    [
        ({"type": "integer", "format": "int32"}, "int32"),
        ({"type": "integer", "format": "int64"}, "int64"),
        ({"type": "number", "format": "float"}, "float"),
        ({"type": "number", "format": "double"}, "double"),
        ({"type": "number", "format": "decimal"}, "decimal128(38, 9)"),
        ({"type": "string", "format": "decimal"}, "decimal128(38, 9)"),
        ({"type": "string", "format": "time"}, "time64[us]"),
        ({"type": "string", "format": "binary"}, "binary"),
        ({"type": "string", "format": "uuid"}, "string"),
        ({"type": "integer", "nullable": True}, "int64"),
        ({"enum": ["a", "b"]}, "string"),
        ({"enum": [1, None]}, "int64"),
        ({"const": True}, "bool"),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "int64"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "double"),
        ({"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]}, "struct<lat: double, by: string>"),
        ({"allOf": [{"$ref": "#/$defs/place"}, {"properties": {"alt": {"type": "integer"}}}]},
         "struct<lat: double, by: string, alt: int64>"),
        ({"type": "array", "items": {"$ref": "#/$defs/place"}}, "list<item: struct<lat: double, by: string>>"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "json"),
        ({"type": "object", "properties": {"map": {"type": "object", "additionalProperties": True}}}, "json"),
        ({"$ref": "#/$defs/tree"}, "json"),
        ({"type": "integer", "x-arrow-type": "int8"}, "int8"),
    ],
)  # fmt: skip
def test_each_form_of_a_column_is_understood(column: dict, text: str) -> None:
    """References, unions with null, enums, formats; what has names of its own or holds itself is JSON text."""
    place = {"type": "object", "properties": {"lat": {"type": "number"}, "by": {"type": "string"}}}
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    document = {"$defs": {"place": place, "tree": tree}, "properties": {"a": column}}
    assert describe_schema(arrow_schema(document)) == {"a": text}


def test_a_required_column_that_may_be_null_is_nullable() -> None:
    """However null is allowed; what is only ever written gets no column."""
    columns = {
        "a": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "b": {"type": "string", "nullable": True},
        "c": {"enum": ["x", None]},
        "d": {"type": "object", "additionalProperties": True},
        "password": {"type": "string", "writeOnly": True},
    }
    schema = arrow_schema({"properties": columns, "required": [*columns]})
    assert describe_schema(schema) == {"a": "int64", "b": "string", "c": "string", "d": "json!"}


@pytest.mark.parametrize(
    "column",
    [
        {},
        {"type": ["string", "integer"]},
        {"type": "array"},
        {"type": "object"},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    ],
)
def test_a_loose_reading_keeps_what_it_cannot_type_as_text(column: dict) -> None:
    """A strict one refuses it."""
    document = {"properties": {"a": column}}
    assert describe_schema(arrow_schema(document, loose=True)) == {"a": "json"}
    with pytest.raises(ValueError, match="/properties/a"):
        arrow_schema(document)


SERVICE = """
openapi: 3.1.0
info: {title: shop, version: "1"}
paths:
  /orders:
    get:
      operationId: listOrders
      responses:
        "200":
          description: a page
          content:
            application/json:
              schema:
                allOf:
                  - {$ref: "#/components/schemas/Page"}
                  - properties: {result: {properties: {orders: {$ref: "#/components/schemas/Orders"}}}}
components:
  schemas:
    Page: {type: object, properties: {next: {type: string}}}
    Thing: {type: object, properties: {id: {type: integer}}, required: [id]}
    Order:
      allOf:
        - {$ref: "#/components/schemas/Thing"}
        - properties:
            customer: {$ref: "#/components/schemas/Customer"}
            vague: {}
    Orders: {type: array, items: {$ref: "#/components/schemas/Order"}}
    Customer: {type: object, properties: {name: {type: string}, orders: {$ref: "#/components/schemas/Orders"}}}
"""


def test_an_openapi_document_describes_the_records() -> None:
    """Through allOf and references; what leads back to itself, or is vague, is text."""
    document = load(SERVICE)
    schema = described_schema(document, "listOrders", "result.orders")
    assert describe_schema(schema) == {"id": "int64!", "customer": "json", "vague": "json"}
    with pytest.raises(ValueError, match=r"operation 'listOrders', records at 'result.orders': .*/properties/vague"):
        described_schema(document, "listOrders", "result.orders", loose=False)
    with pytest.raises(ValueError, match="has no list of records at 'data'"):
        described_schema(document, "listOrders")
    with pytest.raises(ValueError, match="describes no answer 404, only 200"):
        described_schema(document, "listOrders", status="404")


def test_schemas_that_all_name_each_other_have_an_end() -> None:
    """Thirty schemas, each holding all: without a bound there would be more ways through them than atoms."""
    names = [f"S{number}" for number in range(30)]
    everything = {name: {"$ref": f"#/components/schemas/{name}"} for name in names}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {
            "/x": {
                "get": {
                    "operationId": "x",
                    "responses": {
                        "200": {
                            "description": "d",
                            "content": {"application/json": {"schema": {"type": "array", "items": everything["S0"]}}},
                        }
                    },
                }
            }
        },
        "components": {"schemas": {name: {"type": "object", "properties": everything} for name in names}},
    }
    schema = described_schema(load(json.dumps(document)), "x", "")
    assert set(describe_schema(schema).values()) == {"json"}


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
        (
            {"properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "string"}]}}},
            "/properties/a/oneOf: a column needs",
        ),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "/properties/a/\\$ref: the document has no #/nowhere"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "/properties/a/\\$ref: 'other.json' is not within"),
        ({"$ref": "#"}, "/\\$ref: # leads back to itself"),
        ({"properties": {"a/b": {"type": "nonsense"}}}, "/properties/a~1b/type: 'nonsense' is none of"),
        ({"properties": {"a": {"x-arrow-type": "int7"}}}, "/properties/a/x-arrow-type: 'int7' is not"),
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
