"""A paged API that others wrote: Airflow's own, read to its end and loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import requests

from airgate.operators import GatewayExtractOperator, TableLoadOperator
from airgate.pagination import OffsetPages
from stack import ports
from tests.state_store import FileStore

pytestmark = pytest.mark.integration

RUNS = 10_000

FILL = """
import sys
from datetime import datetime, timedelta, timezone
from airflow.utils.db import initdb
initdb()
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import insert

begin = datetime(2020, 1, 1, tzinfo=timezone.utc)
with create_session() as session:
    session.add(DagBundleModel(name="made"))
    session.flush()
    session.add(DagModel(dag_id="made", bundle_name="made", fileloc="made.py", is_stale=False))
    session.flush()
    rows = [
        {
            "dag_id": "made", "run_id": f"run-{n:05d}", "run_type": "scheduled",
            "state": "failed" if n % 7 == 0 else "success",
            "logical_date": begin + timedelta(hours=n), "run_after": begin + timedelta(hours=n), "queued_at": begin,
            "start_date": begin + timedelta(hours=n), "end_date": begin + timedelta(hours=n, seconds=n % 60),
            "clear_number": 0, "conf": {"n": n}, "last_scheduling_decision": None,
        }
        for n in range(int(sys.argv[1]))
    ]
    session.execute(insert(DagRun.__table__), rows)
"""

PATIENCE = 60.0
"""Seconds until the server must answer."""


@pytest.fixture(scope="module")
def airflow_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real api-server whose database has ten thousand runs; on loopback, everybody is an admin."""
    home = tmp_path_factory.mktemp("airflow")
    port = ports.choose({"api-server": 18480})["api-server"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-this-test-" + "0" * 64,
    }
    filled = subprocess.run(
        [sys.executable, "-c", FILL, str(RUNS)], env=environment, capture_output=True, text=True, check=False
    )
    assert filled.returncode == 0, filled.stderr[-3000:]
    command = [
        sys.executable,
        "-m",
        "airflow",
        "api-server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/api/v2/version", server, home / "server.log")
        yield address
    finally:
        _stop(server)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and server.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and the worker processes of its group."""
    os.killpg(server.pid, 15)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, 9)
        server.wait()


@pytest.fixture
def context(airflow_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A task of another Airflow than the one that is read."""
    token = requests.get(f"{airflow_api}/auth/token", timeout=30).json()["access_token"]
    gateway = {"conn_type": "gateway", "host": airflow_api, "password": token, "extra": {"auth": "bearer"}}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "w.duckdb")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(warehouse))
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", f"file://{tmp_path}/data")
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2, try_number=1)
    return {"ti": ti, "task_state_store": FileStore(tmp_path / "state.json")}


def test_ten_thousand_runs_are_read_and_loaded(context: dict[str, Any], tmp_path: Path) -> None:
    """A hundred offset pages, four at a time, an inferred schema: every run is in the table, once."""
    manifest = GatewayExtractOperator(
        task_id="t",
        path="/api/v2/dags/~/dagRuns",
        query={"order_by": "id"},
        paginator=OffsetPages(limit=100, total_field="total_entries"),
        records="dag_runs",
        in_flight=4,
        part_rows=2_000,
    ).execute(context)
    assert (manifest["received"], manifest["written"], manifest["dead_lettered"]) == (RUNS, RUNS, 0)
    assert manifest["calls"]["pages"] == RUNS / 100
    assert manifest["schema"]["logical_date"] == "timestamp[us, tz=UTC]"
    TableLoadOperator(task_id="t", data=manifest, table="runs", key=["dag_run_id"]).execute(context)
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as warehouse:
        [(rows, keys, failed, hours)] = warehouse.execute(
            "SELECT count(*), count(DISTINCT dag_run_id), count(*) FILTER (state = 'failed'), "
            "date_diff('hour', min(logical_date), max(logical_date)) FROM runs"
        ).fetchall()
    assert (rows, keys, failed, hours) == (RUNS, RUNS, -(-RUNS // 7), RUNS - 1)
