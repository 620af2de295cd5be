"""GatewayExtractOperator: the schema of its records out of the service's OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import NotFound
from airgate.operators import CsvFile, GatewayExtractOperator, OpenApiSchema
from airgate.pagination import SinglePage
from tests.scripted_server import Answer, ScriptedServer

SAMPLE = "package://include.openapi/sample-services.json"
ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}},
}


def document(**answers: Any) -> bytes:
    """A document that describes answers by media type."""
    responses = {"200": {"description": "d", "content": {name: {"schema": each} for name, each in answers.items()}}}
    paths = {"/orders": {"get": {"operationId": "listOrders", "responses": responses}}}
    return json.dumps({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths}).encode()


PAGES = document(**{"application/json": {"properties": {"data": {"type": "array", "items": ORDER}}}})
LINES = document(**{"text/csv": {"type": "array", "items": ORDER}})


def read(schema: Any, **arguments: Any) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/orders", "paginator": SinglePage(), "schema": schema, **arguments}
    return GatewayExtractOperator(**values)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer):
    """Let the connection name a document."""

    def define(openapi: str) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
        extra = {"backoff": 0.001, "attempts": 2, "openapi": openapi}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": extra}))

    return define


def records(*found: dict[str, Any]) -> Answer:
    return Answer(body=json.dumps({"data": found}).encode())


def test_a_document_in_a_package_makes_the_columns(context, server: ScriptedServer) -> None:
    """Types and what is required, as the service says; what does not fit is a dead letter."""
    airlines = [{"carrier": "UA", "name": "United", "more": 1}, {"carrier": 7, "name": "Seven"}]
    server.answers = [Answer(body=json.dumps({"items": airlines}).encode())]
    manifest = read(OpenApiSchema("listAirlines", openapi=SAMPLE), records="items").execute(context)
    assert manifest["schema"] == {"carrier": "string!", "name": "string!"}
    assert (manifest["received"], manifest["dead_lettered"]) == (2, 1)
    assert len(server.seen) == 1


@pytest.mark.parametrize("named", ["file", "gateway"])
def test_the_connection_may_name_the_document(
    context, server: ScriptedServer, connection, tmp_path: Path, named: str
) -> None:
    """A file, or one that the gateway is asked for, once a try."""
    path = tmp_path / "openapi.json"
    path.write_bytes(PAGES)
    connection(str(path) if named == "file" else "/openapi.json")
    server.answers = [*([Answer(body=PAGES)] if named == "gateway" else []), records({"id": 1}, {"at": "x"})]
    manifest = read(OpenApiSchema("listOrders")).execute(context)
    assert manifest["schema"] == {"id": "int64!", "at": "timestamp[us, tz=UTC]"}
    assert (manifest["written"], manifest["dead_lettered"]) == (1, 1)
    assert [seen.path for seen in server.seen] == [*(["/openapi.json"] if named == "gateway" else []), "/orders"]


def test_a_gateway_that_is_busy_is_waited_for(context, server: ScriptedServer, connection) -> None:
    """The request for the document is a call as those for the pages are."""
    connection("/openapi.json")
    server.answers = [Answer(429, headers={"Retry-After": "60"}), Answer(body=PAGES), records({"id": 1})]
    operator = read(OpenApiSchema("listOrders"))
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    assert operator.resume(context)["written"] == 1


def test_what_only_the_gateway_knows_is_checked_when_the_task_runs(context, server: ScriptedServer, connection) -> None:
    """And says what is missing, before a page is asked for."""
    connection("/openapi.json")
    server.answers = [Answer(body=PAGES)]
    with pytest.raises(ValueError, match=r"'listOrder' is not in openapi\.json; did you mean 'listOrders'"):
        read(OpenApiSchema("listOrder")).execute(context)
    server.answers = [Answer(404)]
    with pytest.raises(NotFound):
        read(OpenApiSchema("listOrders")).execute(context)


def test_an_export_is_described_by_its_lines_or_by_pages(context, server: ScriptedServer, tmp_path: Path) -> None:
    """Where the document says nothing of the file's columns, another operation may."""
    columns = {"id": "int64!", "at": "timestamp[us, tz=UTC]"}
    for number, (content, schema) in enumerate([(LINES, {}), (PAGES, {"records": "data"})]):
        path = tmp_path / f"{number}.json"
        path.write_bytes(content)
        server.answers = [Answer(body=b"id,at\n1,2013-01-01T05:00:00Z\n")]
        context["ti"].run_id = f"r{number}"
        described = OpenApiSchema("listOrders", openapi=str(path), **schema)
        manifest = read(described, export=CsvFile(), paginator=None).execute(context)
        assert (manifest["schema"], manifest["written"]) == (columns, 1)


@pytest.mark.parametrize(
    ("schema", "arguments", "message"),
    [
        (OpenApiSchema("listWether", SAMPLE), {}, "'listWether' is not in sample-services.json; did you mean"),
        (
            OpenApiSchema("listWeather", SAMPLE),
            {"records": "items"},
            "the answer 200 has no list of records at 'items'",
        ),
        (OpenApiSchema("listAirports", SAMPLE), {}, "the answer 200 has no list of records at 'data'"),
        (OpenApiSchema("listWeather", SAMPLE, status="204"), {}, "describes no answer 204, only 200"),
        (OpenApiSchema("listWeather", "/nowhere.json"), {"path": "{{ 1 }}"}, None),
        (OpenApiSchema("listWeather", "nowhere.json"), {}, "nowhere.json cannot be read"),
        (OpenApiSchema, {}, r"schema must be OpenApiSchema\('operationId'\)"),
    ],
)
def test_mistakes_are_refused_when_the_dag_is_parsed(
    schema: Any, arguments: dict[str, Any], message: str | None
) -> None:
    """With the task's name; a document that only the gateway has is not asked for at that time."""
    if message is None:
        read(schema, **arguments)
        return
    with pytest.raises(ValueError, match=f"task 't': (schema: .*)?{message}"):
        read(schema, **arguments)


def test_looking_at_a_document_brings_nothing_heavy() -> None:
    """A DAG file pays for the check with no import of Arrow, at each parse."""
    program = (
        "import sys; from airgate.operators import CsvFile, GatewayExtractOperator, OpenApiSchema;"
        f"GatewayExtractOperator(task_id='t', path='/x', export=CsvFile(), schema=OpenApiSchema('listWeather', "
        f"{SAMPLE!r}, records='data')); print('pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
