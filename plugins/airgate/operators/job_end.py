"""Whether a task's job still has somebody who waits for it, and what others end it with when it has not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks.gateway import GatewayHook
from airgate.jobs.protocol import JobProtocol, reference
from airgate.policy.errors import GatewayError

log = logging.getLogger(__name__)

ENDED = frozenset({"failed", "success", "skipped", "removed"})
"""States of a task instance in which nobody waits for its job."""


def for_others(hook: GatewayHook, protocol: JobProtocol) -> Mapping[str, Any] | None:
    """What another process ends a job of this protocol with, None where it could not make the protocol anew."""
    try:
        return {"gateway_conn_id": hook.gateway_conn_id, "protocol": reference(protocol)}
    except ValueError:
        return None


def state_of(ti: Any) -> str | None:
    """How Airflow says that a task instance stands, None where it does not tell."""
    ask = getattr(ti, "get_task_states", None)
    if ask is None:
        return None
    index = -1 if ti.map_index is None else ti.map_index
    try:
        told = ask(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=index)
    except Exception as error:
        log.warning("Airflow did not tell how this task stands: %s", error)
        return None
    return dict(told.get(ti.run_id) or {}).get(ti.task_id if index < 0 else f"{ti.task_id}_{index}")


def is_final(error: BaseException, ti: Any) -> bool:
    """Whether no later try comes back to the job of a try that ends with this error.

    The task may have a retry policy of its own that decides otherwise; its next try then submits another job.
    """
    if isinstance(error, AirflowFailException) or (isinstance(error, GatewayError) and not error.retryable):
        return True
    tries = getattr(ti, "try_number", None)
    return tries is not None and tries > ti.max_tries
