"""Whether a task's job still has somebody who waits for it, and what others end it with when it has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks import task_states
from airgate.hooks.gateway import GatewayHook
from airgate.jobs.protocol import JobProtocol, reference
from airgate.policy.errors import GatewayError


def for_others(hook: GatewayHook, protocol: JobProtocol) -> Mapping[str, Any] | None:
    """What another process ends a job of this protocol with, None where it could not make the protocol anew."""
    try:
        return {"gateway_conn_id": hook.gateway_conn_id, "protocol": reference(protocol)}
    except ValueError:
        return None


def ending_of(ti: Any) -> str | None:
    """How Airflow says that a task instance was ended, in words; None where it goes on, or Airflow does not tell."""
    ask = getattr(ti, "get_task_states", None)
    if ask is None:
        return None
    map_index = -1 if ti.map_index is None else ti.map_index
    state = task_states.state_of(ask, ti.dag_id, ti.run_id, ti.task_id, map_index)
    if state in task_states.ENDED:
        return f"the task was marked {state}"
    ask = getattr(ti, "get_dagrun_state", None)
    run = None if ask is None else task_states.run_state_of(ask, ti.dag_id, ti.run_id)
    return f"the run was marked {run}" if run in task_states.RUN_ENDED else None


def is_final(error: BaseException, ti: Any) -> bool:
    """Whether no later try comes back to the job of a try that ends with this error.

    The task may have a retry policy of its own that decides otherwise; its next try then submits another job.
    """
    if isinstance(error, AirflowFailException) or (isinstance(error, GatewayError) and not error.retryable):
        return True
    tries = getattr(ti, "try_number", None)
    return tries is not None and tries > ti.max_tries
