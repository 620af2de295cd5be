"""A whole Airflow and a gateway before it, for jobs whose service calls back through the gateway."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tests.job_farm import Farm, Job, farm

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds; a busy machine needs a multiple of the usual thirty."""
ENDED = ("success", "failed")
DAGS = ("called_back", "looked_at_soon")
SECRETS = ("the-secret-that-signs-now-0123456789abcdef", "the-secret-of-last-month-0123456789abcdef")


@dataclass(frozen=True)
class CallbackStack:
    """A running one."""

    layout: Layout
    airflow: AirflowApi
    gateway: str
    farm: Farm

    def submitted(self, run_id: str) -> list[Job]:
        """The jobs of a run, in order."""
        return [job for job in self.farm.jobs.values() if job.body["name"] == run_id]

    def address(self, run_id: str) -> str:
        """Where the service of the run's latest job may call."""
        return str(self.submitted(run_id)[-1].body["then"]["call"])

    def call(self, address: str, body: bytes = b'{"status": "succeeded"}', method: str = "POST") -> requests.Response:
        """Do what a service does."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, address, data=body, timeout=60)

    def stored(self) -> bytes:
        """All that is in Airflow's database: its file, and the log of what was written and is not yet in it."""
        files = sorted(self.layout.metadata.parent.glob(f"{self.layout.metadata.name}*"))
        return b"".join(path.read_bytes() for path in files)

    def task(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The task instance of a run."""
        return dict(next(iter(self.airflow.tasks(dag_id, [run_id])), {"state": None}))

    def wait(self, dag_id: str, run_id: str, state: str, seconds: float = 60.0) -> float:
        """Wait until its task is in a state; seconds that it took."""
        began = time.monotonic()
        while (task := self.task(dag_id, run_id))["state"] != state:
            late = time.monotonic() - began > seconds
            if late or task["state"] in ENDED:
                raise AssertionError(f"{run_id} is {task['state']}, not {state}: {self.airflow.log(task)}")
            time.sleep(0.2)
        return time.monotonic() - began


def until(holds: Callable[[], bool], seconds: float, said: str = "it did not happen") -> None:
    """Wait for it."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, said
        time.sleep(0.2)


@contextmanager
def callback_stack(home: Path) -> Iterator[CallbackStack]:
    """Start everything, and stop every process at the end, whatever happens."""
    layout = Layout(PROJECT, home.resolve(), Path(__file__).parent / "callback_dags")
    with Ownership(layout.home), farm() as service:
        service.over_after = None
        chosen = ports.choose({"api-server": 18880, "edge": 18890})
        credentials = Credentials.kept(layout.home)
        gateway, api = (f"http://{LOOPBACK}:{chosen[name]}" for name in ("edge", "api-server"))
        variables = _environment(layout, chosen, credentials, gateway)
        config = layout.home / "gateway.json"
        config.write_text(json.dumps(_gateway(service.address)))
        edge = Program(
            "edge",
            (sys.executable, "-m", "airgate.edge", str(config), "--port", str(chosen["edge"])),
            f"{gateway}/health",
            {"AIRFLOW_URL": api},
        )
        early = [edge, *processes.orchestrator(layout, chosen)]
        late = [processes.scheduler(), processes.triggerer()]
        supervisor = Supervisor(layout, [*early, *late], variables)
        airflow = AirflowApi(api)
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            for programs in (early, late):  # all at once would keep one another from starting
                supervisor.launch(programs)
                wait_healthy(supervisor, programs, PATIENCE)
            airflow.sign_in("admin", credentials.admin_password)
            until(lambda: all(airflow.dag(dag_id) for dag_id in DAGS), PATIENCE, "the DAGs were not found")
            yield CallbackStack(layout, airflow, gateway, service)
        finally:
            supervisor.stop()
            marks.sweep(layout.home)


def _gateway(service: str) -> dict[str, Any]:
    """The route of callbacks as it is offered, and the service's own."""
    config = json.loads((PROJECT / "include" / "gateway" / "callback-route.json").read_text())
    proxied = {"type": "http_proxy", "server": "farm"}
    config["servers"].append({"alias": "farm", "url": service})
    config["paths"] += [
        {"method": "POST", "path": "/jobs", "integration": proxied},
        {"method": "GET", "path": "/jobs/{id}", "integration": proxied},
        {"method": "GET", "path": "/jobs/{id}/result", "integration": proxied},
        {"method": "DELETE", "path": "/jobs/{id}", "integration": proxied},
        {"method": "GET", "path": "/health", "response": {"status": "ok"}},
    ]
    return dict(config)


def _environment(layout: Layout, chosen: dict[str, int], credentials: Credentials, gateway: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_"))
    }
    paths = (layout.project, layout.project / "scripts", layout.project / "plugins")
    return (
        inherited
        | marks.mark(layout.home)
        | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
        | airflow_settings(layout, chosen, credentials)
        | {
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__AIRGATE__CALLBACK_URL": f"{gateway}/airgate/v1/callbacks",
            "AIRFLOW__AIRGATE__CALLBACK_SECRETS": ", ".join(SECRETS),
            "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps({"conn_type": "gateway", "host": gateway}),
        }
    )
