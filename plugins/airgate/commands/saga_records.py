"""Sagas in Airflow's metadata database: what ended, what is under way, and what their journals hold.

Airflow's own commands read the same tables through the same models; a REST client would need an address and a sign-in.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.execution_time.xcom import XCom
from airflow.utils.session import create_session
from airflow.utils.state import State
from sqlalchemy import Select, and_, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from airgate.sagas.verdict import VIEW_KEY

UNDER_WAY = "under-way"
"""State of a saga that has no verdict yet, besides those that a verdict gives."""

_VERDICT = "SagaVerdictOperator"
_FINISHED = [state.value for state in State.finished if state]


@dataclass(frozen=True, slots=True)
class Order:
    """One saga of one run; of a mapped saga, one map index of it."""

    dag_id: str
    run_id: str
    prefix: str
    """Of its tasks' ids: the group's id and a dot, or nothing."""
    map_index: int
    view: dict[str, Any] | None
    """What its verdict said; None while it is under way, and where the verdict failed before it said anything."""
    at: datetime
    """When it ended; of one under way, when its run was wanted. UTC."""
    over: bool

    @property
    def name(self) -> str:
        """The group's id."""
        return self.prefix.removesuffix(".") or str((self.view or {}).get("saga", "saga"))

    @property
    def state(self) -> str:
        """The verdict's, or ``under-way``."""
        if self.view is not None:
            return str(self.view["state"])
        return "needs-attention" if self.over else UNDER_WAY


