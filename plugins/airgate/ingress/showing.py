"""How a run stands, as its client is told. All of it blocks: it asks Airflow's database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from airflow.utils.session import create_session
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session, lazyload

from airgate.policy.ingress_run import RESERVED, Identity, RunOrigin, is_run_id
from airgate.sagas.verdict import VIEW_KEY


@dataclass(frozen=True, slots=True)
class Shown:
    """A run."""

    run_id: str
    over: bool
    content: dict[str, Any]


def find(dag_id: str, run_id: str, identity: Identity | None, session: Session) -> DagRun | None:
    """The run, None where the client must not know of it.

    Args:
        dag_id: The DAG.
        run_id: Its id.
        identity: Whose it must be; None for anybody's that came this way.
        session: The database's.
    """
    if not is_run_id(run_id):
        return None
    wanted = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    run = session.scalar(wanted)
    origin = None if run is None else RunOrigin.read(run.conf)
    if origin is None or (identity is not None and origin.identity != identity):
        return None
    return run


def show(dag_id: str, run_id: str, identity: Identity | None) -> Shown | None:
    """How a run stands; None as for ``find``."""
    with create_session(scoped=False) as session:
        run = find(dag_id, run_id, identity, session)
        return None if run is None else shown(run, session)


def shown(run: DagRun, session: Session) -> Shown:
    """How a run stands, in full."""
    over = run.state in State.finished_dr_states
    done, total = _progress(run, session)
    content = {**brief(run), "progress": {"done": done, "total": total}, "percent": 100 * done // total if total else 0}
    if over:
        results = _results(run, session)
        if results:
            content["result"] = results[0][1] if len(results) == 1 else dict(results)
        if run.state != "success":
            content["problem"] = _problem(run, session)
    return Shown(run.run_id, over, content)


def brief(run: DagRun) -> dict[str, Any]:
    """How a run stands, without a look at its tasks."""
    content = {
        "id": run.run_id,
        "dag_id": run.dag_id,
        "state": str(run.state),
        "created_at": _time(run.run_after),
        "started_at": _time(run.start_date),
        "ended_at": _time(run.end_date),
    }
    cancelled_at = cancelled(run)
    return content if cancelled_at is None else {**content, "cancelled_at": cancelled_at}


def cancelled(run: DagRun) -> str | None:
    """When a client cancelled a run; None where none did."""
    at: str | None = (run.conf or {}).get(RESERVED, {}).get("cancelled_at")
    return at


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _progress(run: DagRun, session: Session) -> tuple[int, int]:
    """Tasks that are over, and all of them; a mapped task is one until it is expanded."""
    of_run = (TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
    counted = session.execute(select(TaskInstance.state, func.count()).where(*of_run).group_by(TaskInstance.state))
    by_state = {state: count for state, count in counted if state != TaskInstanceState.REMOVED}
    return sum(count for state, count in by_state.items() if state in State.finished), sum(by_state.values())


def _results(run: DagRun, session: Session) -> Sequence[tuple[str, Any]]:
    """What the tasks gave that are marked as the DAG's result, as Airflow's own waiting endpoint shows it."""
    found = session.execute(
        select(XComModel.task_id, XComModel.map_index, XComModel.value)
        .where(
            XComModel.dag_id == run.dag_id,
            XComModel.run_id == run.run_id,
            XComModel.key == XCOM_RETURN_KEY,
            XComModel.dag_result.is_(True),
        )
        .order_by(XComModel.task_id, XComModel.map_index)
    ).all()
    grouped = []
    for task_id, group in itertools.groupby(found, key=lambda row: row.task_id):
        rows = list(group)
        alone = len(rows) == 1 and rows[0].map_index < 0
        grouped.append((task_id, rows[0].value if alone else [row.value for row in rows]))
    return grouped


def _problem(run: DagRun, session: Session) -> dict[str, Any]:
    """Why a run failed, as problem details: the task that failed first, and how its sagas ended."""
    sagas = _sagas(run, session)
    failed = _failed(run, session)
    content: dict[str, Any] = {"type": "about:blank", "title": "The run failed"}
    if cancelled(run):
        content["title"] = "The run was cancelled"
    if sagas:
        content["detail"] = "; ".join(f"{saga['state']}: {saga['why']}" for saga in sagas[:3])
    elif failed is not None:
        content["detail"] = f"Task {failed.task_id} failed."
    else:
        content["detail"] = "No task of it failed."
    if failed is not None:
        content["task"] = failed.task_id
        if failed.map_index >= 0:
            content["map_index"] = failed.map_index
    return {**content, "sagas": sagas} if sagas else content


def _failed(run: DagRun, session: Session) -> Any:
    """The task that failed first; a saga's undos and its verdict, which fails on purpose, come after its steps."""
    return session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index)
        .where(
            TaskInstance.dag_id == run.dag_id,
            TaskInstance.run_id == run.run_id,
            TaskInstance.state == TaskInstanceState.FAILED,
        )
        .order_by(TaskInstance.end_date.is_(None), TaskInstance.end_date, TaskInstance.task_id)
        .limit(1)
    ).one_or_none()


def _sagas(run: DagRun, session: Session) -> list[dict[str, Any]]:
    """How the sagas of a run ended that did not complete: name, map index, state and why."""
    views = session.scalars(
        select(XComModel)
        .options(lazyload("*"))
        .where(XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id, XComModel.key == VIEW_KEY)
        .order_by(XComModel.task_id, XComModel.map_index)
        .limit(_MOST_SAGAS)
    )
    return [
        {name: view.get(name) for name in ("saga", "map_index", "state", "why")}
        for view in (each.value for each in views)
        if isinstance(view, dict) and view.get("state", "completed") != "completed"
    ]


_MOST_SAGAS = 1024
"""As many as Airflow maps at most."""
