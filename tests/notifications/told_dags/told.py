"""Tasks that end in every way, and tell it; and one that nobody can be told of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airgate.notifications import CloudEventNotifier


def callbacks(name: str, *ways: str) -> dict[str, Any]:
    """A notifier for each of these."""
    return {f"on_{way}_callback": CloudEventNotifier(path="/events", type=f"{name}.{way}") for way in ways}


EVERY = ("success", "failure", "retry", "skipped", "execute")

with DAG("told", schedule=None):

    @task(**callbacks("works", *EVERY))
    def works() -> None:
        """Go well."""

    @task(retries=1, retry_delay=timedelta(0), **callbacks("breaks", *EVERY))
    def breaks() -> None:
        """Fail, with a text that is for nobody."""
        raise ValueError("password=hunter2")

    @task(trigger_rule="all_done", **callbacks("skips", *EVERY))
    def skips() -> None:
        """Be skipped."""
        raise AirflowSkipException

    @task
    def never_reached() -> None:
        """Wait for what fails."""

    works() >> breaks() >> [skips(), never_reached()]

with DAG("told_to_nobody", schedule=None):

    @task(
        on_success_callback=[
            CloudEventNotifier(path="/events", type="t", gateway_conn_id=conn_id)
            for conn_id in ("gateway_down", "gateway_missing")
        ]
    )
    def tells_nobody() -> None:
        """Go well."""

    tells_nobody()
