"""The main example: which day it reads, and what its quality gate says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.sdk.api.datamodels._generated import BundleInfo, DagRun, TIRunContext
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

RUN_AFTER = datetime(2013, 1, 5, 0, 0, 7, tzinfo=UTC)


@pytest.fixture
def fresh(flights_etl: DAG) -> DAG:
    """The DAG parsed anew, as for every real task: the task runner writes the run's params into it."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(flights_etl.fileloc).dags["flights_etl"]


def context_of(dag: DAG, task_id: str, *, interval_start: datetime | None, conf: dict[str, Any] | None) -> Any:
    """The template context that Airflow's own task runner makes for a task of a run like this."""
    run = DagRun(
        dag_id=dag.dag_id,
        run_id="run",
        logical_date=interval_start,
        data_interval_start=interval_start,
        data_interval_end=None if interval_start is None else RUN_AFTER,
        run_after=RUN_AFTER,
        start_date=RUN_AFTER,
        end_date=None,
        run_type="scheduled" if interval_start else "manual",
        state="running",
        conf=conf,
        consumed_asset_events=[],
        partition_key=None,
    )
    ti = RuntimeTaskInstance.model_construct(
        id=uuid4(),
        task_id=task_id,
        dag_id=dag.dag_id,
        run_id="run",
        try_number=1,
        dag_version_id=uuid4(),
        map_index=-1,
        task=dag.get_task(task_id),
        bundle_instance=BundleInfo(name="dags"),
        start_date=RUN_AFTER,
        _ti_context_from_server=TIRunContext(dag_run=run, max_tries=0),
    )
    return ti.get_template_context()


@pytest.mark.parametrize(
    ("interval_start", "conf", "day"),
    [
        pytest.param(datetime(2013, 1, 4, tzinfo=UTC), None, "2013-01-04", id="scheduled run: its data interval"),
        pytest.param(datetime(2013, 1, 4, tzinfo=UTC), {"day": "2013-02-01"}, "2013-02-01", id="param before interval"),
        pytest.param(None, {"day": "2013-02-01"}, "2013-02-01", id="run without a logical date, with the param"),
        pytest.param(None, None, "2013-01-05", id="run without a logical date: the day it was made for"),
        pytest.param(None, {"day": None}, "2013-01-05", id="the form's empty field"),
    ],
)
def test_the_day_that_a_run_reads(
    fresh: DAG, interval_start: datetime | None, conf: dict[str, Any] | None, day: str
) -> None:
    """Scheduled, backfilled, REST-triggered and parametrised runs all render a day, and the right one."""
    task = fresh.get_task("extract_flights")
    context = context_of(fresh, "extract_flights", interval_start=interval_start, conf=conf)
    assert task.render_template(task.query, context) == {"date": day}


@pytest.mark.parametrize("conf", [{"day": "first of May"}, {"day": 20130101}, {"max_dead_letter_share": 2}])
def test_params_that_make_no_sense_are_refused(fresh: DAG, conf: dict[str, Any]) -> None:
    """A wrong param stops the run before a service is called with it."""
    from airflow.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        context_of(fresh, "extract_flights", interval_start=None, conf=conf)


def test_weather_is_read_for_each_airport(flights_etl: DAG) -> None:
    """The mapped extract covers the three airports, each with the run's day."""
    mapped = flights_etl.get_task("extract_weather")
    queries = mapped.expand_input.value["query"]
    assert [query["origin"] for query in queries] == ["EWR", "JFK", "LGA"]
    assert {query["date"] for query in queries} == {flights_etl.get_task("extract_flights").query["date"]}


@pytest.fixture(scope="module")
def gate(flights_etl: DAG) -> Callable[..., None]:
    """The quality gate's own function."""
    return flights_etl.get_task("quality_gate").python_callable


def manifest(received: int, dead: int = 0, *, written: int | None = None) -> dict[str, Any]:
    written = received - dead if written is None else written
    return {"path": "file:///data/flights", "received": received, "dead_lettered": dead, "written": written}


def test_the_gate_lets_a_good_day_pass(gate: Callable[..., None]) -> None:
    """Dead letters within the tolerated share are no reason to withhold the day."""
    gate("2013-01-01", manifest(845, 3), manifest(842), manifest(14), "0.05")


@pytest.mark.parametrize(
    ("flights", "cleaned", "mart", "said"),
    [
        (manifest(0), manifest(0), manifest(0), "no flights for 2014-01-01"),
        (manifest(100, 6), manifest(94), manifest(9), "6 of 100 flights do not fit their schema"),
        (manifest(100), manifest(103), manifest(9), "100 flights came in, but the join made 103 rows"),
        (manifest(100), manifest(97), manifest(9), "100 flights came in, but the join made 97 rows"),
        (manifest(100), manifest(100), manifest(0), "carrier_daily is empty"),
    ],
)
def test_the_gate_says_what_is_wrong(
    gate: Callable[..., None], flights: dict[str, Any], cleaned: dict[str, Any], mart: dict[str, Any], said: str
) -> None:
    """Each kind of bad data stops the run with the day and the reason in words."""
    with pytest.raises(AirflowFailException, match=r"^quality gate for 2014-01-01: ") as raised:
        gate("2014-01-01", flights, cleaned, mart, "0.05")
    assert said in str(raised.value)


def test_the_gate_names_every_problem_at_once(gate: Callable[..., None]) -> None:
    """Whoever is on call sees all that is wrong, and where the dead letters lie."""
    with pytest.raises(AirflowFailException, match="quality gate") as raised:
        gate("2013-01-01", manifest(100, 50), manifest(49), manifest(0), "0.05")
    assert str(raised.value).count("; ") >= 3
    assert "file:///data/flights/dead-letters-*.jsonl" in str(raised.value)


def test_nothing_is_published_before_the_gate(flights_etl: DAG) -> None:
    """Both loads wait for the quality gate."""
    for task_id in ("load_flights", "load_carrier_daily"):
        assert "quality_gate" in flights_etl.get_task(task_id).upstream_task_ids
