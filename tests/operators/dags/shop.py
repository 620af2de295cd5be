"""Orders that are new, their items, and all areas as one data set; run by test_extract_in_airflow.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pendulum
from airflow.sdk import Asset, dag, task

from airgate.operators import GatewayExtractOperator, Incremental, MergeManifestsOperator
from airgate.pagination import OffsetPages

ORDERS, SHARES, AREAS = Asset("orders"), Asset("shares"), Asset("areas")
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "area": {"type": "string"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
    "required": ["id"],
}


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"))
def shop() -> None:
    """Read, read below, fan out and merge."""
    new = Incremental(
        param="since",
        field="updated_at",
        asset=ORDERS,
        initial="2024-01-01",
        since="{{ params.get('since') or '' }}",
        until="{{ data_interval_end | default('', true) }}",
        until_param="until",
    )
    orders = GatewayExtractOperator(
        task_id="orders",
        path="/orders",
        paginator=OffsetPages(limit=2),
        schema=SCHEMA,
        incremental=new,
        partition_key="{{ run_id }}",
    )
    items = GatewayExtractOperator(
        task_id="items",
        path="/orders/{order_id}/items",
        paginator=OffsetPages(limit=2),
        parents=orders.output,
        parent_params={"order_id": "id"},
        parent_columns={"order_id": "id"},
    )
    areas = GatewayExtractOperator.partial(
        task_id="areas",
        path="/orders",
        paginator=OffsetPages(limit=2),
        schema=SCHEMA,
        incremental=Incremental(param="since", field="updated_at", asset=SHARES),
        outlets=[SHARES],
    ).expand(query=[{"area": area} for area in ("n", "s")])
    merged = MergeManifestsOperator(task_id="merged", data=areas.output, key=["id"], outlets=[AREAS])

    @task
    def report(orders: dict[str, object], items: dict[str, object], merged: dict[str, object]) -> None:
        with Path(os.environ["SHOP_REPORT"]).open("a") as file:
            file.write(json.dumps({"orders": orders, "items": items, "merged": merged}) + "\n")

    report(orders=orders.output, items=items.output, merged=merged.output)


shop()
