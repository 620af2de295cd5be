"""The DAGs that clients may start: those that say so by a tag.

A tag survives serialization, is a row that can be asked for without reading a DAG, and stands on the DAG's page, where
whoever looks after Airflow sees what is reachable from outside. All of it blocks: it asks Airflow's database.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from airflow.models.dag import DagModel, DagTag
from airflow.models.dag_version import DagVersion
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.definitions.notset import is_arg_set
from airflow.utils.types import DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

from airgate.ingress.params import MISSING, DagParam
from airgate.policy.ingress_run import RESERVED

log = logging.getLogger(__name__)

TAG: Final = "airgate:ingress"
"""Of a DAG that clients may start."""
UNKNOWN_ALLOWED_TAG: Final = "airgate:ingress-any"
"""Of one that also takes names that are none of its params."""
_MOST_KEPT = 64


@dataclass(frozen=True, slots=True)
class IngressDag:
    """One of them."""

    dag: SerializedDAG
    params: Mapping[str, DagParam]
    unknown_allowed: bool
    why_not: str = ""
    """Why no run can be made now; empty when one can."""


class IngressDags:
    """Finds them; the latest versions are kept in memory for as long as their hash holds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[tuple[Any, str], SerializedDAG, Mapping[str, DagParam]]] = OrderedDict()
        self._lock = Lock()

    def find(self, dag_id: str, session: Session) -> IngressDag | None:
        """The DAG, in its latest version; None where clients may not start it, whatever the reason."""
        model = session.scalar(select(DagModel).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))
        if model is None:
            return None
        tags = set(session.scalars(select(DagTag.name).where(DagTag.dag_id == dag_id)))
        if TAG not in tags or (latest := self._latest(dag_id, session)) is None:
            return None
        dag, params = latest
        why_not = ""
        if RESERVED in params:
            log.error("DAG %s has a param by the name %r, which says who started a run: rename it", dag_id, RESERVED)
            why_not = "The DAG has a param by a reserved name."
        elif model.has_import_errors:
            why_not = "The DAG's file cannot be read."
        elif model.allowed_run_types is not None and DagRunType.MANUAL not in model.allowed_run_types:
            why_not = "The DAG does not allow manual runs."
        return IngressDag(dag, params, UNKNOWN_ALLOWED_TAG in tags, why_not)

    def reachable(self, dag_id: str, session: Session) -> bool:
        """Whether clients may start a DAG."""
        tagged = select(DagModel.dag_id).join(DagTag, DagTag.dag_id == DagModel.dag_id)
        wanted = tagged.where(DagModel.dag_id == dag_id, DagTag.name == TAG, ~DagModel.is_stale)
        return session.scalar(wanted) is not None

    def ids(self, session: Session) -> list[str]:
        """The ids of all of them, in order."""
        tagged = select(DagModel.dag_id).join(DagTag, DagTag.dag_id == DagModel.dag_id)
        return list(session.scalars(tagged.where(DagTag.name == TAG, ~DagModel.is_stale).order_by(DagModel.dag_id)))

    def _latest(self, dag_id: str, session: Session) -> tuple[SerializedDAG, Mapping[str, DagParam]] | None:
        # A version is rewritten in place as long as it has no runs: its id alone does not tell.
        newest = session.execute(
            select(SerializedDagModel.dag_version_id, SerializedDagModel.dag_hash)
            .join(DagVersion, SerializedDagModel.dag_version_id == DagVersion.id)
            .where(SerializedDagModel.dag_id == dag_id)
            .order_by(DagVersion.version_number.desc())
            .limit(1)
        ).one_or_none()
        if newest is None:
            return None
        mark = (newest.dag_version_id, newest.dag_hash)
        with self._lock:
            kept = self._kept.get(dag_id)
            if kept is not None and kept[0] == mark:
                self._kept.move_to_end(dag_id)
                return kept[1], kept[2]
        model = SerializedDagModel.get(dag_id, session=session)
        if model is None:
            return None
        dag = model.dag
        params = {name: _param(dag.params.get_param(name)) for name in dag.params}
        with self._lock:
            self._kept[dag_id] = ((model.dag_version_id, model.dag_hash), dag, params)
            self._kept.move_to_end(dag_id)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return dag, params


def _param(param: Any) -> DagParam:
    default = param.value if is_arg_set(param.value) else MISSING
    return DagParam(param.schema, default, param.description)
