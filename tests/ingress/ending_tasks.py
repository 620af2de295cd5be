"""A program: tasks that are ended in Airflow's real database while airgate listens. Prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.listeners.listener import get_listener_manager
from airflow.models.callback import Callback, TriggererCallback
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import TriggerEvent
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import insert, select
from uuid6 import uuid7

from airgate.ingress import listener
from airgate.jobs import Accepted
from airgate.jobs.job import JobHandle
from airgate.operators import GatewayJobOperator
from airgate.operators.job_record import RECORD_KEY, JobRecord
from airgate.triggers.job import Waiting

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PROTOCOL = {"class": "x:Y", "fields": {}}
CANCEL = {"gateway_conn_id": "gateway_default", "protocol": PROTOCOL}


class Build(GatewayJobOperator):
    """A user's own operator."""


class Store:
    """A task's state store, as far as a record needs it: the row that the api-server would write."""

    def __init__(self, task_id: str, map_index: int = -1) -> None:
        self.task_id, self.map_index = task_id, map_index

    def set(self, key: str, value: Any) -> None:
        """Store it."""
        with create_session(scoped=False) as session:
            run = session.scalar(select(DagRun.id))
            row = {"dag_run_id": run, "dag_id": "d", "run_id": "r", "task_id": self.task_id, "key": key}
            session.add(TaskStateStoreModel(**row, map_index=self.map_index, value=json.dumps(value)))


def remember(task_id: str, map_index: int = -1, **record: Any) -> None:
    """Write a task's record."""
    handle = JobHandle(f"job-{task_id}{'' if map_index < 0 else map_index}")
    JobRecord(**{"handle": handle, "cancel": CANCEL, **record}).save({"task_state_store": Store(task_id, map_index)})


def make(task_id: str, state: str, map_index: int = -1, *, cancels: bool | None = None) -> None:
    """A task instance, deferred for a job where that is told."""
    with create_session(scoped=False) as session:
        trigger_id = None
        if cancels is not None:
            waiting = Waiting(PROTOCOL, {"id": f"job-{task_id}"}, 0.0, 1.0, 1.0, cancels=cancels)
            what = {"gateway_conn_id": "gateway_default", "waiting": asdict(waiting)}
            trigger = Trigger("airgate.triggers.job.JobTrigger", what)
            session.add(trigger)
            session.flush()
            trigger_id = trigger.id
        row = {"id": uuid7(), "dag_id": "d", "run_id": "r", "task_id": task_id, "map_index": map_index, "state": state}
        more = {"pool": "default_pool", "trigger_id": trigger_id}
        session.execute(insert(TaskInstance.__table__), [row | more])  # type: ignore[arg-type]


def end(task_id: str, state: str = "failed", meanwhile: Callable[[], None] = lambda: None, map_index: int = -1) -> None:
    """Mark a task as Airflow does, in one transaction with what it tells its listeners; then wait for the second look.

    Args:
        task_id: of the task.
        state: the new one.
        meanwhile: what others do between that and the commit.
        map_index: of the task.
    """
    hook = get_listener_manager().hook
    with create_session(scoped=False) as session:
        wanted = select(TaskInstance).where(TaskInstance.task_id == task_id, TaskInstance.map_index == map_index)
        task = session.scalars(wanted).one()
        task.state = state
        session.flush()
        told = {"previous_state": None, "task_instance": task}
        if state == "success":
            hook.on_task_instance_success(**told)
        elif state == "skipped":
            hook.on_task_instance_skipped(**told)
        else:
            hook.on_task_instance_failed(**told, error="marked")
        meanwhile()
    settle()


def dag(*operators: BaseOperator) -> SerializedDAG:
    """A DAG of operators as Airflow's servers know it."""
    with DAG("d", schedule=None) as made:
        for operator in operators:
            made.add_task(operator)
    return DagSerialization.from_dict(DagSerialization.to_dict(made))


def end_run(msg: str, of: SerializedDAG | None = None) -> None:
    """End the run, of a DAG if that is at hand."""
    with create_session(scoped=False) as session:
        run = session.scalars(select(DagRun)).one()
        run.dag = of
        get_listener_manager().hook.on_dag_run_failed(dag_run=run, msg=msg)
    settle()


def settle() -> None:
    """Wait until everything is looked at."""
    listener._thread().submit(lambda: None).result(60)


def orders() -> dict[str, Any]:
    """What is ordered and not done yet, by job."""
    with create_session(scoped=False) as session:
        found = {}
        for order in session.scalars(select(TriggererCallback).where(TriggererCallback.trigger_id.is_not(None))):
            kind, kwargs = order.trigger.classpath, order.trigger.kwargs
            what = kwargs["callback_kwargs"]
            found[what["handle"]["id"] if "handle" in what else what["trace"]["key"]] = [order.state, kind, kwargs]
    return found


