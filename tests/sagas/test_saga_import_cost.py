"""What a DAG file with a saga pays for at each parse."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.empty import EmptyOperator
from airgate.hooks import Call
from airgate.operators import GatewayOperator
def add(n): return n + 1
with DAG("plain", schedule=None):
    GatewayOperator(task_id="a", path="/a", response_filter="a[0]") >> EmptyOperator(task_id="b")
    task(add)(1)
before = set(sys.modules)
from airgate.sagas import Saga, current_effect, saga
with DAG("orders", schedule=None), Saga("order") as order:
    order.step("a", Call("POST", "/a"), undo=Call("DELETE", "/a"), lookup=Call("GET", "/a"), lookup_filter="a[0]")
    order.step("b", task(task_id="b")(add)(1), pivot=True)
print(*sorted(set(sys.modules) - before))
"""

EXPECTED = {"graphlib"}
"""The order of steps is checked with it."""


def test_a_saga_costs_what_an_operator_costs() -> None:
    """Beyond a DAG with calls it brings its own modules, and nothing that only a running task needs."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    added = set(done.stdout.splitlines()[-1].split())
    assert "airgate.sagas.saga" in added
    others = {name for name in added if not name.startswith(("airgate.sagas", "airgate.policy"))}
    assert others == EXPECTED
