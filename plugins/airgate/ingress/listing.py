"""The runs that a client has started, newest first, a page at a time. All of it blocks: it asks Airflow's database."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select, tuple_

from airgate.ingress.showing import brief
from airgate.policy.ingress_run import Identity, RunOrigin


class BadCursor(ValueError):
    """A cursor that was not given out here."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last run of a page: the next one goes on behind it, whatever is started or deleted meanwhile."""

    run_after: datetime
    run_id: str

    def __str__(self) -> str:
        fields = json.dumps([self.run_after.isoformat(), self.run_id], separators=(",", ":"))
        return base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor of a page.

        Raises:
            BadCursor: It is none.
        """
        try:
            fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            moment, run_id = datetime.fromisoformat(fields[0]), fields[1]
        except (ValueError, TypeError, LookupError, RecursionError, binascii.Error):
            raise BadCursor("The cursor is none that was given out here.") from None
        if len(fields) != 2 or moment.tzinfo is None or not isinstance(run_id, str) or "\x00" in run_id:
            raise BadCursor("The cursor is none that was given out here.")
        return cls(moment, run_id)


def page(
    dag_id: str, identity: Identity, limit: int, after: Cursor | None
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """A page of the runs that a client has started, and where the next one begins, None behind the last one.

    Args:
        dag_id: The DAG.
        identity: Whose runs.
        limit: Runs on the page, at most.
        after: Where the page begins, None for the first one.
    """
    # The ids of a caller's runs stand side by side in the index of run ids.
    wanted = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id.startswith(identity.prefix, autoescape=True))
    if after is not None:
        wanted = wanted.where(tuple_(DagRun.run_after, DagRun.run_id) < tuple_(after.run_after, after.run_id))
    with create_session(scoped=False) as session:
        found = session.scalars(wanted.order_by(DagRun.run_after.desc(), DagRun.run_id.desc()).limit(limit + 1)).all()
        own = [run for run in found[:limit] if (origin := RunOrigin.read(run.conf)) and origin.identity == identity]
        last = found[limit - 1] if len(found) > limit else None
        return [brief(run) for run in own], None if last is None else Cursor(last.run_after, last.run_id)