@contextmanager
def database() -> Iterator[Session]:
    """A session of Airflow's metadata database, to read from.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with create_session() as session:
            yield session
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        raise ValueError(
            f"Airflow's metadata database cannot be read ({cause}): see `airflow db check`, and `airflow db migrate`"
        ) from None


def known_dag(session: Session, dag_id: str) -> None:
    """Check that there is a DAG.

    Raises:
        ValueError: There is none, nor was there.
    """
    run = select(DagRun.id).where(DagRun.dag_id == dag_id).limit(1)
    if session.get(DagModel, dag_id) is None and session.scalar(run) is None:
        raise ValueError(f"there is no DAG {dag_id!r}: see `airflow dags list`")


def has_saga(session: Session, dag_id: str) -> None:
    """Check that there is a DAG, and that it has a saga or had one.

    Raises:
        ValueError: It has none.
    """
    known_dag(session, dag_id)
    dag = SerializedDagModel.get_dag(dag_id, session=session)
    if dag is not None and any(task.task_type == _VERDICT for task in dag.tasks):
        return
    if session.execute(_verdicts().where(TaskInstance.dag_id == dag_id).limit(1)).first() is None:
        raise ValueError(f"DAG {dag_id!r} has no saga")


def of_run(session: Session, dag_id: str, run_id: str) -> list[Order]:
    """The sagas of a run, by name and map index.

    Raises:
        ValueError: There is no such DAG or run, or the DAG has no saga.
    """
    known_dag(session, dag_id)
    where = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    found = session.execute(_verdicts().where(*where).order_by(TaskInstance.task_id, TaskInstance.map_index))
    if orders := [_order(row) for row in found]:
        return orders
    if session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)) is None:
        raise ValueError(f"DAG {dag_id!r} has no run {run_id!r}: see `airflow dags list-runs {dag_id}`")
    raise ValueError(f"run {run_id!r} of DAG {dag_id!r} has no saga")


def newest(session: Session, dag_id: str | None = None, since: datetime | None = None) -> Iterator[Order]:
    """Sagas, those under way before those that ended, the newest of each first.

    Args:
        session: Of the metadata database.
        dag_id: Only of this DAG.
        since: Leave out those that ended before.
    """
    open_ones = [_order(row) for row in session.execute(_without_verdict(dag_id))]
    yield from sorted((order for order in open_ones if not order.over), key=_newest_first)
    silent = [order for order in open_ones if order.over and not (since and order.at < since)]
    rows = session.execute(_with_verdict(dag_id, since).execution_options(yield_per=200))
    yield from heapq.merge(sorted(silent, key=_newest_first), (_order(row) for row in rows), key=_newest_first)


def _newest_first(order: Order) -> tuple[float, str, str, str, int]:
    return -order.at.timestamp(), order.dag_id, order.run_id, order.prefix, order.map_index


def journal(session: Session, order: Order) -> dict[str, Any]:
    """What a saga's journal holds, by name of the entry."""
    rows = session.execute(
        select(XComModel.key, XComModel.value).where(
            XComModel.dag_id == order.dag_id,
            XComModel.run_id == order.run_id,
            XComModel.task_id == f"{order.prefix}journal",
            XComModel.map_index == order.map_index,
        )
    )
    return {row.key: _value(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a saga."""

    task_id: str
    operator: str
    state: str | None


def tasks(session: Session, order: Order) -> list[Task]:
    """The tasks of a saga, in the order of the DAG where that is still known."""
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.operator, TaskInstance.state).where(
            TaskInstance.dag_id == order.dag_id,
            TaskInstance.run_id == order.run_id,
            TaskInstance.map_index == order.map_index,
            TaskInstance.task_id.startswith(order.prefix, autoescape=True),
        )
    )
    dag = SerializedDagModel.get_dag(order.dag_id, session=session)
    graph = {} if dag is None else {task_id: task.upstream_task_ids for task_id, task in dag.task_dict.items()}
    ranks = {task_id: rank for rank, task_id in enumerate(TopologicalSorter(graph).static_order())}
    found = [Task(row.task_id, str(row.operator), None if row.state is None else str(row.state)) for row in rows]
    return sorted(found, key=lambda task: (ranks.get(task.task_id, len(ranks)), task.task_id))


def _verdicts() -> Select[Any]:
    """Every task instance that gives a verdict, with what it said."""
    task, run = TaskInstance, DagRun
    said = and_(
        XComModel.key == VIEW_KEY,
        XComModel.dag_id == task.dag_id,
        XComModel.run_id == task.run_id,
        XComModel.task_id == task.task_id,
        XComModel.map_index == task.map_index,
    )
    return (
        select(
            *(task.dag_id, task.run_id, task.task_id, task.map_index, task.state, task.end_date),
            *(run.state.label("run_state"), run.run_after, XComModel.value, XComModel.timestamp),
        )
        .join(run, and_(run.dag_id == task.dag_id, run.run_id == task.run_id))
        .outerjoin(XComModel, said)
        .where(task.operator == _VERDICT)
    )


def _with_verdict(dag_id: str | None, since: datetime | None) -> Select[Any]:
    task = TaskInstance
    chosen = _verdicts().where(XComModel.timestamp.is_not(None), task.state.in_(("success", "failed")))
    if dag_id is not None:
        chosen = chosen.where(task.dag_id == dag_id)
    if since is not None:
        chosen = chosen.where(XComModel.timestamp >= since)
    return chosen.order_by(XComModel.timestamp.desc(), task.dag_id, task.run_id, task.task_id, task.map_index)


def _without_verdict(dag_id: str | None) -> Select[Any]:
    """Those under way, and those whose verdict failed before it said anything.

    A verdict that is cleared keeps its XCom until it is tried again, so its task's state counts.
    """
    task = TaskInstance
    unfinished = or_(task.state.is_(None), task.state.not_in(_FINISHED))
    silent = and_(task.state == "failed", XComModel.timestamp.is_(None))
    chosen = _verdicts().where(DagRun.state.in_(("queued", "running", "failed")), or_(unfinished, silent))
    return chosen if dag_id is None else chosen.where(task.dag_id == dag_id)


def _order(row: Any) -> Order:
    ended = str(row.state) in {"success", "failed"}
    over = ended or str(row.run_state) in {"success", "failed"}
    view = _value(row) if ended and row.value is not None else None
    at = row.timestamp if view is not None else (row.end_date if over else None)
    prefix = str(row.task_id).removesuffix("verdict")
    return Order(row.dag_id, row.run_id, prefix, row.map_index, view, at or row.run_after, over)


def _value(row: Any) -> Any:
    """An XCom as tasks see it, through the XCom backend that they use."""
    return XCom.deserialize_value(row)


def active(found: Iterable[Task]) -> list[str]:
    """What some tasks do or wait for, in words; nothing of those that are over or were never begun."""
    words = {"awaiting_input": "waits for a person", "up_for_retry": "waits for its next try", "deferred": "waits"}
    return [
        f"{task.task_id.rpartition('.')[2]} {words.get(task.state, f'is {task.state}')}"
        for task in found
        if task.state is not None and task.state not in _FINISHED
    ]
