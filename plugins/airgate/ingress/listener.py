"""Hears from Airflow's servers that a task or a run was ended by someone else, and sees to it that its jobs end too.

Of workers and triggerers it is no part: they end their own jobs.
"""

from __future__ import annotations

import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.listeners.listener import get_listener_manager
from sqlalchemy import event
from sqlalchemy.orm import Session, object_session

from airgate.ingress.ended_tasks import EndedTask, order_ends

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

log = logging.getLogger(__name__)

_OF_ITSELF = frozenset({"success", "task_failure", "all_tasks_deadlocked"})
"""What Airflow says of a run whose tasks have all come to an end; one whose process was killed may have left a job."""
_OF_JOBS = frozenset({"protocol", "gateway_conn_id"})
"""Template fields of operators with jobs, also of those that users derive."""
_ENDED = frozenset({"failed", "success", "skipped"})
_PENDING = "airgate.ended"
"""Where a session keeps what is looked at again after its commit."""


class EndedListener:
    """Airflow's listener; what goes wrong in it is logged and stops nobody.

    Args:
        at_once: Whether ends are ordered in the transaction that ends the task, and not only after it: the scheduler
            forbids the savepoints which that takes (``prohibit_commit``).
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once

    @hookimpl
    def on_task_instance_failed(self, task_instance: TaskInstance) -> None:
        """Marked failed, or failed by the scheduler as its worker is gone."""
        self._task_ended(task_instance)

    @hookimpl
    def on_task_instance_success(self, task_instance: TaskInstance) -> None:
        """Marked successful."""
        self._task_ended(task_instance)

    @hookimpl
    def on_task_instance_skipped(self, task_instance: TaskInstance) -> None:
        """Marked skipped."""
        self._task_ended(task_instance)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """Marked failed, or out of time."""
        self._run_ended(dag_run, msg)

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:
        """Marked successful."""
        self._run_ended(dag_run, msg)

    def _task_ended(self, task: TaskInstance) -> None:
        if task.state in _ENDED:  # and not one that is tried again
            self._see_to(task, EndedTask(task.dag_id, task.run_id, task.task_id, task.map_index))

    def _run_ended(self, run: DagRun, msg: str) -> None:
        if msg not in _OF_ITSELF or _has_jobs(run):
            self._see_to(run, EndedTask(run.dag_id, run.run_id))

    def _see_to(self, row: object, ended: EndedTask) -> None:
        try:
            session = object_session(row)
            if session is None:
                _again(frozenset({ended}))
                return
            _after_commit(session, ended)
            if self._at_once:
                with session.begin_nested():  # what fails in here is undone, and no more than that
                    order_ends(ended, session)
        except Exception:
            log.exception("the jobs of %s may go on although their task has ended", ended)


def _has_jobs(run: DagRun) -> bool:
    """Whether a run's DAG has tasks with jobs; True where it cannot be told."""
    dag = run.dag
    return dag is None or any(_OF_JOBS.issubset(task.template_fields) for task in dag.tasks)


@functools.cache
def ended_listener(*, at_once: bool) -> EndedListener:
    """The one of this process.

    A scheduler's children have none: they may run tasks and parse DAG files, and Airflow refuses some of these where
    anyone listens (``end_from_trigger=True``).
    """
    listener = EndedListener(at_once=at_once)
    os.register_at_fork(after_in_child=functools.partial(_forget, listener))
    return listener


def listen() -> None:
    """Register the api-server's listener; to do it twice does no harm."""
    get_listener_manager().add_listener(ended_listener(at_once=True))  # type: ignore[no-untyped-call]


def _forget(listener: EndedListener) -> None:
    if get_listener_manager.cache_info().currsize and get_listener_manager().pm.is_registered(listener):
        get_listener_manager().pm.unregister(listener)


def _after_commit(session: Session, ended: EndedTask) -> None:
    """Look again after the commit: a handle that a worker stored meanwhile was not to be seen before.

    The worker in turn stores the handle before it asks whether its task has ended, so one of the two sees the other.
    """
    if _PENDING not in session.info:
        session.info[_PENDING] = set()
        event.listen(session, "after_transaction_end", _transaction_ended)  # for as long as there is the session
    session.info[_PENDING].add(ended)


def _transaction_ended(session: Session, transaction: Any) -> None:
    pending: set[EndedTask] = session.info[_PENDING]
    if pending and transaction.parent is None:
        ended = frozenset(pending)
        pending.clear()
        _again(ended)


def _again(ended: frozenset[EndedTask]) -> None:
    """In a thread: a request that waited for a second connection of the pool, while it holds one, could wait long."""
    try:
        _thread().submit(_look_again, ended)
    except RuntimeError:
        log.warning("this process ends, and does not look again for the jobs of %s", ended)


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "airgate-ended")


def _look_again(ended: frozenset[EndedTask]) -> None:
    from airflow.utils.session import create_session

    for each in ended:
        try:
            with create_session(scoped=False) as session:
                order_ends(each, session)
        except Exception:
            log.exception("the jobs of %s may go on although their task has ended", each)
