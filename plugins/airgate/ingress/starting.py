"""Makes the run that a client asks for, once for each of its keys.

All of it blocks: it asks Airflow's database.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow._shared.timezones import timezone
from airflow.exceptions import ParamValidationError
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from airgate.ingress.dags import IngressDag, IngressDags
from airgate.ingress.params import Fault, faults, unstorable
from airgate.policy.ingress_run import RESERVED, Identity, RunOrigin, run_id_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was asked for."""

    run_id: str
    replayed: bool
    """Whether an earlier request under the same key made it."""


class NotStarted(Exception):
    """No run was made."""


class NoSuchDag(NotStarted):
    """Clients may not start it, or there is none."""


class CannotRun(NotStarted):
    """It cannot run as it is now; the message says why."""


class DoesNotFit(NotStarted):
    """The params are not what the DAG asks for."""

    def __init__(self, found: Sequence[Fault]) -> None:
        super().__init__(f"{len(found)} faults")
        self.faults = tuple(found)


class KeyReused(NotStarted):
    """The key stands for a run with other params."""


def start(dags: IngressDags, dag_id: str, identity: Identity, key: str | None, params: dict[str, Any]) -> Started:
    """Make the run, or find the one that was made under the key.

    Args:
        dags: Where DAGs are found.
        dag_id: The DAG.
        identity: Who asks.
        key: The client's own name for what it asks for, None where it has none.
        params: What it sent.

    Raises:
        NotStarted: In one of its kinds.
    """
    if wrong := unstorable(params):
        raise DoesNotFit(wrong)
    run_id = run_id_of(dag_id, identity, key)
    origin = RunOrigin.of(identity, params)
    for attempt in run_with_db_retries():
        with attempt:
            try:
                return _start(dags, dag_id, run_id, origin, params)
            except IntegrityError:
                # Another request under the same key was a moment faster: its run is there now.
                with create_session(scoped=False) as session:
                    if (earlier := _earlier(dag_id, run_id, origin, session)) is None:
                        raise
                    return earlier
    raise AssertionError("the last attempt returns or raises")


def _start(dags: IngressDags, dag_id: str, run_id: str, origin: RunOrigin, params: dict[str, Any]) -> Started:
    with create_session(scoped=False) as session:
        found = dags.find(dag_id, session)
        if found is None:
            raise NoSuchDag(dag_id)
        # Before the params are looked at: they fitted then, whatever the DAG asks for by now.
        if earlier := _earlier(dag_id, run_id, origin, session):
            return earlier
        if found.why_not:
            raise CannotRun(found.why_not)
        if wrong := faults(params, found.params, unknown_allowed=found.unknown_allowed):
            raise DoesNotFit(wrong)
        _create(found, run_id, origin, params, session)
    return Started(run_id, replayed=False)


def _earlier(dag_id: str, run_id: str, origin: RunOrigin, session: Session) -> Started | None:
    conf = session.scalars(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one_or_none()
    if conf is None:
        return None
    earlier = RunOrigin.read(conf)
    if earlier is None or earlier.identity != origin.identity:
        log.error("run %s of %s was made by somebody else, by Airflow's own API: delete it", run_id, dag_id)
        raise CannotRun("The key cannot be used; use another one.")
    if earlier.body != origin.body:
        raise KeyReused(run_id)
    return Started(run_id, replayed=True)


def _create(found: IngressDag, run_id: str, origin: RunOrigin, params: dict[str, Any], session: Session) -> None:
    try:
        found.dag.create_dagrun(
            run_id=run_id,
            logical_date=None,  # a run that a client asks for stands for no interval, and two may come at once
            run_after=timezone.utcnow(),
            conf={**params, RESERVED: origin.to_json()},
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=str(origin.identity),
            state=DagRunState.QUEUED,
            note=f"Started through the ingress by {origin.identity}.",
            session=session,
        )
    except (ParamValidationError, ValueError) as error:
        log.error("DAG %s: a run through the ingress cannot be made: %s", found.dag.dag_id, error)  # noqa: TRY400
        raise CannotRun("The DAG does not take such a run.") from None
    by = str(origin.identity)
    session.add(Log("ingress_start", owner=by, dag_id=found.dag.dag_id, run_id=run_id, extra="through airgate"))
