"""A program: callbacks that meet for one task, in Airflow's real database. Prints what came of it as JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import insert, select, update
from uuid6 import uuid7

from airgate.ingress.waiting import find, resume
from airgate.policy.callback import CallbackToken
from airgate.triggers.job import Waiting

RACES, AT_ONCE = 15, 6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def token(index: int) -> CallbackToken:
    """Of the task with that map index."""
    return CallbackToken("d", "r", "t", index, f"nonce-{index}", 2**33)


def make(index: int, state: str = "deferred", classpath: str = "airgate.triggers.job.JobTrigger") -> None:
    """A task instance that waits."""
    waiting = Waiting({"class": "x:Y", "fields": {}}, {"id": f"job-{index}"}, 0.0, 1.0, 1.0, callback=token(index).mark)
    with create_session(scoped=False) as session:
        trigger = Trigger(classpath, {"gateway_conn_id": "gateway_default", "waiting": asdict(waiting)})
        session.add(trigger)
        session.flush()
        row = {"id": uuid7(), "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": index, "state": state}
        more = {"pool": "default_pool", "trigger_id": trigger.id, "next_method": "resume", "next_kwargs": {}}
        session.execute(insert(TaskInstance.__table__), [row | more])  # type: ignore[arg-type]


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Call them at the same moment."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def clear(index: int) -> None:
    """What Airflow does to a task that is to begin anew."""
    with create_session(scoped=False) as session:
        session.execute(update(TaskInstance).where(TaskInstance.map_index == index).values(state=None, trigger_id=None))


def stands(index: int) -> tuple[Any, Any, Any]:
    """State, trigger and event of a task."""
    wanted = select(TaskInstance.state, TaskInstance.trigger_id, TaskInstance.next_kwargs)
    with create_session(scoped=False) as session:
        state, trigger, kwargs = session.execute(wanted.where(TaskInstance.map_index == index)).one()
    return state, trigger, kwargs


def main() -> None:
    """Run it."""
    initdb()
    with create_session(scoped=False) as session:
        session.add(DagBundleModel(name="made"))
        session.flush()
        session.add(DagModel(dag_id="d", bundle_name="made", fileloc="d.py", is_stale=False))
        session.flush()
        run = {"dag_id": "d", "run_id": "r", "run_type": "manual", "state": "running", "run_after": BEGIN}
        session.execute(insert(DagRun.__table__), [run | {"logical_date": BEGIN, "clear_number": 0}])  # type: ignore[arg-type]
    event: dict[str, Any] = {"status": {"state": "succeeded"}, "called_back": True}
    resumed, after, cleared = [], [], []
    for index in range(RACES):
        make(index)
        task = find(token(index))
        assert task is not None
        resumed.append(sum(together([partial(resume, task, event)] * AT_ONCE)))
        after.append([*stands(index)[:2], (stands(index)[2] or {}).get("event"), resume(task, event)])
    for index in range(RACES, 2 * RACES):
        make(index)
        task = find(token(index))
        assert task is not None
        won, _ = together([partial(resume, task, event), partial(clear, index)])
        cleared.append([won, stands(index)[0], bool(stands(index)[2])])
    make(100, state="scheduled")
    make(101, classpath="airgate.triggers.wait.WaitTrigger")
    make(102)
    found = {
        "right": find(token(102)) is not None,
        "not deferred": find(token(100)) is not None,
        "another trigger": find(token(101)) is not None,
        "another nonce": find(replace(token(102), nonce="x")) is not None,
        "another task": find(replace(token(102), task_id="u")) is not None,
    }
    print("came: " + json.dumps({"resumed": resumed, "after": after, "cleared": cleared, "found": found}))


if __name__ == "__main__":
    main()
