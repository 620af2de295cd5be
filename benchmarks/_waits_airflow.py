"""An Airflow of the benchmark's own, of which only the triggerer runs, and what it costs while tasks are deferred."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests

from stack import database, marks, ports
from stack.credentials import Credentials
from stack.environment import LOOPBACK, airflow_settings
from stack.layout import Layout

T = TypeVar("T")

HERE = Path(__file__).parent
PATIENCE = 120.0
"""Seconds for a process to come up, or for a phase to be over."""


@dataclass(frozen=True)
class Wanted:
    """What a run has."""

    jobs: int
    poll: float
    """Seconds between two looks at a job."""
    spread: float
    """Seconds in which the jobs end, evenly."""


@dataclass(frozen=True)
class Service:
    """The running jobs service."""

    address: str

    def plan(self, jobs: int) -> None:
        """Begin anew, with so many jobs that do not end for now."""
        self._ask("POST", "/-/plan", {"jobs": jobs})

    def end(self, first_end: float, last_end: float) -> None:
        """Let the jobs end between two moments."""
        self._ask("POST", "/-/end", {"first_end": first_end, "last_end": last_end})

    def facts(self) -> dict[str, Any]:
        """What it saw since."""
        return dict(self._ask("GET", "/-/facts"))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.address + path, json=body, timeout=30)
            answer.raise_for_status()
            return answer.json()


@contextmanager
def service() -> Iterator[Service]:
    """Serve jobs in a process of its own."""
    command = [sys.executable, str(HERE / "_waits_service.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Service(f"http://{LOOPBACK}:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()


class Home:
    """A folder with a metadata database, and the environment of the processes that work on it."""

    def __init__(self, folder: Path, service: Service, wanted: Wanted, template: Path | None = None) -> None:
        dags = folder / "dags"
        dags.mkdir(parents=True)
        shutil.copy(HERE / "_waits_dag.py", dags)
        self.layout = Layout(HERE.parent, folder, dags)
        credentials = Credentials.drawn()
        self.ports = ports.choose({"api-server": 18180})
        settings = airflow_settings(self.layout, self.ports, credentials)
        paths = (HERE, HERE.parent, HERE.parent / "scripts", HERE.parent / "plugins")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
        self.environment = (
            inherited
            | marks.mark(folder)
            | settings
            | {
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "AIRFLOW__TRIGGERER__CAPACITY": str(wanted.jobs + 100),
                "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps({"conn_type": "gateway", "host": service.address}),
                "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": service.address}),
                "WAITS_JOBS": str(wanted.jobs),
                "WAITS_POLL": str(wanted.poll),
            }
        )
        if template is None:
            database.make(self.layout.metadata, self.environment)
        else:
            shutil.copy(template, self.layout.metadata)

    def start(self, *arguments: str, log: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a Python process whose stderr goes to a log."""
        with (self.layout.home / log).open("w") as file:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment | dict(settings or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if log.startswith("rows") else file,
                stderr=file,
                text=True,
                start_new_session=True,
            )

    def resumed(self, dag_id: str) -> dict[int, float]:
        """Unix time at which each deferred task was handed back to the scheduler, by map index."""
        return self._moments("scheduled_dttm", dag_id, "scheduled")

    def ended(self, dag_id: str) -> dict[int, float]:
        """Unix time at which each sensor was done."""
        return self._moments("end_date", dag_id, "success")

    def _moments(self, column: str, dag_id: str, state: str) -> dict[int, float]:
        question = f"SELECT map_index, {column} FROM task_instance WHERE dag_id = ? AND task_id = 'wait' AND state = ?"
        with sqlite3.connect(self.layout.metadata, timeout=60) as connection:
            rows = connection.execute(question, (dag_id, state)).fetchall()
        return {index: datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() for index, moment in rows}


class Runner:
    """The process in which a triggerer's event loop runs."""

    def __init__(self, triggerer: int) -> None:
        self._parent = psutil.Process(triggerer)
        self._process = until("the triggerer's event loop runs", self._find)

    def _find(self) -> psutil.Process | None:
        # The triggerer has a child that serves logs only where that is asked for.
        return next(iter(self._parent.children()), None)

    @property
    def rss(self) -> int:
        """Resident memory now, bytes."""
        return int(self._process.memory_info().rss)

    @property
    def peak(self) -> int:
        """The most resident memory since ``forget_peak``, bytes."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    @property
    def cpu(self) -> float:
        """CPU seconds used so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def forget_peak(self) -> None:
        """Count the most memory from now on."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")


def until(what: str, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """Look until there is something.

    Raises:
        SystemExit: It took too long; ``what`` says what.
    """
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"not within {patience:.0f} s: {what}")


class Telling:
    """Says on stderr what happens, as a run takes a minute or more."""

    def __init__(self, name: str) -> None:
        self.name, self.began = name, time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{self.name}: {time.monotonic() - self.began:5.1f} s  {what}", file=sys.stderr)


def share(values: list[float], part: float) -> float:
    """The value that this part of the sorted ones does not exceed."""
    return values[min(int(len(values) * part), len(values) - 1)]
