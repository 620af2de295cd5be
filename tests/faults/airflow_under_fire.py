"""A whole Airflow with the counting service beside it, made to have its processes killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from stack import database, marks, ports, processes
from stack.airflow_api import AirflowApi
from stack.credentials import Credentials
from stack.environment import LOOPBACK, airflow_settings
from stack.layout import Layout
from stack.ownership import Ownership
from stack.processes import Program
from stack.running import wait_healthy
from stack.supervision import Supervisor
from tests.faults.cases import LINGER

DAGS = Path(__file__).parent / "dags"

PORTS = {"api-server": 18080, "effects": 18700}

BOOT_PATIENCE = 300.0
"""Seconds until everything has to be up; a busy machine needs a multiple of the usual thirty."""
DAG_PATIENCE = 120.0
"""Seconds until Airflow has found the DAGs."""

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
}


@dataclass(frozen=True)
class AirflowUnderFire:
    """A running one."""

    home: Path
    airflow: AirflowApi
    effects: str
    """The counting service's address."""
    supervisor: Supervisor

    def plan(self, orders: dict[str, dict[str, Any]]) -> None:
        """Tell the counting service what to do at the first request for each order."""
        self._ask("POST", "/-/plan", orders)

    def orders(self) -> dict[str, dict[str, Any]]:
        """What happened to every order."""
        return dict(self._ask("GET", "/-/orders"))

    def kill(self, name: str) -> list[int]:
        """Kill a server and all its children; the process supervisor starts another one. Gives their ids."""
        return kill_server(self.supervisor, name)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.effects + path, json=body, timeout=30)
            answer.raise_for_status()
            return answer.json()


def kill_server(supervisor: Supervisor, name: str) -> list[int]:
    """Kill a program of the stack and all its children; gives their ids."""
    killed = []
    for standing in supervisor.standings():
        if standing.name == name and standing.pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(standing.pid)
                for process in (server, *server.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGKILL)
                        killed.append(process.pid)
    return killed


@contextmanager
def airflow_under_fire(
    home: Path,
    dag_ids: tuple[str, ...],
    service: str = "tests.faults.effects_service",
    dags: Path = DAGS,
    settings: Mapping[str, str] | None = None,
) -> Iterator[AirflowUnderFire]:
    """Start everything, give it when the DAGs can be run, and stop every process at the end, whatever happens.

    Args:
        home: folder for all it writes.
        dag_ids: the DAGs that have to be there.
        service: module of the service that counts and kills.
        dags: the folder that they are in.
        settings: of Airflow, beside the usual ones.

    Raises:
        Failed: it did not come up.
    """
    layout = Layout(Path(__file__).resolve().parents[2], home.resolve(), dags)
    with Ownership(layout.home):
        marks.sweep(layout.home)
        chosen = ports.choose(PORTS)
        credentials = Credentials.kept(layout.home)
        effects = f"http://{LOOPBACK}:{chosen['effects']}"
        variables = _environment(layout, chosen, credentials, effects) | (settings or {})
        counting = Program(
            "effects",
            (sys.executable, "-m", service, str(chosen["effects"]), str(layout.home)),
            f"{effects}/-/health",
        )
        early = [counting, *processes.orchestrator(layout, chosen), processes.scheduler(), processes.triggerer()]
        supervisor = Supervisor(layout, early, variables)
        airflow = AirflowApi(f"http://{LOOPBACK}:{chosen['api-server']}")
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            supervisor.launch(early)
            wait_healthy(supervisor, early, BOOT_PATIENCE)
            airflow.sign_in("admin", credentials.admin_password)
            wait_for_dags(airflow, dag_ids)
            yield AirflowUnderFire(layout.home, airflow, effects, supervisor)
        finally:
            supervisor.stop()
            marks.sweep(layout.home)


def _environment(layout: Layout, chosen: dict[str, int], credentials: Credentials, effects: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_"))
    }
    # The counting service imports `stack` and `tests`; what the DAGs import is this checkout's, wherever it stands.
    paths = (layout.project, layout.project / "scripts", layout.project / "plugins")
    # The password opens nothing at the service: what a task submits is stored sealed with it.
    gateway = {
        "conn_type": "gateway",
        "host": effects,
        "password": credentials.admin_password,
        "extra": {"auth": "none", "backoff": 0.2},
    }
    http = {"conn_type": "http", "host": effects}
    return (
        inherited
        | marks.mark(layout.home)
        | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
        | airflow_settings(layout, chosen, credentials)
        | SETTINGS
        | {
            "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps(http),
            "EFFECTS_URL": effects,
            "EFFECTS_LINGER": str(LINGER),
        }
    )


def wait_for_dags(airflow: AirflowApi, dag_ids: tuple[str, ...]) -> None:
    """Wait until Airflow has found the DAGs."""
    deadline = time.monotonic() + DAG_PATIENCE
    while missing := [dag_id for dag_id in dag_ids if airflow.dag(dag_id) is None]:
        broken = [error["stack_trace"] for error in airflow.import_errors()]
        assert not broken, "\n".join(broken)
        assert time.monotonic() < deadline, f"Airflow has not found {missing}"
        time.sleep(0.3)
