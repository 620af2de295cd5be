"""What the tests of pushes share: a service that counts effects, records with bad ones among them, and a push."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airgate.data.frames.reading import write_frame
from airgate.data.store.dead_letters import open_dead_letters
from airgate.hooks.storage import open_folder
from airgate.operators.push import GatewayPushOperator
from tests.faults.push_service import PushService

ITEMS = {"path": "/items", "body": "items", "item_results": "items", "item_status": "status", "item_error": "error"}


@pytest.fixture(name="service")
def service_of_a_test() -> Iterator[PushService]:
    """One that counts effects."""
    counting = PushService()
    yield counting
    counting.stop()


@pytest.fixture(name="connected")
def connection_to_it(service: PushService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point the connection at it."""

    def connect(port: int = service.port, **extra: Any) -> None:
        gateway = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": port}
        extra = {"backoff": 0.001, "attempts": 2, "idempotency": "honoured", **extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps({**gateway, "extra": extra}))

    connect()
    return connect


def records(path: Path, count: int, bad: tuple[int, ...] = (), part_rows: int = 10) -> dict[str, Any]:
    """The manifest of a data set with the ids from 0 on; some of its records are bad."""
    table = pa.table({"id": range(count), "bad": [number in bad for number in range(count)]})
    return write_frame(table, open_folder(f"file://{path}/records"), part_rows=part_rows).to_json()


def operator(**arguments: Any) -> GatewayPushOperator:
    return GatewayPushOperator(task_id="t", **{"path": "/strict", "batch_size": 4, **arguments})


def run(context: Any, **arguments: Any) -> dict[str, Any]:
    """Push, and check what every report must keep to."""
    report = operator(**arguments).execute(context)
    assert json.loads(json.dumps(report)) == report
    assert report["offered"] == report["pushed"] + report["dead_lettered"]
    assert report["dead_letters"]["dead_lettered"] == report["dead_lettered"]
    return report


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["offered"], report["pushed"], report["dead_lettered"]


def letters(report: dict[str, Any]) -> list[Any]:
    return list(open_dead_letters(open_folder(report["dead_letters"]["path"])))
