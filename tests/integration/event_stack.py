"""A whole Airflow that watches sources of events: a feed, a stream of server-sent events, a Redis stream."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from redis import Redis

from airgate.policy.events.batch import EventBatch, batch_of
from stack import database, marks, ports, processes
from stack.airflow_api import AirflowApi
from stack.credentials import Credentials
from stack.environment import LOOPBACK, airflow_settings
from stack.layout import Layout
from stack.ownership import Ownership
from stack.processes import Program
from stack.running import wait_healthy
from stack.supervision import Supervisor
from tests.faults.airflow_under_fire import kill_server, wait_for_dags
from tests.feed_service import event
from tests.redis_server import redis_server

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds; a busy machine needs a multiple of the usual thirty."""


@dataclass(frozen=True)
class EventStack:
    """A running one."""

    layout: Layout
    airflow: AirflowApi
    service: str
    redis: Redis
    supervisor: Supervisor

    def tell(self, numbers: range) -> None:
        """Something happens: at the service, whose feed and stream tell it, and in Redis."""
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.service}/-/events", json={"numbers": list(numbers)}, timeout=30).raise_for_status()
        for number in numbers:
            self.redis.xadd("shop", {"event": json.dumps(event(number))})

    def set_limit(self, events: int) -> None:
        """Change the DAG file's feed: how many events it asks for at once."""
        write_settings(self.layout.home, events)

    def limits(self) -> list[int]:
        """What the feed was asked for, one after the other: there is a number more for each trigger that came."""
        with requests.Session() as session:
            session.trust_env = False
            return [int(limit) for limit in session.get(f"{self.service}/-/limits", timeout=30).json()]

    def kill_triggerer(self) -> None:
        """With all its children; the process supervisor starts another one."""
        assert kill_server(self.supervisor, "triggerer")

    def batches(self, asset: str) -> list[EventBatch]:
        """What the asset events of an asset hold, in their order."""
        found = self._read(
            "SELECT e.id, e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = ? ORDER BY e.id",
            asset,
        )
        return [batch_of(json.loads(extra), asset=asset, asset_event_id=number) for number, extra in found]

    def ids(self, asset: str) -> list[str]:
        """Of the events that were stored, in their order."""
        return [told.id for batch in self.batches(asset) for told in batch.events]

    def positions(self, asset: str) -> list[Any]:
        """What is stored of how far the asset's source was read."""
        table = "asset_state_store"
        found = self._read(f"SELECT s.value FROM {table} s JOIN asset a ON a.id = s.asset_id WHERE a.name = ?", asset)
        return [json.loads(value)["position"] for (value,) in found]

    def _read(self, question: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.layout.metadata}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(question, values).fetchall()


def until(holds: Callable[[], object], seconds: float, said: Callable[[], object]) -> None:
    """Wait for it."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, said()
        time.sleep(0.2)


def write_settings(home: Path, limit: int) -> None:
    """What the DAG file reads."""
    temporary = home / "settings.new"
    temporary.write_text(json.dumps({"limit": limit}))
    temporary.replace(home / "settings.json")


@contextmanager
def event_stack(home: Path) -> Iterator[EventStack]:
    """Start everything, and stop every process at the end, whatever happens."""
    layout = Layout(PROJECT, home.resolve(), Path(__file__).parent / "source_dags")
    with Ownership(layout.home), redis_server(layout.home) as redis_port:
        write_settings(layout.home, 7)
        chosen = ports.choose({"api-server": 19180, "feed": 19190})
        credentials = Credentials.kept(layout.home)
        service, api = (f"http://{LOOPBACK}:{chosen[name]}" for name in ("feed", "api-server"))
        variables = _environment(layout, chosen, credentials, service, redis_port)
        feed = Program("feed", (sys.executable, "-m", "tests.feed_service", str(chosen["feed"])), f"{service}/-/health")
        early = [feed, *processes.orchestrator(layout, chosen)]
        late = [processes.scheduler(), processes.triggerer()]
        supervisor = Supervisor(layout, [*early, *late], variables)
        airflow = AirflowApi(api)
        redis = Redis(port=redis_port)
        try:
            database.make(layout.metadata, variables)
            supervisor.start()
            for programs in (early, late):  # all at once would keep one another from starting
                supervisor.launch(programs)
                wait_healthy(supervisor, programs, PATIENCE)
            airflow.sign_in("admin", credentials.admin_password)
            wait_for_dags(airflow, ("watched",))
            yield EventStack(layout, airflow, service, redis, supervisor)
        finally:
            redis.close()
            supervisor.stop()
            marks.sweep(layout.home)


def _environment(
    layout: Layout, chosen: dict[str, int], credentials: Credentials, service: str, redis_port: int
) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_"))
    }
    paths = (layout.project, layout.project / "scripts", layout.project / "plugins")
    redis = {"conn_type": "redis", "host": LOOPBACK, "port": redis_port}
    return (
        inherited
        | marks.mark(layout.home)
        | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
        | airflow_settings(layout, chosen, credentials)
        | {
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            # After that another triggerer takes over what one had that was killed.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps({"conn_type": "gateway", "host": service}),
            "AIRFLOW_CONN_REDIS_DEFAULT": json.dumps(redis),
        }
    )
