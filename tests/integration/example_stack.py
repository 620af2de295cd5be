"""The stack's Airflow with the sample service `work` behind the edge, for runs of the example DAGs about jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import requests

from stack import database, environment, marks, ports, processes, runs
from stack.airflow_api import AirflowApi
from stack.credentials import Credentials
from stack.layout import Layout
from stack.ownership import Ownership
from stack.running import pools, wait_healthy
from stack.supervision import Supervisor

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parents[2]
PORTS = {"api-server": 19080, "edge": 19787} | {name: port for port, name in enumerate(ports.UPSTREAMS, 19801)}
"""Away from those of a demo on the same machine."""
BOOT_PATIENCE = 300.0
PATIENCE = 400.0
"""Seconds for what a test waits for."""


@dataclass(frozen=True)
class ExampleStack:
    """A running one."""

    airflow: AirflowApi
    work: str
    """The sample service's own address, past the gateway."""
    services: dict[str, str]
    """Each sample service's."""
    gateway: str
    """The gateway's, for clients."""

    def ask(self, path: str) -> Any:
        """What the sample service answers; it misbehaves now and then."""

        def answer() -> Any:
            try:
                with requests.Session() as session:
                    session.trust_env = False
                    response = session.get(self.work + path, timeout=30)
            except requests.RequestException:
                return None
            return response.json() if response.status_code in {200, 404} else None

        return until(answer, 0.05)

    def jobs(self, run: Run) -> list[dict[str, Any]]:
        """The jobs that a run's changes are found by, the newest first."""
        return list(self.ask(f"/jobs?reference={run.dag_id}.{run.run_id}")["jobs"])

    def start(self, dag_id: str, name: str, conf: dict[str, Any]) -> Run:
        """Ask for a run."""
        self.airflow.trigger(dag_id, name, conf)
        return Run(self, dag_id, name)


@dataclass(frozen=True)
class Run:
    """A run that was asked for."""

    stack: ExampleStack
    dag_id: str
    run_id: str

    def ended(self) -> str:
        """Wait for its end; the state that it has then."""

        def state() -> str | None:
            [run] = self.stack.airflow.runs(self.dag_id, self.run_id)
            return None if run["state"] in runs.UNFINISHED else str(run["state"])

        return until(state, 1.0, self.told)

    def states(self) -> dict[str, str]:
        """Task -> its state; of several instances the last one's."""
        return {task["task_id"]: task["state"] for task in self._tasks()}

    def said(self, task_id: str) -> str:
        """The end of a task's log."""
        [task] = [task for task in self._tasks() if task["task_id"] == task_id]
        return self.stack.airflow.log(task)

    def xcom(self, task_id: str) -> Any:
        """What a task returned."""
        return self.stack.airflow.xcom(self.dag_id, self.run_id, task_id)

    def asked(self, task_id: str) -> dict[str, Any]:
        """Wait until a task asks a person; what it asks."""
        return until(lambda: self.stack.airflow.question(self.dag_id, self.run_id, task_id), 0.5, self.told)

    def answer(self, task_id: str, option: str) -> None:
        """Answer that, and wait until the task has taken it.

        It may ask again: to Airflow, a task that goes on before the scheduler has heard that its process is over, in
        the first second or two, is a lost one that has to be tried again.
        """

        def taken() -> bool | None:
            question = self.stack.airflow.question(self.dag_id, self.run_id, task_id)
            if question and not question["response_received"]:
                self.stack.airflow.answer(self.dag_id, self.run_id, task_id, option)
            return self.states()[task_id] == "success" or None

        until(taken, 1.0, self.told)

    def working(self) -> dict[str, Any]:
        """Wait until the job of its change runs; that job."""

        def job() -> dict[str, Any] | None:
            return next((job for job in self.stack.jobs(self) if job["status"] == "running"), None)

        return until(job, 0.2, self.told)

    def deferred(self, task_id: str) -> None:
        """Wait until a task is in the triggerer's hands."""
        until(lambda: self.states().get(task_id) == "deferred" or None, 0.3, self.told)

    def mark_failed(self) -> None:
        """As a person does it on the run's page."""
        self.stack.airflow.fail_run(self.dag_id, self.run_id)

    def told(self) -> str:
        """How it stands, for whoever reads why a test failed."""
        failed = [task for task in self._tasks() if task["state"] in {"failed", "up_for_retry"}]
        logs = "\n".join(f"{task['task_id']}:\n{self.stack.airflow.log(task)}" for task in failed)
        return f"{self.dag_id} {self.run_id}: {self.states()}\n{logs}"

    def _tasks(self) -> list[dict[str, Any]]:
        return self.stack.airflow.tasks(self.dag_id, [self.run_id])


@contextmanager
def example_stack(
    home: Path, dag_ids: tuple[str, ...], services: tuple[str, ...] = ("work",), dags: Path = PROJECT / "dags"
) -> Iterator[ExampleStack]:
    """Start it, give it when the DAGs can be run, and stop every process at the end, whatever happens.

    Args:
        home: For everything that it writes.
        dag_ids: What is to be run.
        services: The sample services behind the edge.
        dags: The folder that Airflow takes DAGs from.

    Raises:
        Failed: it did not come up.
    """
    layout = Layout(PROJECT, home.resolve(), dags.resolve())
    with Ownership(layout.home):
        chosen, credentials, since = ports.choose(PORTS), Credentials.kept(layout.home), datetime.now(UTC)
        variables = environment.for_processes(layout, chosen, credentials)
        upstreams = [each for each in processes.upstreams(layout, chosen) if each.name in {*services, "edge"}]
        programs = [
            *upstreams, *processes.orchestrator(layout, chosen), processes.scheduler(), processes.triggerer()
        ]  # fmt: skip
        supervisor = Supervisor(layout, programs, variables)
        address = f"http://{environment.LOOPBACK}"
        airflow = AirflowApi(f"{address}:{chosen['api-server']}")
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            supervisor.launch(programs)
            wait_healthy(supervisor, programs, BOOT_PATIENCE)
            airflow.sign_in("admin", credentials.admin_password)
            airflow.set_pools(pools(layout))
            for dag_id in dag_ids:
                runs.wait_parsed(airflow, dag_id, since)
                airflow.pause(dag_id, paused=False)
            addresses = {name: f"{address}:{chosen[name]}" for name in ports.UPSTREAMS}
            yield ExampleStack(airflow, addresses["work"], addresses, f"{address}:{chosen['edge']}")
        finally:
            supervisor.stop()
            marks.sweep(layout.home)


def until(look: Callable[[], T | None], interval: float, why: Callable[[], str] = str) -> T:
    """Look again and again until something is there, and give it; `why` tells why not, when it takes too long."""
    ends = time.monotonic() + PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < ends, why()
        time.sleep(interval)
    return found
