"""Whether a task's job still has somebody who waits for it, and what others end it with when it has not."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks import task_states
from airgate.hooks.gateway import GatewayHook
from airgate.jobs.protocol import JobProtocol, reference
from airgate.operators.job_record import RECORD_KEY
from airgate.policy.errors import GatewayError

_ASK_SECONDS = 1.5
"""For Airflow's answer in a process that is told to end, which has five seconds left."""


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
    state = task_states.state_of(ask, *_named(ti))
    if state in task_states.ENDED:
        return f"the task was marked {state}"
    ask = getattr(ti, "get_dagrun_state", None)
    run = None if ask is None else task_states.run_state_of(ask, ti.dag_id, ti.run_id)
    return f"the run was marked {run}" if run in task_states.RUN_ENDED else None


def heir_of(context: Any) -> str | None:
    """Who else sees to the job of a process that is told to end, in words; None where this process has to end it.

    Airflow also ends processes whose task goes on: one that it has not heard of for too long, and one that has not
    heard of Airflow. The next try of such a task waits for the same job. Should the task end after all, the api-server
    or the scheduler orders the end of its job, so this is asked only where others can end it, see ``for_others``.
    """
    said: list[str | None] = []
    asking = threading.Thread(target=lambda: said.append(_heir_of(context)), name="airgate-ask", daemon=True)
    asking.start()
    asking.join(_ASK_SECONDS)
    return said[0] if said else f"the next try, as Airflow has not answered within {_ASK_SECONDS:g} s"


def _heir_of(context: Any) -> str | None:
    ti = context["ti"]
    if (ask := getattr(ti, "get_task_states", None)) is None:
        return None
    try:
        state = task_states.told_state(ask, *_named(ti))
        if state in (None, "restarting") or ending_of(ti):
            return None
        # Airflow gives the next try another id, and knows this process's one no more.
        return (
            None if context["task_state_store"].get(RECORD_KEY) else f"the next try, the task is {state or 'cleared'}"
        )
    except Exception as error:
        return f"the next try, as Airflow cannot be asked ({error})"


def _named(ti: Any) -> tuple[str, str, str, int]:
    """A task instance as one asks for it."""
    return ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index


def is_last(ti: Any) -> bool:
    """Whether no try comes behind this one, unless the task is cleared."""
    tries = getattr(ti, "try_number", None)
    return tries is not None and tries > ti.max_tries


def is_final(error: BaseException, ti: Any) -> bool:
    """Whether no later try comes back to the job of a try that ends with this error.

    The task may have a retry policy of its own that decides otherwise; its next try then submits another job.
    """
    if isinstance(error, AirflowFailException) or (isinstance(error, GatewayError) and not error.retryable):
        return True
    return is_last(ti)
