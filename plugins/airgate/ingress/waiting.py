"""The deferred task that a callback is for: found by its token, resumed by Airflow's own way of resuming it.

All of it blocks: it asks Airflow's database.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger, handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select, update
from sqlalchemy.orm import lazyload

from airgate.policy.callback import CallbackToken
from airgate.triggers.job import JobTrigger, Waiting

_TRIGGER = f"{JobTrigger.__module__}.{JobTrigger.__qualname__}"


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task instance that is deferred, with what it waits for."""

    id: Any
    """Of this try of the task instance."""
    trigger_id: int
    """Of this deferral."""
    deferred_at: float
    """Unix time."""
    gateway_conn_id: str
    waiting: Waiting


def find(token: CallbackToken) -> WaitingTask | None:
    """The task that waits for this very callback; None when none does, whatever the reason."""
    named = (
        select(TaskInstance.id, Trigger)
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(
            TaskInstance.dag_id == token.dag_id,
            TaskInstance.run_id == token.run_id,
            TaskInstance.task_id == token.task_id,
            TaskInstance.map_index == token.map_index,
            TaskInstance.state == TaskInstanceState.DEFERRED,
            Trigger.classpath == _TRIGGER,
        )
        .options(lazyload(Trigger.task_instance))
    )
    with create_session(scoped=False) as session:
        found = session.execute(named).one_or_none()
        if found is None:
            return None
        task_id, trigger = found
        kwargs, deferred_at = trigger.kwargs, trigger.created_date.timestamp()
    waiting = Waiting(**kwargs["waiting"])
    if not hmac.compare_digest(waiting.callback, token.mark):
        return None
    return WaitingTask(task_id, trigger.id, deferred_at, kwargs["gateway_conn_id"], waiting)


def resume(task: WaitingTask, event: dict[str, Any]) -> bool:
    """Resume the task with an event, if it still waits; whether it did."""
    for attempt in run_with_db_retries():
        with attempt:
            return _resume(task, event)
    raise AssertionError("the last attempt returns or raises")


def _resume(task: WaitingTask, event: dict[str, Any]) -> bool:
    with create_session(scoped=False) as session:
        # Locks the row and checks it in one statement, on databases without row locks too: of several callbacks, and
        # of a callback and a clear, the first one counts.
        held = session.execute(
            update(TaskInstance)
            .where(
                TaskInstance.id == task.id,
                TaskInstance.state == TaskInstanceState.DEFERRED,
                TaskInstance.trigger_id == task.trigger_id,
            )
            .values(trigger_id=task.trigger_id)
            .execution_options(synchronize_session=False)
        )
        if held.rowcount != 1:  # type: ignore[attr-defined]
            return False
        instance = session.get_one(TaskInstance, task.id)
        handle_event_submit(TriggerEvent(event), task_instance=instance, session=session)  # type: ignore[no-untyped-call]
        return True
