"""Runs of a DAG: asked for through the REST API, followed to their end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stack.airflow_api import AirflowApi, ApiFailed
from stack.failure import Failed

PREFIX = "demo__"
"""How the ids of our runs begin."""

UNFINISHED = ("queued", "running")

LONG_AGO = "2000-01-01T00:00:00Z"

INTERVAL = 1.5
"""Seconds between two looks."""

LOST_PATIENCE = 45.0
"""Seconds that Airflow may be unreachable before we give up; its processes are restarted meanwhile."""

OTHER_FILES = 6.0
"""Seconds that a DAG has to appear after some file turned out broken: that one need not be the DAG's own."""


class RunsFailed(Failed):
    """The DAG could not be run, or its runs did not succeed. The message is for the person at the terminal."""


@dataclass(frozen=True)
class Look:
    """What one look at the runs showed."""

    states: dict[str, str] = field(default_factory=dict)
    """Run id -> state."""
    ended: list[dict[str, Any]] = field(default_factory=list)
    """Task instances whose try ended since the look before, as Airflow describes them. One may come twice."""

    @property
    def finished(self) -> bool:
        """Whether no run is going on any more."""
        return bool(self.states) and not any(state in UNFINISHED for state in self.states.values())


def wait_parsed(airflow: AirflowApi, dag_id: str, since: datetime, patience: float = 90.0) -> None:
    """Wait until Airflow has read the DAG's file, as it is now.

    Args:
        airflow: whose.
        dag_id: of the DAG.
        since: an older reading does not count, it may be of an older file.
        patience: seconds.

    Raises:
        RunsFailed: the file cannot be imported, with the reason; or it took too long.
    """
    deadline = time.monotonic() + patience
    broken_since: float | None = None
    while True:
        dag = airflow.dag(dag_id)
        read_at = dag and dag["last_parsed_time"]
        if dag and read_at and datetime.fromisoformat(read_at) >= since and not dag["has_import_errors"]:
            return
        recent = [error for error in airflow.import_errors() if datetime.fromisoformat(error["timestamp"]) >= since]
        broken_since = (broken_since or time.monotonic()) if recent else None
        if broken_since and time.monotonic() - broken_since > OTHER_FILES:
            raise RunsFailed(
                "\n".join(f"cannot import {error['filename']}:\n{error['stack_trace']}" for error in recent)
            )
        if time.monotonic() > deadline:
            raise RunsFailed(f"Airflow has not found the DAG {dag_id} after {patience:.0f} s")
        time.sleep(0.5)


def give_up_unfinished(airflow: AirflowApi, dag_id: str) -> int:
    """Mark those of our runs as failed that an interrupted demo left in the middle; tell how many."""
    left = [run["dag_run_id"] for run in airflow.runs(dag_id, prefix=PREFIX, states=UNFINISHED)]
    for run_id in left:
        airflow.fail_run(dag_id, run_id)
    return len(left)


def start(airflow: AirflowApi, dag_id: str, days: tuple[str, ...]) -> dict[str, str]:
    """Ask for a run a day; give run id -> day."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    started = {f"{PREFIX}{stamp}__{day}": day for day in days}
    for run_id, day in started.items():
        airflow.trigger(dag_id, run_id, {"day": day})
    return started


def follow(
    airflow: AirflowApi, dag_id: str, run_ids: list[str], patience: float, check: Callable[[], object]
) -> Iterator[Look]:
    """Look at the runs again and again, until they are finished; the last look shows that.

    Args:
        airflow: whose.
        dag_id: of the DAG.
        run_ids: which runs.
        patience: seconds until they have to be finished.
        check: called each time; raises if waiting longer makes no sense.

    Raises:
        RunsFailed: they take too long, or Airflow stays unreachable.
    """
    deadline = time.monotonic() + patience
    heard = time.monotonic()
    newest = LONG_AGO
    prefix = os.path.commonprefix(run_ids)  # noqa: RUF071 - of strings, not of paths
    look = Look()
    while not look.finished:
        time.sleep(INTERVAL)
        check()
        if time.monotonic() > deadline:
            raise RunsFailed(f"the runs are not finished after {patience:.0f} s")
        try:
            # Runs first: once they are finished, no task ends any more. Only what is new is asked for: the same server
            # answers the tasks, and on a small machine describing all of them each time slows the runs down.
            states = {run["dag_run_id"]: run["state"] for run in airflow.runs(dag_id, prefix)}
            ended = airflow.tasks(dag_id, run_ids, ended_since=newest)
        except ApiFailed as error:
            if time.monotonic() - heard > LOST_PATIENCE:
                raise RunsFailed(str(error)) from error
            continue
        heard = time.monotonic()
        look = Look(states, ended)
        newest = max((task["end_date"] for task in ended), default=newest)
        yield look


def retries(tasks: list[dict[str, Any]]) -> int:
    """Count the tries that were needed beyond the first of each task instance."""
    return sum(max(task["try_number"] - 1, 0) for task in tasks)


def failures(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pick the task instances that failed by themselves, in the order they did."""
    return sorted((task for task in tasks if task["state"] == "failed"), key=lambda task: task["end_date"] or "")
