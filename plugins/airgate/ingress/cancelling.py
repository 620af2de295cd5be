"""Cancels a run, in Airflow's own way: it is marked as failed, and its sagas undo what they did.

All of it blocks: it asks Airflow's database.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from airflow._shared.timezones import timezone
from airflow.api_fastapi.core_api.datamodels.dag_run import DagRunMutableStates
from airflow.api_fastapi.core_api.services.public.dag_run import patch_dag_run_state
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.xcom import XComModel
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import with_row_locks
from airflow.utils.state import State
from sqlalchemy import select
from sqlalchemy.orm import Session

from airgate.ingress.showing import Shown, cancelled, find, shown
from airgate.policy.ingress_cancel import hindrance, is_undecided
from airgate.policy.ingress_run import RESERVED, Identity

_JOURNAL = ".journal"
"""What the id of a saga's journal ends with."""

Journals = dict[tuple[str, int], dict[str, Any]]
"""By task id and map index: the entries by name."""


class CannotCancel(Exception):
    """The run goes on, or is over; the message says why."""


def cancel(dag_id: str, run_id: str, identity: Identity | None, by: Identity) -> Shown | None:
    """Cancel a run; a second time does nothing.

    Args:
        dag_id: The DAG.
        run_id: The run.
        identity: Whose it must be; None for anybody's that came this way.
        by: Who asks.

    Returns:
        How it stands then; None where the client must not know of it.

    Raises:
        CannotCancel: It has succeeded, or one of its sagas goes only forward.
    """
    for attempt in run_with_db_retries():
        with attempt:
            with create_session(scoped=False) as session:
                run = find(dag_id, run_id, identity, session)
                if run is None:
                    return None
                if over := _already(run, session):
                    return over
            _check_sagas(dag_id, run_id)
            with create_session(scoped=False) as session:
                return _cancel(dag_id, run_id, by, session)
    raise AssertionError("the last attempt returns or raises")


def _already(run: DagRun, session: Session) -> Shown | None:
    """How a run stands that is cancelled, or has failed; None for one that goes on."""
    if run.state == "success":
        raise CannotCancel("The run has succeeded.")
    if run.state in State.finished_dr_states or cancelled(run):
        return shown(run, session)
    return None


def _check_sagas(dag_id: str, run_id: str) -> None:
    """Refuse where a saga goes only forward; where it does not, keep it from getting there meanwhile.

    A step writes that it will be sent and then looks for the fence; here the fence goes up before the second look.
    Whatever the order, one of them sees the other.
    """
    journals = _read(dag_id, run_id)
    _check(journals)
    open_ones = {place: epoch for place, journal in journals.items() if (epoch := is_undecided(journal)) is not None}
    if not open_ones:
        return
    now = timezone.utcnow()
    for (task_id, map_index), epoch in open_ones.items():
        _put_up_fence(dag_id, run_id, task_id, map_index, epoch, now)
    _check(_read(dag_id, run_id))


def _check(journals: Journals) -> None:
    for (task_id, map_index), journal in journals.items():
        name = task_id.removesuffix(_JOURNAL) + ("" if map_index < 0 else f"[{map_index}]")
        if why := hindrance(f"Saga {name}", journal):
            raise CannotCancel(why)


def _read(dag_id: str, run_id: str) -> Journals:
    journals: Journals = defaultdict(dict)
    with create_session(scoped=False) as session:
        entries = session.execute(
            select(XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value).where(
                XComModel.dag_id == dag_id,
                XComModel.run_id == run_id,
                XComModel.task_id.endswith(_JOURNAL, autoescape=True),
            )
        )
        for task_id, map_index, name, value in entries:
            journals[task_id, map_index][name] = value
    return {place: journal for place, journal in journals.items() if "begun" in journal}


def _put_up_fence(dag_id: str, run_id: str, task_id: str, map_index: int, epoch: int, now: datetime) -> None:
    with create_session(scoped=False) as session:
        XComModel.set(
            f"{epoch}.fence",
            {"at": now.timestamp()},
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            serialize=False,  # as the tasks' own side writes it
            session=session,
        )


def _cancel(dag_id: str, run_id: str, by: Identity, session: Session) -> Shown | None:
    wanted = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    run = session.scalar(with_row_locks(wanted, of=DagRun, session=session))
    if run is None:
        return None
    if over := _already(run, session):
        return over
    dag = DBDagBag(load_op_links=False).get_dag_for_run(run, session=session)
    if dag is None:
        raise CannotCancel("The DAG is gone.")
    cancelled_at = timezone.utcnow().isoformat().replace("+00:00", "Z")
    # A new object: the column does not notice what changes within one.
    conf = run.conf or {}
    run.conf = {**conf, RESERVED: {**conf.get(RESERVED, {}), "cancelled_at": cancelled_at}}
    session.add(Log("ingress_cancel", owner=str(by), dag_id=dag_id, run_id=run_id, extra="through airgate"))
    session.flush()
    patch_dag_run_state(dag=dag, dag_run=run, state=DagRunMutableStates.FAILED, session=session)
    session.flush()
    session.refresh(run)
    return shown(run, session)
