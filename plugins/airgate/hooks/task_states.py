"""How Airflow says that a task instance stands: asked by its own process, and by the triggerer of any."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

ENDED = frozenset({"failed", "success", "skipped", "removed"})
"""States of a task instance in which nobody waits for its job."""
RUN_ENDED = frozenset({"failed", "success"})
"""States of a run in which none of its tasks has a job to wait for.

A scheduler that handles a task in the very moment in which its run is ended may put it back in line, or even start it,
where no rows are locked, as with SQLite: it writes what it has decided by an earlier state. Only the run tells then.
"""


def state_of(ask: Callable[..., Any], dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
    """The state of a task instance, empty for one that is cleared; None where there is none, or Airflow does not tell.

    Args:
        ask: ``get_task_states`` of a running task, or of their class.
        dag_id: Of its DAG.
        run_id: Of its run.
        task_id: Of its task.
        map_index: -1 for one that is not mapped.
    """
    try:
        return told_state(ask, dag_id, run_id, task_id, map_index)
    except Exception as error:
        log.warning("Airflow did not tell how task %s.%s (%s) stands: %s", dag_id, task_id, run_id, error)
        return None


def told_state(ask: Callable[..., Any], dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
    """The same for who has to know whether Airflow told it: None where there is no such task instance.

    Raises:
        Exception: Airflow does not tell.
    """
    told = ask(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index)
    states = dict(told.get(run_id) or {})
    name = task_id if map_index < 0 else f"{task_id}_{map_index}"
    return str(states[name] or "") if name in states else None


def run_state_of(ask: Callable[..., Any], dag_id: str, run_id: str) -> str | None:
    """The state of a run; None where there is none, or Airflow does not tell.

    Args:
        ask: ``get_dagrun_state`` of a running task, or of their class.
        dag_id: Of its DAG.
        run_id: Of the run.
    """
    try:
        state = ask(dag_id=dag_id, run_id=run_id)
        return str(getattr(state, "value", state))
    except Exception as error:
        log.warning("Airflow did not tell how the run %s of %s stands: %s", run_id, dag_id, error)
        return None
