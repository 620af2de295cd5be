"""The demo as a newcomer starts it, with a home of its own, and what it leaves in the warehouse."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import requests

from stack.airflow_api import AirflowApi, ApiFailed

PROJECT = Path(__file__).parents[1]


class Demo:
    """One `scripts/demo --once`, running; without `once` it stays up."""

    def __init__(self, home: Path, dags: Path | None = None, *, once: bool = True) -> None:
        self.home = home
        self._output = home.parent / f"{home.name}-{time.time_ns()}.txt"
        settings = os.environ | {"AIRGATE_HOME": str(home)} | ({"AIRGATE_DAGS_FOLDER": str(dags)} if dags else {})
        with self._output.open("w") as output:
            command = [PROJECT / "scripts" / "demo", *(["--once"] if once else [])]
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=settings)

    @property
    def said(self) -> str:
        """Everything it has printed so far."""
        return self._output.read_text()

    def result(self, patience: float = 400) -> dict[str, Any]:
        """Wait for the end; give its last line."""
        self.process.wait(timeout=patience)
        return dict(json.loads(self.said.splitlines()[-1]))

    def interrupt(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def wait_for(self, text: str, patience: float = 200) -> None:
        """Wait until it has printed `text`."""
        deadline = time.monotonic() + patience
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.2)

    def address(self, service: str) -> str:
        """Where one of its services is."""
        return str(json.loads((self.home / "stack.json").read_text())["addresses"][service])

    def airflow(self) -> AirflowApi:
        """Its Airflow, signed in."""
        api = AirflowApi(self.address("api-server"))
        api.sign_in("admin", self.password)
        return api

    @property
    def password(self) -> str:
        """The one that the user admin signs in with."""
        return str(json.loads((self.home / "credentials.json").read_text())["admin_password"])

    def slow_flights(self, seconds: float) -> None:
        """Let the flights service take that much longer for each page."""
        requests.post(f"{self.address('flights')}/-/faults", json={"latency": seconds}, timeout=10).raise_for_status()

    def running_task(self, day: str, task_id: str, patience: float = 120) -> psutil.Process:
        """Wait until a task of a day's run runs; give the process that does its work."""
        airflow = self.airflow()
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(ApiFailed, psutil.NoSuchProcess):
                run_ids = [run["dag_run_id"] for run in airflow.runs("flights_etl", "demo__", ["running"])]
                for task in airflow.tasks("flights_etl", [run_id for run_id in run_ids if run_id.endswith(day)]):
                    if task["task_id"] == task_id and task["state"] == "running" and task["pid"]:
                        return psutil.Process(task["pid"])
            time.sleep(0.3)
        raise AssertionError(f"{task_id} of {day} never ran:\n{self.said}")


def rows_per_day(warehouse: Path) -> dict[str, int]:
    """Count the flights of each day in the warehouse."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        counted = connection.execute("select date::text, count(*) from flights group by all order by all").fetchall()
    return dict(counted)


def content(warehouse: Path) -> list[pa.Table]:
    """Everything the two tables hold, in an order of its own."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        tables = ("flights", "carrier_daily")
        return [connection.sql(f"from {table} order by all").to_arrow_table() for table in tables]
