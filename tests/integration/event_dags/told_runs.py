"""A run that fails as the process of its task is gone, and one that goes well; both are told."""

from __future__ import annotations

import os
import signal

from airflow.sdk import DAG, get_current_context, task

from airgate.notifications import CloudEventNotifier


def tell(what: str) -> CloudEventNotifier:
    """A notifier at the test's own server."""
    return CloudEventNotifier(path="/events", type=what, gateway_conn_id="told")


with DAG(
    "told_runs",
    schedule=None,
    on_success_callback=tell("run.succeeded"),
    on_failure_callback=tell("run.failed"),
    params={"dies": False},
):

    @task(retries=0, on_success_callback=tell("task.succeeded"), on_failure_callback=tell("task.died"))
    def dies() -> None:
        """End this process and the one that watches over it, if asked to."""
        if get_current_context()["params"]["dies"]:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    dies()
