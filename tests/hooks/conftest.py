"""A connection and a running task for tests of the hook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tests.running_task import running as in_task
from tests.scripted_server import ScriptedServer
from tests.state_store import FileStore


@pytest.fixture
def define(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch):
    """Define the connection ``gateway_default``."""

    def define(**extra: Any) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
        extra = {"backoff": 0.001, "attempts": 3, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": extra}))

    define()
    return define


@pytest.fixture
def running(define, tmp_path) -> Iterator[dict[str, Any]]:
    """A task that runs in this process, as Airflow's task runner sets it up."""
    ti = SimpleNamespace(id=uuid4(), dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=2)
    task = SimpleNamespace(task_id="t", retries=2)
    context = {"ti": ti, "task": task, "task_state_store": FileStore(tmp_path / "state.json")}
    with in_task(context):
        yield context
