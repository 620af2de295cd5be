"""Requests held against JSON Schemas and OpenAPI operations; faults are named by part and JSON pointer."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from airgate.edge.json_body import BadBody
from airgate.edge.validation import Rules, refused
from airgate.edge.validation_rules import CannotCheck, compile_rules
from airgate.edge.validation_schema import SchemaFiles
from airgate.spec.extension import Validate
from airgate.spec.message import Request

ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"$ref": "#/$defs/id"},
        "mail": {"type": "string", "format": "email"},
        "token": {"maxLength": 3},
    },
    "additionalProperties": False,
    "$defs": {"id": {"type": "integer", "minimum": 1}},
}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/orders/{id}": {
            "post": {
                "operationId": "changeOrder",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "day", "in": "query", "required": True, "schema": {"type": "string", "format": "date"}},
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"name": "X-Page", "in": "header", "schema": {"type": "integer", "maximum": 9}},
                    {"name": "sid", "in": "cookie", "schema": {"type": "string", "minLength": 3}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "schemas/order.json"}}, "text/csv": {}},
                },
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "order.json").write_text(json.dumps(ORDER))
    (tmp_path / "openapi.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "broken.json").write_text(json.dumps(DOCUMENT).replace("order.json", "nope.json"))
    return tmp_path


def rules(folder: Path, document: str | None = None, **settings: Any) -> Rules:
    return compile_rules(convert(settings, Validate), SchemaFiles(folder), document)


def request(query: bytes = b"", **headers: str) -> Request:
    named = {"content_type": "application/json", **headers}
    return Request(
        "POST", b"/orders/7", query, [(name.replace("_", "-").encode(), each.encode()) for name, each in named.items()]
    )


def places(found: Rules, sent: Request, body: object, parameters: dict[str, str] | None = None) -> list[str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [f"{fault.part}{fault.pointer}" for fault in found.faults(sent, parameters or {}, raw)]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"id": 1}, []),
        ({"id": 0}, ["body/id"]),
        ({"id": "1"}, ["body/id"]),
        ({"id": 1, "mail": "nobody"}, ["body/mail"]),
        ({"id": 1, "extra": 1, "more/x": 2}, ["body/extra", "body/more~1x"]),
        ({}, ["body"]),
        ([], ["body"]),
    ],
)
def test_a_body_is_held_against_a_schema_in_a_file(folder: Path, body: object, faults: list[str]) -> None:
    """The reference leads to a file next to the gateway's, and on within it."""
    assert places(rules(folder, body={"$ref": "schemas/order.json"}), request(), body) == faults


@pytest.mark.parametrize(
    ("sent", "body", "status"),
    [
        (request(), b"", 400),
        (request(), b"{", 400),
        (request(), b'{"id": 1, "id": 2}', 400),
        (request(), b'{"a": {"b": 1, "b": 1}}', 400),
        (request(), b'{"id": NaN}', 400),
        (request(), b'{"id": 1e999}', 400),
        (request(), b"\xff", 400),
        (request(), "\ufeff{}".encode(), 400),
        (request(), b"[" * 100_000, 400),
        (request(), b'{"id": ' + b"1" * 5000 + b"}", 400),
        (request(content_type="text/plain"), b"{}", 415),
        (request(content_type=""), b"{}", 415),
        (request(content_encoding="gzip"), b"{}", 415),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(
    folder: Path, sent: Request, body: bytes, status: int
) -> None:
    """What is not plain JSON, or has a name twice, is refused whatever the schema says."""
    with pytest.raises(BadBody) as caught:
        rules(folder, body=True).faults(sent, {}, body)
    assert caught.value.answer.status == status


def test_query_and_headers_are_read_as_the_types_that_the_schema_names(folder: Path) -> None:
    """Texts count as numbers, truths and lists where the schema asks for them; headers have small letters."""
    found = rules(
        folder,
        query={
            "properties": {
                "limit": {"type": "integer", "maximum": 9},
                "tag": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["limit"],
        },
        headers={"properties": {"x-dry-run": {"type": "boolean"}}, "required": ["x-tenant"]},
    )
    assert places(found, request(b"limit=9&tag=1&tag=2", x_tenant="a", x_dry_run="true"), b"") == []
    assert places(found, request(b"limit=10&tag=x", x_dry_run="2"), b"") == [
        "query/limit",
        "query/tag/0",
        "headers/x-dry-run",
        "headers",
    ]
    assert places(found, request(b"limit=1&limit=2", x_tenant="a"), b"") == ["query/limit"]


@pytest.mark.parametrize(
    ("sent", "parameters", "body", "faults"),
    [
        (request(b"day=2026-01-31&tags=1&tags=2", x_page="9", cookie="sid=abc"), {"{id}": "7"}, {"id": 1}, []),
        (request(b"day=2026-02-31"), {"{id}": "7"}, {"id": 1}, ["query/day"]),
        (request(b""), {"{id}": "x"}, {"id": 1}, ["path/id", "query/day"]),
        (
            request(b"day=2026-01-31&tags=a", x_page="10", cookie="sid=a"),
            {"{id}": "7"},
            {"id": 0},
            ["query/tags/0", "headers/X-Page", "headers/sid", "body/id"],
        ),
        (request(b"day=2026-01-31", content_type="text/csv"), {"{id}": "7"}, b"a,b", []),
    ],
)
def test_a_request_is_held_against_an_operation(
    folder: Path, sent: Request, parameters: dict[str, str], body: object, faults: list[str]
) -> None:
    """Path, query, header and cookie parameters and the body, by the OpenAPI document."""
    assert places(rules(folder, "openapi.json", operation="changeOrder"), sent, body, parameters) == faults


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"body": {"$ref": "schemas/nope.json"}}, "body"),
        ({"body": {"$ref": "../secret.json"}}, "body"),
        ({"query": {"$ref": "https://example.com/schema.json"}}, "query"),
        ({"headers": {"properties": {"a": {"$ref": "#/$defs/nope"}}}}, "headers"),
        ({"operation": "changeOrdr", "document": "openapi.json"}, "operation"),
        ({"operation": "changeOrder", "document": "nope.json"}, "document"),
        ({"operation": "changeOrder", "document": "broken.json"}, "document"),
    ],
)
def test_what_is_not_there_is_told_at_the_start(folder: Path, settings: dict[str, Any], key: str) -> None:
    """A file, an operation or the end of a reference that is missing is no surprise for the first request."""
    with pytest.raises(CannotCheck) as caught:
        rules(folder, **settings)
    assert caught.value.key == key


def test_the_answer_lists_the_faults_and_shows_no_secret(folder: Path) -> None:
    """422 when only the body's content is wrong; a value whose name is a secret's is not repeated."""
    found = rules(folder, body=ORDER).faults(request(), {}, b'{"id": 0, "token": "hunter2hunter2"}')
    answer = refused(found)
    told = json.loads(answer.body)
    assert (answer.status, told["status"], told["title"]) == (422, 422, "Unprocessable Content")
    assert told["errors"][0] == {"in": "body", "pointer": "/id", "detail": "must be >= 1, not 0"}
    assert "hunter2" not in answer.body.decode()
