"""A context for operators: what Airflow hands to ``execute``, backed by a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.export_service import ExportService, export_service
from tests.operators.exports import ndjson
from tests.scripted_server import ScriptedServer
from tests.state_store import FileStore


@pytest.fixture
def context(tmp_path: Path) -> dict[str, Any]:
    """The context of one task instance; pass it again for a retry."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2)
    return {"ti": ti, "task_state_store": FileStore(tmp_path / "state.json")}


@pytest.fixture(autouse=True)
def installation(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway, warehouse and data root of the test."""
    gateway = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
    extra = {"extra": {"backoff": 0.001, "attempts": 3}}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway | extra))
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "w.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(warehouse))
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", f"file://{tmp_path}/data")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExportService]:
    """Behind the gateway of the test."""
    with export_service(ndjson()) as service:
        extra = {"backoff": 0.001, "attempts": 3}
        gateway = {"conn_type": "gateway", "host": service.address, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
        yield service
