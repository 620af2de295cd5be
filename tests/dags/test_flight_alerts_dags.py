"""The DAGs that listen: to what, to whom not, and what they call late."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="module")
def module() -> Any:
    """The file's own names."""
    spec = importlib.util.spec_from_file_location("flight_alerts", DAGS / "flight_alerts.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_a_load_is_heard_by_who_listens_and_neither_names_the_other(dag_bag: DagBag) -> None:
    """They have one asset in common; the files know no DAG of each other."""
    [outlet] = dag_bag.dags["flights_etl"].get_task("load_flights").outlets
    listened = dag_bag.dags["flight_alerts_delays"].schedule
    assert isinstance(outlet, Asset)
    assert [asset.name for asset in listened] == [outlet.name]
    assert "flights_etl" not in (DAGS / "flight_alerts.py").read_text()
    assert "flight_alerts" not in (DAGS / "flights_etl.py").read_text()


def test_the_two_listeners_share_no_event(dag_bag: DagBag) -> None:
    """What one of them is started by does not start the other."""
    names = [
        {asset.name for asset in dag_bag.dags[f"flight_alerts_{name}"].schedule} for name in ("delays", "dispatcher")
    ]
    assert names == [{"flights"}, {"airport-notices"}]
    assert dag_bag.dags["flight_alerts_notices"].schedule is None


def test_the_feed_is_asked_as_the_service_wants_it(module: Any) -> None:
    """The watcher's arguments are stored in plain text: they name the service's fields, and no secret."""
    [watcher] = module.NOTICES.watchers
    _, stored = watcher.trigger.serialize()
    wanted = {
        "path": "/notices",
        "items": "notices",
        "cursor_param": "after",
        "cursor_field": "next",
        "more_field": "more",
    }
    assert wanted.items() <= stored.items()
    assert stored["gateway_conn_id"] == "gateway_default"


@pytest.mark.parametrize("dag_id", ["flights_etl", "order_batch"])
def test_to_switch_a_scheduled_dag_on_runs_nothing_by_itself(dag_bag: DagBag, dag_id: str) -> None:
    """Its first run is the next one of its schedule."""
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction

    dag = DagSerialization.from_dict(DagSerialization.to_dict(dag_bag.dags[dag_id]))
    assert dag.start_date is None
    first = dag.timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )
    assert first is not None
    assert first.run_after is not None
    assert first.run_after > datetime.now(UTC)


def test_late_is_who_was_late_on_average_in_the_last_days(module: Any) -> None:
    """By day and airline; cancelled flights do not count, nor do days that are long over."""
    rows = [
        ("2013-01-09", "EV", 60),  # long over
        ("2013-01-12", "EV", 20),
        ("2013-01-12", "EV", 40),
        ("2013-01-12", "EV", None),
        ("2013-01-12", "UA", 14),
        ("2013-01-15", "UA", 15),
        ("2013-01-15", "MQ", None),
        ("2013-01-15", "DL", -5),
    ]
    with duckdb.connect() as warehouse:
        warehouse.execute("create table flights (date date, carrier varchar, arr_delay double)")
        warehouse.executemany("insert into flights values (?, ?, ?)", rows)
        late = warehouse.execute(module.LATE, [4, 15]).fetchall()
    assert late == [(date(2013, 1, 12), "EV", 30, 2), (date(2013, 1, 15), "UA", 15, 1)]
