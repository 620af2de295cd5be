"""How Airflow says that a task instance stands: asked by its own process, and by the triggerer of any."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

ENDED = frozenset({"failed", "success", "skipped", "removed"})
"""States of a task instance in which nobody waits for its job."""


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
        told = ask(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=map_index)
    except Exception as error:
        log.warning("Airflow did not tell how task %s.%s (%s) stands: %s", dag_id, task_id, run_id, error)
        return None
    states = dict(told.get(run_id) or {})
    name = task_id if map_index < 0 else f"{task_id}_{map_index}"
    return str(states[name] or "") if name in states else None
