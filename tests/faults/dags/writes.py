"""The same write three ways: through airgate with a key, and as Airflow's http provider makes it, for the record."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from datetime import timedelta
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import dag

from airgate.operators import GatewayOperator

ORDER = "{{ dag.dag_id }}.{{ run_id }}"


def announce(context: Any) -> None:
    """Tell the service which processes are about to make the call."""
    order = f"{context['dag'].dag_id}.{context['run_id']}"
    said = {"order": order, "pid": os.getpid(), "parent": os.getppid()}
    request = urllib.request.Request(
        f"{os.environ['EFFECTS_URL']}/-/started", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def linger(context: Any, result: Any = None) -> None:
    """Go on a little after the call, as tasks do that have more to do than that."""
    time.sleep(float(os.environ["EFFECTS_LINGER"]))


COMMON: dict[str, Any] = {
    "task_id": "write",
    "method": "POST",
    "retries": 6,
    "retry_delay": timedelta(seconds=1),
    "pre_execute": announce,
    "post_execute": linger,
}
DAG: dict[str, Any] = {
    "schedule": None,
    "catchup": False,
    "max_active_runs": 100,
    "is_paused_upon_creation": False,
}


@dag(dag_id="gateway", **DAG)
def gateway() -> None:
    """Through airgate."""
    GatewayOperator(path=f"/orders/{ORDER}", json={"order": ORDER}, idempotency_key=True, **COMMON)


@dag(dag_id="http", **DAG)
def http() -> None:
    """With HttpOperator, on the worker."""
    HttpOperator(endpoint=f"/orders/{ORDER}", **COMMON)


@dag(dag_id="http_deferrable", **DAG)
def http_deferrable() -> None:
    """With HttpOperator, from the triggerer."""
    HttpOperator(endpoint=f"/orders/{ORDER}", deferrable=True, warn_on_non_idempotent=False, **COMMON)


gateway()
http()
http_deferrable()
