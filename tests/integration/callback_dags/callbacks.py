"""Jobs whose service calls back."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag

from airgate.jobs import CALLBACK_URL
from airgate.operators import GatewayJobOperator
from tests.job_farm import FarmJob

DAG: dict[str, Any] = {"schedule": None, "catchup": False, "max_active_runs": 100, "is_paused_upon_creation": False}
WORK = FarmJob({"name": "{{ run_id }}", "then": {"call": CALLBACK_URL}})


@dag(dag_id="called_back", **DAG)
def called_back() -> None:
    """Looked at only after minutes."""
    GatewayJobOperator(task_id="work", protocol=WORK, callback=True, poll_interval=300)


@dag(dag_id="looked_at_soon", **DAG)
def looked_at_soon() -> None:
    """Looked at after some seconds."""
    GatewayJobOperator(task_id="work", protocol=WORK, callback=True, poll_interval=8)


called_back()
looked_at_soon()
