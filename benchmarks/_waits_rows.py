"""Deferred task instances and their triggers, made by Airflow's own models as if workers had just deferred them.

`python benchmarks/_waits_rows.py DAG_ID JOBS LAGS` parses the DAGs, makes their runs, defers the probe (which writes to
the file LAGS) and one wait for a job that never ends, and says `first`. A line on stdin later it defers the others, and
says `all`. With the DAG alone it only makes the run, which a scheduler goes on with, and says `made`. It needs the
environment of the other processes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from _waits_dag import POLL, SENSOR, accepted
from _waits_probe import LagTrigger
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagbag import DBDagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskmap import TaskMap
from airflow.models.trigger import Trigger
from airflow.providers.http.triggers.http import HttpSensorTrigger
from airflow.sdk.exceptions import TaskDeferred
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

from airgate.jobs import JobHandle
from airgate.operators import GatewayJobOperator
from airgate.operators.job_record import JobRecord

NEVER = 10**9
"""Number of a job that does not end."""


def job_wait(number: int, *, batch: bool) -> TaskDeferred:
    """What the operator asks Airflow for once the job is submitted."""
    operator = GatewayJobOperator(task_id="wait", protocol=accepted(batch=batch), poll_interval=POLL)
    handle = JobHandle(str(number), {"at": {"path": f"/jobs/{number}"}, "documents": True})
    try:
        operator._defer(handle, JobRecord(started_at=time.time()))
    except TaskDeferred as deferred:
        return deferred


def sensor_wait(number: int) -> TaskDeferred:
    """What the sensor asks Airflow for after its first poke."""
    trigger = HttpSensorTrigger(endpoint=f"done/{number}", method="GET", poke_interval=SENSOR["poke_interval"])
    return TaskDeferred(trigger=trigger, method_name="execute_complete")


WAITS = {
    "airgate": lambda number: job_wait(number, batch=False),
    "airgate_batch": lambda number: job_wait(number, batch=True),
    "http_sensor": sensor_wait,
}


def make_runs(dag_ids: Iterable[str], jobs: int = 0) -> None:
    """Make the DAGs known, and a run of each; with ``jobs``, the waiting task is expanded as if its list had come."""
    bundles = DagBundlesManager()
    bundles.sync_bundles_to_db()
    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    bag = DagBag(folder, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    now = _now()
    with create_session() as session:
        sync_bag_to_db(bag, "dags-folder", None, session=session)
    with create_session() as session:
        for dag_id in dag_ids:
            dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
            assert dag is not None, dag_id
            dag.create_dagrun(
                run_id="run",
                run_after=now,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.CLI,
                state=DagRunState.RUNNING,
                start_date=now,
                session=session,
            )
            for task in dag.tasks:
                if jobs and task.task_id in {"works", "endpoints"}:
                    session.add(TaskMap(dag_id, task.task_id, "run", -1, jobs, None))
                    session.flush()
                    TaskMap.expand_mapped_task(dag.get_task("wait"), "run", session=session)


def defer(dag_id: str, waits: dict[tuple[str, int], TaskDeferred]) -> None:
    """Put task instances, by task and map index, into the state in which a deferral leaves them."""
    triggers = {key: Trigger.from_object(wait.trigger) for key, wait in waits.items()}
    with create_session() as session:
        session.add_all(triggers.values())
        session.flush()
        instances = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == dag_id))
        found = {(instance.task_id, instance.map_index): instance for instance in instances}
        for key, trigger in triggers.items():
            instance, wait = found[key], waits[key]
            instance.state = TaskInstanceState.DEFERRED
            instance.trigger_id = trigger.id
            instance.next_method = wait.method_name
            instance.next_kwargs = wait.kwargs or {}
            instance.start_date = _now()
            instance.try_number = 1
            if wait.timeout is not None:
                instance.trigger_timeout = _now() + wait.timeout


def _now() -> Any:
    from airflow._shared.timezones import timezone

    return timezone.utcnow()


def main(dag_id: str, jobs: str = "", path: str = "") -> None:
    """Make the rows, in two steps if they are to be deferred."""
    if not jobs:
        make_runs([dag_id])
        print("made", flush=True)
        return
    make_runs([dag_id, "beside"], int(jobs))
    probe = TaskDeferred(trigger=LagTrigger(path), method_name="execute")
    defer("beside", {("probe", -1): probe, ("first", -1): WAITS[dag_id](NEVER)})
    print("first", flush=True)
    sys.stdin.readline()
    defer(dag_id, {("wait", number): WAITS[dag_id](number) for number in range(int(jobs))})
    print("all", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
