"""The jobs of tasks that have ended, found in Airflow's database, and the order to end them, stored there too.

The order is one of Airflow's own callbacks, which a triggerer carries out: it is stored in the transaction that ends
the task, so nothing that dies afterwards can lose it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from airflow.configuration import conf
from airflow.models.callback import Callback, TriggererCallback
from airflow.models.dag import DagModel
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.utils.state import CallbackState, TaskInstanceState
from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import lazyload

from airgate.client import clock
from airgate.operators.job_record import RECORD_KEY
from airgate.triggers.ending import end_job
from airgate.triggers.job import JobTrigger, Waiting
from airgate.triggers.lost_job import end_lost_job

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

_TRIGGER = f"{JobTrigger.__module__}.{JobTrigger.__qualname__}"
_ENDED = (TaskInstanceState.FAILED, TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)
_ORDERS = UUID("6a3a2f0e-4a0c-4c55-9f0e-0b6f5d6f3c11")
"""Names of orders are made below it: the same job of the same task is ordered to end once."""
_LOOKS = 3
"""Orders for one job that is not known yet, at the same time."""


@dataclass(frozen=True, slots=True)
class EndedTask:
    """One task of a run, or all of them."""

    dag_id: str
    run_id: str
    task_id: str | None = None
    """None for all."""
    map_index: int = -1

    def rows(self) -> ColumnElement[bool]:
        """Its task instances, where they have ended."""
        run = and_(
            TaskInstance.dag_id == self.dag_id, TaskInstance.run_id == self.run_id, TaskInstance.state.in_(_ENDED)
        )
        if self.task_id is None:
            return run
        return and_(run, TaskInstance.task_id == self.task_id, TaskInstance.map_index == self.map_index)


@dataclass(frozen=True, slots=True)
class LeftJob:
    """A job that may still run although its task has ended."""

    task_id: str
    map_index: int
    name: str
    """The job's id; of one that nobody has heard of yet the key of its submission."""
    end: Callable[..., Awaitable[str]]
    """What a triggerer ends it with."""
    how: Mapping[str, Any]
    """Its arguments, but for ``task``."""
    queue: str | None
    """Of the triggerers that may end it; None for those without queues."""

    @property
    def known(self) -> bool:
        """Whether it is there for sure: an order to end it is never given twice."""
        return self.end is end_job


def order_ends(ended: EndedTask, session: Session) -> int:
    """Store the order to end the jobs that ended tasks have left; gives how many are new.

    A job that may be left alone, or is known to be over, is none of them. To order twice does no harm.
    """
    new = 0
    for job in {(job.task_id, job.map_index, job.name): job for job in left_jobs(ended, session)}.values():
        new += _order(ended, job, session)
    return new


def left_jobs(ended: EndedTask, session: Session) -> Iterator[LeftJob]:
    """The jobs of tasks, by what each of them remembers and by what its deferral left behind."""
    yield from _remembered(ended, session)
    yield from _watched(ended, session)


def _remembered(ended: EndedTask, session: Session) -> Iterator[LeftJob]:
    """By the task's own record; only what Airflow keeps in its own database is asked for."""
    queued = conf.getboolean("triggerer", "queues_enabled", fallback=False)
    store = TaskStateStoreModel
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.queue, store.value)
        .join(
            store,
            and_(
                store.dag_id == TaskInstance.dag_id,
                store.run_id == TaskInstance.run_id,
                store.task_id == TaskInstance.task_id,
                store.map_index == TaskInstance.map_index,
                store.key == RECORD_KEY,
            ),
        )
        .where(ended.rows())
    )
    for task_id, map_index, queue, value in rows:
        with _one_by_one(ended, task_id):
            record = json.loads(value)
            # A store of the workers' own has what is no mapping, and this names its place.
            if isinstance(record, Mapping) and record.get("cancel") and not record["over"]:
                instance = {
                    "dag_id": ended.dag_id,
                    "run_id": ended.run_id,
                    "task_id": task_id,
                    "map_index": map_index,
                }
                if job := _left_by(record, instance, queue if queued else None):
                    yield job


