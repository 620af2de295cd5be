"""A whole Airflow with the gateway and the shop behind it, made to have its processes killed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from stack import database, environment, marks, ports, processes
from stack.airflow_api import AirflowApi
from stack.credentials import Credentials
from stack.environment import LOOPBACK
from stack.layout import Layout
from stack.ownership import Ownership
from stack.processes import Program
from stack.running import wait_healthy
from stack.supervision import Supervisor
from tests.faults.airflow_under_fire import DAGS, SETTINGS, kill_server, wait_for_dags

SHOP = ("inventory", "payments", "shipping")
PORTS = {"api-server": 18280, "edge": 18287} | {name: port for port, name in enumerate(ports.UPSTREAMS, 18301)}
CALLS = {"backoff": 0.2, "deadline": 8, "connect_timeout": 2, "read_timeout": 4}
"""Of the connection; seconds."""
BOOT_PATIENCE = 300.0
"""Seconds until everything has to be up."""


@dataclass(frozen=True)
class ShopUnderFire:
    """A running one."""

    home: Path
    supervisor: Supervisor
    services: Mapping[str, str]
    """Name -> address."""
    _address: str
    _password: str = field(repr=False)

    def airflow(self) -> AirflowApi:
        """Airflow's REST API, for one thread."""
        api = AirflowApi(self._address)
        api.sign_in("admin", self._password)
        return api

    def kill(self, name: str) -> bool:
        """Kill a server and all its children; the process supervisor starts another one."""
        return bool(kill_server(self.supervisor, name))

    def misbehave(self, **settings: Any) -> None:
        """Have all services of the shop misbehave like this from now on, and those that take their place as well."""
        _settings(self.home).write_text(json.dumps(settings))
        for name in SHOP:
            self._ask(name, "/-/faults", {"preset": "none", **settings})

    def books(self) -> dict[str, dict[str, Any]]:
        """Service -> ``truth`` and ``events`` of its ledger."""
        return {
            name: {"truth": self._ask(name, "/-/truth"), "events": self._ask(name, "/-/ledger")["events"]}
            for name in SHOP
        }

    def _ask(self, name: str, path: str, body: object = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            method = "GET" if body is None else "POST"
            answer = session.request(method, self.services[name] + path, json=body, timeout=30)
            answer.raise_for_status()
            return answer.json()


@contextmanager
def shop_under_fire(home: Path, dag_ids: tuple[str, ...], listener: str, **faults: Any) -> Iterator[ShopUnderFire]:
    """Start everything, give it when the DAGs can be run, and stop every process at the end, whatever happens.

    Args:
        home: Folder for all it writes.
        dag_ids: The DAGs that have to be there.
        listener: Address that tasks and services tell where they are.
        **faults: How the services misbehave.

    Raises:
        Failed: It did not come up.
    """
    layout = Layout(Path(__file__).resolve().parents[2], home.resolve(), DAGS)
    with Ownership(layout.home):
        marks.sweep(layout.home)
        chosen, credentials = ports.choose(PORTS), Credentials.kept(layout.home)
        variables = _environment(layout, chosen, credentials, listener)
        _settings(layout.home).write_text(json.dumps(faults))
        edge = [each for each in processes.upstreams(layout, chosen) if each.name == "edge"]
        shop = [_service(name, layout, chosen, listener) for name in SHOP]
        airflow = [*processes.orchestrator(layout, chosen), processes.scheduler(), processes.triggerer()]
        programs = [*shop, *edge, *airflow]
        supervisor = Supervisor(layout, programs, variables)
        addresses = {name: f"http://{LOOPBACK}:{chosen[name]}" for name in SHOP}
        stack = ShopUnderFire(
            layout.home, supervisor, addresses, f"http://{LOOPBACK}:{chosen['api-server']}", credentials.admin_password
        )
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            supervisor.launch(programs)
            wait_healthy(supervisor, programs, BOOT_PATIENCE)
            wait_for_dags(stack.airflow(), dag_ids)
            yield stack
        finally:
            supervisor.stop()
            marks.sweep(layout.home)


def _settings(home: Path) -> Path:
    return home / "faults.json"


def _service(name: str, layout: Layout, chosen: Mapping[str, int], listener: str) -> Program:
    store, settings = str(layout.home / f"{name}.sqlite"), str(_settings(layout.home))
    command = (sys.executable, "-m", "tests.faults.shop_service", name, str(chosen[name]), store, settings, listener)
    return Program(name, command, f"http://{LOOPBACK}:{chosen[name]}/-/health")


def _environment(layout: Layout, chosen: dict[str, int], credentials: Credentials, listener: str) -> dict[str, str]:
    # What the DAGs and the services import is this checkout's, wherever it stands.
    paths = (layout.project, layout.project / "scripts", layout.project / "plugins")
    variables = environment.for_processes(layout, chosen, credentials)
    gateway = json.loads(variables["AIRFLOW_CONN_GATEWAY_DEFAULT"])
    gateway["extra"] |= CALLS
    return (
        variables
        | SETTINGS
        | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
            "SAGA_LISTENER": listener,
        }
    )
