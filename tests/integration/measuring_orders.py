"""How long an order takes through the gateway: ``PYTHONPATH=.:scripts python -m tests.integration.measuring_orders``.

One client orders again and again, each time by one request that waits for the result. Told are median and 95th
percentile, in seconds from the request: to the start of the first task, and to the answer with the result. The
services behind the gateway do not misbehave, and nothing else is asked of Airflow.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from stack.airflow_api import AirflowApi
from tests.integration.ordering import Client, order_stack

DAG = "order_fulfillment"


def one_order(client: Client, airflow: AirflowApi) -> tuple[float, float]:
    """Order once; seconds to the first task's start, and to the result."""
    began, number = time.time(), f"M-{uuid4().hex}"
    answer = client.order(number, wait=25)
    run_id = answer.json()["id"]
    standing = answer.json() if answer.status_code == 200 else client.followed(answer.headers["location"])
    ended = time.time()
    if standing["state"] != "success":
        raise SystemExit(f"the order failed: {standing}")
    starts = [task["start_date"] for task in airflow.tasks(DAG, [run_id]) if task["start_date"]]
    return min(datetime.fromisoformat(start).timestamp() for start in starts) - began, ended - began


def figures(seconds: list[float]) -> str:
    """Median and 95th percentile of some measurements."""
    return f"p50 {statistics.median(seconds):.1f} s, p95 {statistics.quantiles(seconds, n=20)[-1]:.1f} s"


def main(arguments: list[str]) -> None:
    """Measure and print."""
    orders = int(arguments[0]) if arguments else 15
    with tempfile.TemporaryDirectory() as folder, order_stack(Path(folder) / "home") as running:
        client = running.client("measurer")
        one_order(client, running.stack.airflow)  # the first one builds what is built once
        measured = [one_order(client, running.stack.airflow) for _ in range(orders)]
    print(f"{orders} orders, request to first task: {figures([first for first, _ in measured])}")
    print(f"{orders} orders, request to result: {figures([result for _, result in measured])}")


if __name__ == "__main__":
    main(sys.argv[1:])
