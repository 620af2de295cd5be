"""What OpenAPI makes of JSON Schema: read-only properties, discriminators, nullable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.openapi import Document, OperationError, load

VERSIONS = ["3.0.3", "3.1.0"]
SCHEMAS: dict[str, Any] = {
    "Id": {"type": "string", "readOnly": True},
    "Base": {"type": "object", "properties": {"id": {"type": "string", "readOnly": True}, "name": {"type": "string"}}},
    "Referred": {
        "type": "object",
        "required": ["id", "name"],
        "properties": {"id": {"$ref": "#/components/schemas/Id"}, "name": {"type": "string"}},
    },
    "OtherBranch": {
        "allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["id", "name"]}],
    },
    "Outside": {"allOf": [{"$ref": "#/components/schemas/Base"}], "required": ["id", "name"]},
    "Nested": {"allOf": [{"allOf": [{"$ref": "#/components/schemas/Base"}]}, {"required": ["id", "name"]}]},
    "Wrapped": {
        "type": "object",
        "required": ["id", "name"],
        "properties": {"id": {"allOf": [{"$ref": "#/components/schemas/Id"}]}, "name": {}},
    },
    "Pet": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}},
    "Cat": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"type": "object", "required": ["lives"], "properties": {"lives": {"type": "integer"}}},
        ]
    },
    "Dog": {
        "allOf": [
            {"$ref": "#/components/schemas/Pet"},
            {"type": "object", "required": ["bark"], "properties": {"bark": {"type": "boolean"}}},
        ]
    },
    "Any": {
        "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat", "dog": "Dog"}},
    },
    "Implied": {
        "anyOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "kind"},
    },
    "Secret": {
        "allOf": [
            {"type": "object", "properties": {"pin": {"type": "string", "writeOnly": True}, "a": {"type": "integer"}}},
            {"required": ["pin", "a"]},
        ]
    },
    "Loop": {"allOf": [{"$ref": "#/components/schemas/Loop"}, {"required": ["a"]}], "type": "object"},
    "Nullable": {"type": "object", "properties": {"x": {"type": "string", "nullable": True}}},
}


def document(schema: str, version: str) -> Document:
    """A document whose operation takes and gives this schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    post = {
        "operationId": "post",
        "parameters": [{"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "", "content": content}},
    }
    return load(
        json.dumps(
            {
                "openapi": version,
                "info": {"title": "t", "version": "1"},
                "paths": {"/x": {"post": post}},
                "components": {"schemas": SCHEMAS},
            }
        )
    )


def sent(schema: str, version: str, body: Any) -> Any:
    """The body as it would be sent."""
    return document(schema, version).operation("post").adding_key("idempotency-key").prepare(body=body).json


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("schema", ["Referred", "OtherBranch", "Outside", "Nested", "Wrapped"])
def test_a_required_property_that_is_read_only_is_not_demanded(schema: str, version: str) -> None:
    """Wherever the schema says so: through a reference, or in another branch than the one that demands it."""
    assert sent(schema, version, {"name": "x"}) == {"name": "x"}
    with pytest.raises(OperationError, match=r"body/name: is required$"):
        sent(schema, version, {})
    with pytest.raises(OperationError, match="body/id: must not be in a request: it is readOnly"):
        sent(schema, version, {"name": "x", "id": "1"})


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_need_not_have_what_is_write_only(version: str) -> None:
    """The same, the other way."""
    operation = document("Secret", version).operation("post")
    operation.check_response(200, {"Content-Type": "application/json"}, {"a": 1})
    with pytest.raises(OperationError, match=r"response/body/a: is required$"):
        operation.check_response(200, {"Content-Type": "application/json"}, {})
    assert sent("Secret", version, {"a": 1, "pin": "1"})
    with pytest.raises(OperationError, match="body/pin: is required"):
        sent("Secret", version, {"a": 1})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("schema", "body", "expected"),
    [
        ("Any", {"kind": "cat", "lives": 9}, None),
        ("Any", {"kind": "dog", "bark": True}, None),
        ("Any", {"kind": "Dog", "bark": True}, None),
        ("Any", {"kind": "cat", "bark": True}, "body/lives: is required"),
        ("Any", {"kind": "cow", "lives": 1}, "body/kind: must be one of 'cat', 'dog', .*, not 'cow'"),
        ("Implied", {"kind": "Cat", "lives": 9}, None),
        ("Implied", {"kind": "Cat", "bark": True}, "body/lives: is required"),
        ("Implied", {"kind": "cow", "bark": True}, "body/kind: must be one of 'Cat', 'Dog'"),
        ("Implied", {"lives": 9}, "body/kind: is required"),
    ],
)
def test_a_discriminator_chooses_the_alternative(schema: str, body: Any, expected: str | None, version: str) -> None:
    """In both versions, by its mapping or by the names of the schemas; a wrong name is named."""
    if expected is None:
        assert sent(schema, version, body) == body
        return
    with pytest.raises(OperationError, match=expected):
        sent(schema, version, body)


def test_an_alternative_that_a_template_chooses_is_left_open() -> None:
    """While the DAG is parsed nobody knows which it will be."""
    operation = document("Any", "3.1.0").operation("post").adding_key()
    operation.check_literals({"body": {"kind": "{{ kind }}", "lives": 9}})


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    """It says that it is broken, or what is missing, and does not run for ever."""
    with pytest.raises(ValueError):
        sent("Loop", "3.1.0", {})


@pytest.mark.parametrize(("version", "expected"), [("3.0.3", None), ("3.1.0", "body/x: must be a string, not null$")])
def test_null_is_not_said_to_be_allowed_where_it_is_not(version: str, expected: str | None) -> None:
    """OpenAPI 3.1 knows no nullable."""
    if expected is None:
        assert sent("Nullable", version, {"x": None}) == {"x": None}
        return
    with pytest.raises(OperationError, match=expected):
        sent("Nullable", version, {"x": None})


@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key", None])
def test_a_key_that_the_call_gets_is_not_demanded(header: str | None) -> None:
    """Whoever sends it takes care of it; given as an argument it is sent as such."""
    operation = document("Pet", "3.1.0").operation("post")
    with pytest.raises(OperationError, match="header/Idempotency-Key: is required"):
        operation.prepare(kind="cat")
    with pytest.raises(OperationError, match="header/Idempotency-Key: is required"):
        operation.check_literals({"kind": "cat"})
    keyed = operation.adding_key(header)
    keyed.check_literals({"kind": "cat"})
    assert keyed.prepare(kind="cat").headers == {}
    assert keyed.prepare(kind="cat", idempotency_key="k").headers == {"Idempotency-Key": "k"}


def test_another_header_is_still_demanded() -> None:
    """Only the one that carries the key is spared."""
    with pytest.raises(OperationError, match="header/Idempotency-Key: is required"):
        document("Pet", "3.1.0").operation("post").adding_key("X-Key").prepare(kind="cat")
