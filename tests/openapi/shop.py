"""A document that has a bit of everything, in both versions."""

from __future__ import annotations

from airgate.openapi import Document, load

SHOP = """
openapi: 3.1.0
info: {title: shop, version: "1"}
security: [{token: []}]
paths:
  /orders/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    put:
      operationId: reserveStock
      summary: Reserve
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1}}
        - {name: If-Match, in: header, schema: {type: string}}
        - {name: api_token, in: query, schema: {type: string, maxLength: 3}}
        - {name: day, in: query, schema: {type: string, format: date}}
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/Reservation'}}
      responses:
        200:
          description: done
          headers: {X-Left: {required: true, schema: {type: integer}}}
          content: {application/json: {schema: {$ref: '#/components/schemas/Tree'}}}
        4XX: {description: refused}
        204: {description: nothing}
    delete:
      deprecated: true
      security: []
      responses: {default: {description: done}}
components:
  schemas:
    Reservation:
      type: object
      additionalProperties: false
      required: [items, number]
      properties:
        number: {type: string, readOnly: true}
        note: {type: [string, "null"]}
        gift: {anyOf: [{type: integer}, {type: "null"}]}
        password: {type: string, minLength: 8}
        pin: {type: string, format: password, minLength: 4}
        items:
          type: array
          minItems: 1
          items:
            type: object
            required: [sku]
            properties: {sku: {type: string}, quantity: {type: integer, minimum: 1}}
    Tree:
      type: object
      properties:
        child: {$ref: '#/components/schemas/Tree'}
        size: {type: integer}
        hint: {type: string, writeOnly: true}
"""


def shop() -> Document:
    """The document."""
    return load(SHOP, "shop.yaml")


def with_parameter(parameter: str, path: str = "/x", version: str = "3.1.0") -> Document:
    """A document whose one operation ``get`` has this parameter, written as YAML in one line."""
    return load(
        f"""
openapi: {version}
info: {{title: t, version: "1"}}
paths:
  {path}:
    get:
      operationId: get
      parameters: [{parameter}]
      responses: {{200: {{description: ok}}}}
"""
    )


def with_body(content: str, version: str = "3.1.0", components: str = "{}") -> Document:
    """A document whose one operation ``post`` has this content of its body, written as YAML in one line."""
    return load(
        f"""
openapi: {version}
info: {{title: t, version: "1"}}
paths:
  /x:
    post:
      operationId: post
      requestBody: {{content: {content}}}
      responses: {{200: {{description: ok}}}}
components: {components}
"""
    )
