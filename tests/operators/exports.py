"""Exports for tests: files of records, one of which is damaged, and the task that reads them."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airgate.hooks.storage import open_folder
from airgate.operators import CsvFile, GatewayExtractOperator, NdjsonFile

ROWS = 60_000
BAD = 777
"""The record that does not fit."""
SCHEMA = {
    "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "at": {"type": "string"}},
    "required": ["id"],
}


def ndjson(rows: int = ROWS, name: str = "n") -> bytes:
    lines = [b'{"id":%d,"name":"%s%d","at":"2024-01-%02d"}' % (n, name.encode(), n, 1 + n % 28) for n in range(rows)]
    lines[BAD] = b'{"id":"bad"}'
    return b"\n".join(lines)


def csv(rows: int = ROWS, name: str = "n") -> bytes:
    lines = [b'%d,"%s%d",2024-01-%02d' % (n, name.encode(), n, 1 + n % 28) for n in range(rows)]
    lines[BAD] = b"bad,x,y"
    return b"\r\n".join([b"id,name,at", *lines])


FORMS: list[Any] = [
    pytest.param(ndjson, NdjsonFile(), {}, id="ndjson"),
    pytest.param(csv, CsvFile(), {}, id="csv"),
    pytest.param(lambda: gzip.compress(ndjson(), 1), NdjsonFile(), {"Content-Type": "application/gzip"}, id="gz"),
    pytest.param(lambda: gzip.compress(csv(), 1), CsvFile(), {"Content-Encoding": "gzip"}, id="gzip coding"),
]


def read(**arguments: Any) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/export", "export": NdjsonFile(), "schema": SCHEMA, "part_rows": 10_000}
    return GatewayExtractOperator(**{**values, **arguments})


def ids(manifest: dict[str, Any]) -> list[int]:
    """The records of the data set, read from its files."""
    return column(manifest, "id")


def column(manifest: dict[str, Any], name: str) -> list[Any]:
    folder = open_folder(manifest["path"])
    tables = [pq.read_table(io.BytesIO(folder.read(part["name"]))) for part in manifest["parts"]]
    return pa.concat_tables(tables).column(name).to_pylist()


def wanted(rows: int = ROWS) -> list[int]:
    return [n for n in range(rows) if n != BAD]


def durable(context: dict[str, Any]) -> dict[str, Any]:
    """What the checkpoint says."""
    return context["task_state_store"].get("airgate.checkpoint") or {}
