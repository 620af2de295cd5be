"""The OpenAPI document of a caller: the DAGs that it may start, each with its params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow.utils.session import create_session

from airgate import __version__
from airgate.ingress.callers import Caller, may_start
from airgate.ingress.dags import IngressDag, IngressDags
from airgate.ingress.params import MISSING
from airgate.ingress.settings import IngressSettings

Document = dict[str, Any]

_RUN: Document = {
    "type": "object",
    "required": ["id", "dag_id", "state", "created_at", "started_at", "ended_at", "progress", "percent", "links"],
    "properties": {
        "id": {"type": "string"},
        "dag_id": {"type": "string"},
        "state": {"enum": ["queued", "running", "success", "failed"]},
        "created_at": {"type": "string", "format": "date-time"},
        "started_at": {"type": ["string", "null"], "format": "date-time"},
        "ended_at": {"type": ["string", "null"], "format": "date-time"},
        "cancelled_at": {"type": "string", "format": "date-time"},
        "progress": {
            "type": "object",
            "required": ["done", "total"],
            "properties": {"done": {"type": "integer"}, "total": {"type": "integer"}},
        },
        "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "result": {"description": "What the task gave that is marked as the DAG's result."},
        "problem": {"type": "object", "description": "Why it failed (RFC 9457)."},
        "links": {"type": "object", "properties": {"self": {"type": "string"}, "runs": {"type": "string"}}},
    },
}
_BRIEF_ONLY = frozenset({"progress", "percent"})
_LISTED: Document = {
    "type": "object",
    "required": ["runs", "next"],
    "properties": {
        "runs": {
            "type": "array",
            "items": {**_RUN, "required": [name for name in _RUN["required"] if name not in _BRIEF_ONLY]},
        },
        "next": {"type": ["string", "null"]},
    },
}
_PROBLEM: Document = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "header": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_SAID = {
    400: "A header or the body cannot be read.",
    401: "Nobody says who calls.",
    403: "Airflow does not allow it.",
    404: "There is nothing, or nothing for this caller.",
    408: "The body is too slow.",
    409: "The run, or the DAG, is not in a state for it.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "The params do not fit, or the key stands for others.",
    429: "Too many requests.",
    503: "It cannot be done now.",
}
_ALWAYS = (401, 403, 404, 429, 503)


def describe(dags: IngressDags, caller: Caller, settings: IngressSettings, prefix: str) -> Document:
    """The document; asks Airflow's database, so it blocks.

    Args:
        dags: Where DAGs are found.
        caller: For whom.
        settings: Those of the way in.
        prefix: The path that all of its paths stand below.
    """
    paths: Document = {}
    with create_session(scoped=False) as session:
        for dag_id in dags.ids(session):
            if may_start(caller, dag_id) and (found := dags.find(dag_id, session)) and not found.why_not:
                paths.update(_paths(dag_id, found, settings))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Airgate: runs", "version": __version__},
        "servers": [{"url": prefix or "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Run": _RUN, "Runs": _LISTED, "Problem": _PROBLEM},
            "parameters": {"Prefer": _header("Prefer", {"type": "string"}, "wait=N: seconds to wait for the end.")},
        },
    }


def _paths(dag_id: str, found: IngressDag, settings: IngressSettings) -> Document:
    path = f"/dags/{quote(dag_id, safe='')}/runs"
    prefer = {"$ref": "#/components/parameters/Prefer"}
    name = found.dag.dag_display_name or dag_id
    key = _header("Idempotency-Key", {"type": "string", "minLength": 1, "maxLength": 255}, "Names the run.")
    run_id = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
    limit = {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    return {
        path: {
            "post": {
                "operationId": f"start_{dag_id}",
                "summary": f"Start: {name}",
                **({"description": found.dag.doc_md} if found.dag.doc_md else {}),
                "parameters": [{**key, "required": settings.key_required}, prefer],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _body(found)}}},
                "responses": _responses({200: "Run", 202: "Run"}, 400, 408, 409, 413, 415, 422),
            },
            "get": {
                "operationId": f"list_{dag_id}",
                "summary": f"List own runs: {name}",
                "parameters": [
                    {"name": "limit", "in": "query", "schema": limit},
                    {"name": "cursor", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": _responses({200: "Runs"}, 400),
            },
        },
        f"{path}/{{run_id}}": {
            "parameters": [run_id],
            "get": {
                "operationId": f"show_{dag_id}",
                "summary": f"Look at a run: {name}",
                "parameters": [prefer],
                "responses": {**_responses({200: "Run"}), "304": {"description": "As it was."}},
            },
            "delete": {
                "operationId": f"cancel_{dag_id}",
                "summary": f"Cancel a run: {name}",
                "responses": _responses({200: "Run", 202: "Run"}, 409),
            },
        },
    }


def _body(found: IngressDag) -> Document:
    properties, required = {}, []
    for name, param in found.params.items():
        schema = dict(param.schema)
        if param.description and "description" not in schema:
            schema["description"] = param.description
        if param.given_by_default and param.default is not MISSING:
            schema["default"] = param.default
        else:
            required.append(name)
        properties[name] = schema
    body: Document = {"type": "object", "properties": properties, "additionalProperties": found.unknown_allowed}
    return {**body, "required": required} if required else body


def _responses(good: Mapping[int, str], *refused: int) -> Document:
    answers: Document = {}
    for status, schema in good.items():
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        answers[str(status)] = {"description": "As it stands.", "content": content}
    problems = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted({*_ALWAYS, *refused}):
        answers[str(status)] = {"description": _SAID[status], "content": problems}
    return answers


def _header(name: str, schema: Document, description: str) -> Document:
    return {"name": name, "in": "header", "schema": schema, "description": description}
