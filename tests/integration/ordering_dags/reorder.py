"""A DAG of another Airflow that orders through the gateway: it submits, waits and takes the result as of any job."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag

from airgate.jobs import Accepted
from airgate.operators import GatewayJobOperator

ORDER: dict[str, Any] = {
    "customer": {"name": "Grace", "email": "grace@example.com"},
    "items": [{"sku": "ear-plugs", "quantity": 3}],
    "address": {"street": "12 Canal Road", "city": "Boston", "postcode": "02134", "country": "US"},
    "card": "tok_visa",
}


@dag(dag_id="reorder", schedule=None, catchup=False)
def reorder() -> None:
    """Order by a job."""
    GatewayJobOperator(
        task_id="order",
        protocol=Accepted(path="/orders", json=ORDER, honours_keys=True, output="result", message="problem.detail"),
    )


reorder()