def state(task_id: str) -> str | None:
    """Of a task."""
    with create_session(scoped=False) as session:
        return session.scalar(select(TaskInstance.state).where(TaskInstance.task_id == task_id))


def cases(*, concurrent: bool) -> dict[str, Any]:
    """Everything that happens, in order, with what is ordered after each."""
    came: dict[str, Any] = {}

    def noted(name: str, do: Callable[[], None]) -> None:
        before = set(orders())
        do()
        came[name] = sorted(set(orders()) - before)

    make("deferred", "deferred", cancels=True)
    noted("deferred", lambda: end("deferred"))
    noted("deferred again", lambda: end("deferred", "success"))
    make("left", "deferred", cancels=False)
    noted("left", lambda: end("left"))
    for marked in ("failed", "success", "skipped"):
        make(f"running-{marked}", "running")
        remember(f"running-{marked}")
        noted(f"running, {marked}", lambda marked=marked: end(f"running-{marked}", marked))
    make("both", "deferred", cancels=True)
    remember("both")
    noted("both", lambda: end("both"))
    for index in (0, 1):
        make("mapped", "running", index)
        remember("mapped", index)
    noted("mapped", lambda: end("mapped", map_index=1))
    make("unheard", "running")
    remember("unheard", handle=None, settles_at=7.0, trace={"key": "key-unheard", "protocol": PROTOCOL})
    noted("unheard", lambda: end("unheard"))
    came["unheard order"] = orders()["key-unheard"][2]
    noted("unheard again", lambda: end("unheard", "success"))
    with create_session(scoped=False) as session:
        [done] = [each for each in session.scalars(select(TriggererCallback)) if "key-unheard" in str(each.data)]
        done.handle_event(TriggerEvent({"state": "success", "body": "no job"}), session)
    noted("unheard once more", lambda: end("unheard"))
    with create_session(scoped=False) as session:
        [done] = [each for each in session.scalars(select(TriggererCallback)) if "key-unheard" in str(each.data)]
        done.handle_event(TriggerEvent({"state": "running"}), session)
    came["looks for unheard"] = []
    for _ in range(2):
        end("unheard")
        with create_session(scoped=False) as session:
            looks = [
                each.state for each in session.scalars(select(TriggererCallback)) if "key-unheard" in str(each.data)
            ]
        came["looks for unheard"].append(sorted(looks))
    nothing: dict[str, dict[str, Any]] = {
        "over": {"over": True},
        "alone": {"cancel": None},
        "unsent": {"handle": None},
        "untraced": {"handle": None, "settles_at": 7.0},
    }
    for name, record in nothing.items():
        make(name, "running")
        remember(name, **record)
        noted(name, lambda name=name: end(name))
    make("plain", "running")
    noted("plain", lambda: end("plain"))
    make("retried", "running")
    remember("retried")
    noted("retried", lambda: end("retried", "up_for_retry"))
    make("strange", "running")
    Store("strange").set(RECORD_KEY, "kept elsewhere")
    noted("strange", lambda: end("strange"))
    make("broken", "running")
    Store("broken").set(RECORD_KEY, {"handle": {"id": "x"}, "cancel": {"what": "is this"}})
    noted("broken", lambda: end("broken"))
    came["broken is"] = state("broken")
    if concurrent:
        make("late", "running")
        noted("late", lambda: end("late", meanwhile=lambda: remember("late")))
    Trigger.clean_unused()
    came["kept"] = sorted(orders())
    make("between", "skipped")
    remember("between")
    plain, jobs = dag(EmptyOperator(task_id="plain")), dag(Build(task_id="build", protocol=Accepted(path="/builds")))
    noted("run without jobs that ended by itself", lambda: end_run("task_failure", plain))
    noted("run", lambda: end_run("Dag Run's state was manually set to `failed`.", plain))
    make("killed", "failed")
    remember("killed")
    noted("run with jobs that ended by itself", lambda: end_run("task_failure", jobs))
    came["order"] = orders()["job-between"]
    with create_session(scoped=False) as session:
        came["dags"] = sorted({order.data["dag_id"] for order in session.scalars(select(Callback))})
    return came


def main() -> None:
    """Run it."""
    initdb()
    with create_session(scoped=False) as session:
        session.add(DagBundleModel(name="made"))
        session.flush()
        session.add(DagModel(dag_id="d", bundle_name="made", fileloc="d.py"))
        session.flush()
        session.add(DagRun("d", "r", run_after=BEGIN, run_type="manual", state="running"))
    listener.listen()
    listener.listen()
    print("came:", json.dumps(cases(concurrent=sys.argv[1:] == ["concurrent"])))


if __name__ == "__main__":
    main()
