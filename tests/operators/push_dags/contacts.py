"""Contacts that tasks make as frames and a service takes; run by test_push_in_airflow.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pendulum
from airflow.sdk import dag, task

from airgate.hooks import GatewayHook
from airgate.operators import GatewayPushOperator


def _contacts(first: int, count: int) -> pd.DataFrame:
    ids = range(first, first + count)
    return pd.DataFrame({"id": ids, "email": [f"somebody{number}@example.com" for number in ids]})


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"))
def contacts() -> None:
    """Push the frame of a task, the frames of mapped tasks, and one from within a task."""

    @task
    def made(first: int) -> pd.DataFrame:
        return _contacts(first, 5)

    @task
    def within() -> dict[str, object]:
        with GatewayHook() as hook:
            return hook.push(_contacts(500, 5), "/items", batch_size=2, body="items")

    @task
    def tell(reports: list[dict[str, object]]) -> None:
        Path(os.environ["CONTACTS_REPORT"]).write_text(json.dumps(reports))

    options = {"path": "/items", "batch_size": 2, "body": "items"}
    one = GatewayPushOperator(task_id="one", data=made(100), **options)
    several = made.override(task_id="several").expand(first=[200, 300])
    all_at_once = GatewayPushOperator(task_id="all_at_once", data=several, **options)
    each = GatewayPushOperator.partial(task_id="each", epoch="each", **options).expand(data=several)
    tell([one.output, all_at_once.output, within()]).set_upstream(each)


contacts()
