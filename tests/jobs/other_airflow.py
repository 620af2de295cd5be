"""Another Airflow, whole: api-server, dag-processor and scheduler in processes of their own, and a user to sign in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import database, marks, ports, processes
from stack.airflow_api import AirflowApi
from stack.credentials import Credentials
from stack.environment import LOOPBACK, airflow_settings
from stack.layout import Layout
from stack.ownership import Ownership
from stack.running import wait_healthy
from stack.supervision import Supervisor

DAGS = Path(__file__).parent / "remote_dags"
PATIENCE = 150.0
"""Seconds until Airflow has found the DAGs."""
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "3",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
}


@dataclass(frozen=True)
class OtherAirflow:
    """A running one."""

    api: AirflowApi
    """Signed in, for what a test has to see for itself."""
    password: str
    """Of the user ``admin``."""
    jwt_secret: str
    """What its tokens are signed with."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.api.address


@contextmanager
def other_airflow(home: Path, dag_ids: tuple[str, ...]) -> Iterator[OtherAirflow]:
    """Start it, give it when its DAGs can be run, and stop every process at the end, whatever happens.

    Args:
        home: Folder for all it writes.
        dag_ids: The DAGs of ``DAGS`` that have to be there.

    Raises:
        Failed: It did not come up.
    """
    layout = Layout(Path(__file__).resolve().parents[2], home.resolve(), DAGS)
    with Ownership(layout.home):
        chosen = ports.choose({"api-server": 18380})
        credentials = Credentials.kept(layout.home)
        variables = _environment(layout, chosen, credentials)
        programs = [*processes.orchestrator(layout, chosen), processes.scheduler()]
        supervisor = Supervisor(layout, programs, variables)
        api = AirflowApi(f"http://{LOOPBACK}:{chosen['api-server']}")
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            supervisor.launch(programs)
            wait_healthy(supervisor, programs)
            api.sign_in("admin", credentials.admin_password)
            _wait_for_dags(api, dag_ids)
            yield OtherAirflow(api, credentials.admin_password, credentials.airflow_jwt_secret)
        finally:
            supervisor.stop()
            marks.sweep(layout.home)


def _environment(layout: Layout, chosen: dict[str, int], credentials: Credentials) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_"))
    }
    plugins = layout.home / "plugins"
    plugins.mkdir(exist_ok=True)
    return (
        inherited
        | marks.mark(layout.home)
        | {"PYTHONUNBUFFERED": "1"}
        | airflow_settings(layout, chosen, credentials)
        | SETTINGS
        | {"AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}
    )


def _wait_for_dags(api: AirflowApi, dag_ids: tuple[str, ...]) -> None:
    deadline = time.monotonic() + PATIENCE
    while missing := [dag_id for dag_id in dag_ids if api.dag(dag_id) is None]:
        broken = [error["stack_trace"] for error in api.import_errors()]
        assert not broken, "\n".join(broken)
        assert time.monotonic() < deadline, f"Airflow has not found {missing}"
        time.sleep(0.3)
