"""A program: Airflow's real api-server with airgate's plugin, on a port of its own.

It prints its address, then does what each line of its standard input says, a JSON list of a name and arguments, and
answers each with a line of JSON: what a scheduler and workers would do to the database.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from airflow._shared.timezones import timezone
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import delete, func, select, update

DAGS = Path(__file__).with_name("ingress_dags.py")


def prepare() -> None:
    """Make the database, with the DAGs."""
    initdb()
    with create_session(scoped=False) as session:
        session.add(DagBundleModel(name="made"))
    bag = DagBag(DAGS)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "made", None)


class Doing:
    """What may be asked for."""

    def token(self, name: str, role: str) -> str:
        """One of Airflow's own."""
        return str(get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role)))

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What Airflow keeps of a run."""
        with create_session(scoped=False) as session:
            run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one()
            kept = ("conf", "state", "run_type", "triggering_user_name", "note")
            tasks = session.execute(
                select(TaskInstance.task_id, TaskInstance.state).where(
                    TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
                )
            )
            states = {task_id: state for task_id, state in tasks}  # noqa: C416 - rows are not pairs to mypy
            return {name: getattr(run, name) for name in kept} | {
                "logical_date": str(run.logical_date),
                "triggered_by": run.triggered_by.value if run.triggered_by else None,
                "tasks": states,
            }

    def count(self, dag_id: str) -> int:
        """How many runs there are."""
        with create_session(scoped=False) as session:
            return session.scalar(select(func.count()).where(DagRun.dag_id == dag_id)) or 0

    def set_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Set a run's state."""
        with create_session(scoped=False) as session:
            session.execute(update(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id).values(state=state))

    def set_conf(self, dag_id: str, run_id: str, conf: Any) -> None:
        """Set a run's conf."""
        with create_session(scoped=False) as session:
            session.execute(update(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id).values(conf=conf))

    def set_task(self, dag_id: str, run_id: str, task_id: str, state: str, minute: int = 0) -> None:
        """Set the state of a task, ended at some minute."""
        of_task = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
        ended = timezone.utcnow() + timedelta(minutes=minute)
        with create_session(scoped=False) as session:
            session.execute(update(TaskInstance).where(*of_task).values(state=state, end_date=ended))

    def push(self, dag_id: str, run_id: str, task_id: str, key: str, value: Any, dag_result: bool = False) -> None:
        """Store an XCom."""
        where = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
        XComModel.set(key, value, **where, serialize=False, dag_result=dag_result)  # type: ignore[arg-type]

    def xcoms(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """The keys of a task's XComs."""
        of_task = (XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.task_id == task_id)
        with create_session(scoped=False) as session:
            return sorted(session.scalars(select(XComModel.key).where(*of_task)))

    def untag(self, dag_id: str) -> None:
        """Take the tags of a DAG away."""
        with create_session(scoped=False) as session:
            session.execute(delete(DagTag).where(DagTag.dag_id == dag_id))

    def asset_events(self, name: str) -> list[Any]:
        """What the events of an asset hold, oldest first."""
        events = select(AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        with create_session(scoped=False) as session:
            return list(session.scalars(events.where(AssetModel.name == name).order_by(AssetEvent.id)))

    def queued(self, dag_id: str) -> int:
        """How many assets have told a DAG that it should run."""
        with create_session(scoped=False) as session:
            return session.scalar(select(func.count()).where(AssetDagRunQueue.target_dag_id == dag_id)) or 0

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG, or not."""
        with create_session(scoped=False) as session:
            session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_paused=paused))

    def activate(self, name: str, active: bool) -> None:
        """Let an asset be one that a DAG has, or that none has any more."""
        with create_session(scoped=False) as session:
            if active:
                session.add(AssetActive(name=name, uri=name))
            else:
                session.execute(delete(AssetActive).where(AssetActive.name == name))


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the end of the context."""
    config = uvicorn.Config(create_app("core"), host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def main() -> None:
    """Run it."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Airflow's log lines go elsewhere
    prepare()
    with serving() as address:
        print(f"serves: {address}", file=answers)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print("did: " + json.dumps(getattr(Doing(), name)(*arguments)), file=answers)


if __name__ == "__main__":
    main()