def _left_by(record: Mapping[str, Any], instance: Mapping[str, Any], queue: str | None) -> LeftJob | None:
    """The job of a record, be it known or only submitted; None where there is none, or nobody could find it."""
    cancel, handle, trace = record["cancel"], record["handle"], record.get("trace")
    task_id, map_index = instance["task_id"], instance["map_index"]
    if handle:
        return LeftJob(task_id, map_index, handle["id"], end_job, {**cancel, "handle": handle}, queue)
    if trace and record["settles_at"] is not None:
        how = {
            "gateway_conn_id": cancel["gateway_conn_id"],
            "trace": trace,
            "settles_at": record["settles_at"],
            "instance": instance,
            "ordered_at": clock.now(),
        }
        return LeftJob(task_id, map_index, trace["key"], end_lost_job, how, queue)
    return None


def _watched(ended: EndedTask, session: Session) -> Iterator[LeftJob]:
    """By the trigger of a deferral that no triggerer has cleared away yet."""
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index, Trigger)
        .join(Trigger, TaskInstance.trigger_id == Trigger.id)
        .where(ended.rows(), Trigger.classpath == _TRIGGER)
        .options(lazyload(Trigger.task_instance))
    )
    for task_id, map_index, trigger in rows:
        with _one_by_one(ended, task_id):
            kwargs = trigger.kwargs
            waiting = Waiting(**kwargs["waiting"])
            if waiting.cancels:
                how = {
                    "gateway_conn_id": kwargs["gateway_conn_id"],
                    "protocol": waiting.protocol,
                    "handle": waiting.handle,
                }
                yield LeftJob(task_id, map_index, waiting.handle["id"], end_job, how, trigger.queue)


@contextmanager
def _one_by_one(ended: EndedTask, task_id: str) -> Iterator[None]:
    """What of one task cannot be read keeps no other task's job from its end."""
    try:
        yield
    except Exception:
        log.exception(
            "the job of %s.%s (%s) may go on although its task has ended", ended.dag_id, task_id, ended.run_id
        )


def _place_of(named: list[Any], job: LeftJob, session: Session) -> tuple[UUID | None, Callback | None]:
    """The id of an order, and the row that it has already; None where such an order is on its way.

    One that was looked for in vain, or was left to a task that ran again, may be there now. A triggerer that is just
    looking may have seen that the task runs, a moment before it was ended: behind it comes another look.
    """
    again = {CallbackState.FAILED} if job.known else {CallbackState.FAILED, CallbackState.SUCCESS}
    for number in range(_LOOKS):
        order_id = uuid5(_ORDERS, json.dumps([*named, number] if number else named, sort_keys=True))
        order = session.get(Callback, order_id)
        if order is None or order.state in again:
            return order_id, order
        if job.known or order.state != CallbackState.RUNNING:
            break
    return None, None


def _order(ended: EndedTask, job: LeftJob, session: Session) -> bool:
    """Store one order, if it is not there yet."""
    conn_id = job.how["gateway_conn_id"]
    named = [ended.dag_id, ended.run_id, job.task_id, job.map_index, conn_id, job.how.get("handle", job.name)]
    order_id, order = _place_of(named, job, session)
    if order_id is None:
        return False
    index = "" if job.map_index < 0 else f"[{job.map_index}]"
    task = f"{ended.dag_id}.{job.task_id}{index} ({ended.run_id})"
    what = AsyncCallback(job.end, kwargs={**job.how, "task": task})
    if order is not None:
        order.data = {**order.data, **what.serialize()}
    else:
        order = TriggererCallback(what, dag_id=ended.dag_id)
        order.id = order_id
        order.bundle_name = session.scalar(select(DagModel.bundle_name).where(DagModel.dag_id == ended.dag_id))
        session.add(order)
    order.queue(session=session)
    order.trigger.queue = job.queue
    session.flush()
    log.info("job %s of %s: to be ended, as the task was", job.name if job.known else "(not known yet)", task)
    return True
