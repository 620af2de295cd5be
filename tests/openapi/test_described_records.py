"""Where an operation's answer has its records."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.openapi import Document, load
from airgate.openapi.records import described_record

SERVICE = """
openapi: 3.1.0
info: {title: orders, version: "1"}
paths:
  /orders:
    get:
      operationId: listOrders
      responses:
        200:
          description: a page
          content:
            text/plain: {}
            application/json: {schema: {properties: {result: {$ref: "#/components/schemas/Page"}}}}
  /orders/bare:
    get: {operationId: bareOrders, responses: {2XX: {$ref: "#/components/responses/Bare"}}}
  /orders/export:
    get:
      operationId: exportOrders
      responses:
        default:
          description: a line each
          content: {"application/x-ndjson; charset=utf-8": {schema: {$ref: "#/components/schemas/Order"}}}
  /orders/export.csv:
    get:
      operationId: exportCsv
      responses:
        200:
          description: a list of lines
          content: {text/csv: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}
  /orders/text:
    get:
      operationId: exportText
      responses: {200: {description: text, content: {text/csv: {schema: {type: string}}}}}
components:
  responses:
    Bare: {description: a list, content: {application/json: {schema: {items: {$ref: "#/components/schemas/Order"}}}}}
  schemas:
    Page: {allOf: [{properties: {orders: {type: array, items: {$ref: "#/components/schemas/Order"}}}}]}
    Order: {type: object, properties: {id: {type: integer}}}
"""


@pytest.fixture(scope="module")
def document() -> Document:
    """Of a service that has pages and exports."""
    return load(SERVICE)


@pytest.mark.parametrize(
    ("operation", "records"),
    [
        ("listOrders", "result.orders"),
        ("bareOrders", ""),
        ("bareOrders", None),
        ("exportOrders", None),
        ("exportCsv", None),
    ],
)
def test_the_record_is_found(document: Document, operation: str, records: str | None) -> None:
    """In pages by its path, in exports as the line or what the list of lines holds; ranges and default count."""
    found = document.library.follow(described_record(document, operation, records))
    assert found.pointer == "/components/schemas/Order"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("listOrder", "data"), "operation 'listOrder' is not in openapi; did you mean 'listOrders'"),
        (("listOrders", "data"), "the answer 200 has no list of records at 'data'"),
        (("listOrders", "result.orders", "404"), "describes no answer 404, only 200"),
        (("exportCsv", "data"), "describes no JSON answer 200"),
        (("exportText", None), "what it says of the answer 200 is no record"),
    ],
)
def test_what_is_not_described_is_said(document: Document, arguments: Any, message: str) -> None:
    """With the operation and the answer."""
    with pytest.raises(ValueError, match=message):
        described_record(document, *arguments)
