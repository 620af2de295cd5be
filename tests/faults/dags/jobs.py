"""One job five ways: in the triggerer, in the worker, at a service that honours no keys, and twice by one try.

The last one is at a service that cannot be asked for the job of a key.
"""

from __future__ import annotations

import json
import os
import urllib.request
from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from airgate.operators import GatewayJobOperator
from tests.job_farm import FarmJob

ORDER = "{{ dag.dag_id }}.{{ run_id }}"
COMMON: dict[str, Any] = {
    "task_id": "work",
    "retries": 20,  # while the api-server is away, tries fail one after the other
    "retry_delay": timedelta(seconds=1),
    "poll_interval": (0.5, 1),
}
DAG: dict[str, Any] = {"schedule": None, "catchup": False, "max_active_runs": 100, "is_paused_upon_creation": False}


def announce(context: Any) -> None:
    """Tell the service which processes are about to submit."""
    order = f"{context['dag'].dag_id}.{context['run_id']}"
    said = {"order": order, "pid": os.getpid(), "parent": os.getppid()}
    request = urllib.request.Request(
        f"{os.environ['EFFECTS_URL']}/-/started", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


@dag(dag_id="jobs_deferred", **DAG)
def jobs_deferred() -> None:
    """In the triggerer."""
    GatewayJobOperator(protocol=FarmJob({"name": ORDER}), pre_execute=announce, **COMMON)


@dag(dag_id="jobs_here", **DAG)
def jobs_here() -> None:
    """In the worker."""
    GatewayJobOperator(protocol=FarmJob({"name": ORDER}), deferrable=False, pre_execute=announce, **COMMON)


@dag(dag_id="jobs_found", **DAG)
def jobs_found() -> None:
    """Without an honoured key."""
    GatewayJobOperator(protocol=FarmJob({"name": ORDER}, header=False), pre_execute=announce, **COMMON)


@dag(dag_id="jobs_once", **DAG)
def jobs_once() -> None:
    """In the worker, by one try."""
    once = {**COMMON, "retries": 0}
    GatewayJobOperator(protocol=FarmJob({"name": ORDER}), deferrable=False, pre_execute=announce, **once)


@dag(dag_id="jobs_unfound", **DAG)
def jobs_unfound() -> None:
    """In the worker, by one try, with a key that finds nothing."""
    once = {**COMMON, "retries": 0}
    GatewayJobOperator(
        protocol=FarmJob({"name": ORDER}, can_find=False), deferrable=False, pre_execute=announce, **once
    )


jobs_deferred()
jobs_here()
jobs_found()
jobs_once()
jobs_unfound()
