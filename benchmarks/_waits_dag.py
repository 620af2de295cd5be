"""The DAGs of the benchmark: many jobs of one service, waited for in each of the ways that are compared."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task

from airgate.jobs import Accepted
from airgate.operators import GatewayJobOperator

JOBS = int(os.environ["WAITS_JOBS"])
POLL = float(os.environ["WAITS_POLL"])
DAG: dict[str, Any] = {"schedule": None, "catchup": False, "is_paused_upon_creation": False, "max_active_tasks": JOBS}
SENSOR: dict[str, Any] = {"task_id": "wait", "method": "GET", "poke_interval": POLL, "timeout": 3600}


def accepted(*, batch: bool) -> Accepted:
    """How the service shows its jobs."""
    together = {"batch_path": "/jobs?ids={ids}", "listed": "jobs"} if batch else {}
    return Accepted(path="/jobs", status_path="/jobs/{id}", **together)


@task
def works() -> list[dict[str, Any]]:
    """What the operators submit, from another task: what stands in the DAG, the triggerer reads anew for each."""
    return [{"json": number} for number in range(JOBS)]


@task
def endpoints() -> list[str]:
    """Where the sensors look."""
    return [f"done/{number}" for number in range(JOBS)]


@dag(dag_id="airgate", **DAG)
def airgate() -> None:
    """One request a poll."""
    work = GatewayJobOperator.partial(task_id="wait", protocol=accepted(batch=False), poll_interval=POLL)
    work.expand(fields=works())


@dag(dag_id="airgate_batch", **DAG)
def airgate_batch() -> None:
    """One request for many polls."""
    work = GatewayJobOperator.partial(task_id="wait", protocol=accepted(batch=True), poll_interval=POLL)
    work.expand(fields=works())


@dag(dag_id="http_sensor", **DAG)
def http_sensor() -> None:
    """In the triggerer."""
    HttpSensor.partial(**SENSOR, deferrable=True).expand(endpoint=endpoints())


@dag(dag_id="http_sensor_reschedule", **DAG)
def http_sensor_reschedule() -> None:
    """In a worker for each poke."""
    HttpSensor.partial(**SENSOR, mode="reschedule").expand(endpoint=endpoints())


@dag(dag_id="beside", **DAG)
def beside() -> None:
    """What is measured with: the probe, and the one wait that the memory of the others is counted from."""
    EmptyOperator(task_id="probe")
    EmptyOperator(task_id="first")


airgate()
airgate_batch()
http_sensor()
http_sensor_reschedule()
beside()
