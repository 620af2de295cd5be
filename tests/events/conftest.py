"""Dispatchers on a real Airflow database: assets whose logs are written to, and DAGs whose runs are counted."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, task

from airgate.events.dispatch import DispatchEventsOperator
from airgate.policy.events.batch import EventBatch, Unreadable
from airgate.policy.events.event import Event
from tests.sagas.conftest import airflow_database  # noqa: F401, as a fixture
from tests.sagas.saga_run import SagaRun, _stored

_NUMBERS = itertools.count(1)


def event(name: object, kind: str = "placed", data: Any = None) -> Event:
    """One of a source of the tests."""
    return Event("/orders", str(name), kind, data=data)


@dataclass
class Dispatched:
    """A dispatcher, the asset that it reads, and a DAG that takes its events."""

    asset: Asset
    taker: DAG
    dag: DAG

    @property
    def taker_id(self) -> str:
        """The id of the DAG that takes the events."""
        return str(self.taker.dag_id)

    def tell(self, *events: Event, unreadable: Iterable[Unreadable] = (), at: datetime | None = None) -> None:
        """Write an entry to the asset's log, as a trigger's event does."""
        self.tell_extra({"from_trigger": True, "payload": EventBatch(events, tuple(unreadable)).to_json()}, at)

    def tell_extra(self, extra: dict[str, Any], at: datetime | None = None) -> None:
        """Write an entry of any kind; `at` is the time that it claims."""
        from airflow.assets.manager import asset_manager
        from airflow.serialization.encoders import ensure_serialized_asset
        from airflow.utils.session import create_session

        with create_session() as session:
            stored = asset_manager.register_asset_change(
                asset=ensure_serialized_asset(self.asset), extra=extra, session=session
            )
            assert stored is not None
            if at is not None:
                stored.timestamp = at

    def run(self, **changes: Any) -> SagaRun:
        """Let the dispatcher run once, whatever comes of it."""
        for name, value in changes.items():
            setattr(self.dag.get_task("dispatch"), name, value)
        return SagaRun.asked_for(self.dag).go()

    def dispatch(self, **changes: Any) -> dict[str, int]:
        """Let it run once, to a good end; gives its summary, without what is zero."""
        run = self.run(**changes)
        assert run.state == "success", run.states()
        return {name: count for name, count in run.xcom("dispatch").items() if count}

    def runs(self, dag_id: str = "") -> dict[str, Any]:
        """Run id -> conf of all runs of a DAG, of the taker if not named."""
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            found = session.scalars(select(DagRun).where(DagRun.dag_id == (dag_id or self.taker_id)))
            return {run.run_id: run.conf for run in found}

    def told(self) -> list[str]:
        """Ids of the events in the confs of all runs of the taker."""
        events = [conf["events"] if "events" in conf else [conf["event"]] for conf in self.runs().values()]
        return [told["id"] for several in events for told in several]


@pytest.fixture
def installation(
    airflow_database: None,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Airflow's database and a data root of the test."""
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", os.environ["AIRFLOW_HOME"])
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", (tmp_path / "data").as_uri())
    return tmp_path


def dispatched(params: dict[str, Any] | None = None, **options: Any) -> Dispatched:
    """A dispatcher of a new asset, and the DAG that takes its events, both known to Airflow."""
    number = next(_NUMBERS)
    asset = Asset(f"orders_{os.getpid()}_{number}")
    with DAG(f"taker_{os.getpid()}_{number}", schedule=None, params=params) as taker:

        @task
        def take() -> None:
            """Nothing."""

        take()
    options = {"to": taker.dag_id, "retries": 0, **options}
    with DAG(f"dispatcher_{os.getpid()}_{number}", schedule=[asset], max_active_runs=1) as dag:
        DispatchEventsOperator(task_id="dispatch", asset=asset, **options)
    _stored(taker)
    _stored(dag)
    return Dispatched(asset, taker, dag)
