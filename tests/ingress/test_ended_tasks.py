"""Tasks that are ended by hand, in Airflow's database: the end of their jobs is ordered with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres_server import postgres_programs, postgres_server

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def came(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of it: the jobs that were newly ordered to end after each event."""
    home = tmp_path_factory.mktemp("ends")
    if request.param == "sqlite":
        yield ends(home, f"sqlite:///{home}/airflow.db?timeout=30")
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed: scripts/test --install")
    with postgres_server() as server:
        uri = server.uri.replace("postgresql://", "postgresql+psycopg://")
        # Others write while a transaction is open, which SQLite does not let them.
        yield ends(home, uri, "concurrent", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=uri)


def ends(home: Path, database: str, *arguments: str, **more: str) -> dict[str, Any]:
    """Run the program."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "_AIRFLOW_PROCESS_CONTEXT": "server",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
        **more,
    }
    command = [sys.executable, "-m", "tests.ingress.ending_tasks", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    found = re.search(r"^came: (.+)$", done.stdout, re.MULTILINE)
    assert found, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return dict(json.loads(found[1]))


def test_the_job_of_a_deferred_task_is_ordered_to_end_once(came: dict[str, Any]) -> None:
    assert came["deferred"] == ["job-deferred"]
    assert came["deferred again"] == []
    assert came["both"] == ["job-both"]


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_the_job_of_a_task_that_is_not_deferred_is_ordered_to_end(came: dict[str, Any], state: str) -> None:
    assert came[f"running, {state}"] == [f"job-running-{state}"]


def test_of_mapped_tasks_only_the_job_of_the_ended_one_is_ordered_to_end(came: dict[str, Any]) -> None:
    assert came["mapped"] == ["job-mapped1"]


@pytest.mark.parametrize("task", ["left", "over", "alone", "unsent", "untraced", "plain", "retried", "strange"])
def test_nothing_is_ordered_where_no_job_is_to_end(came: dict[str, Any], task: str) -> None:
    assert came[task] == []


def test_the_job_of_a_submission_that_nobody_heard_of_is_ordered_to_be_found_and_ended(came: dict[str, Any]) -> None:
    assert came["unheard"] == ["key-unheard"]
    kwargs = came["unheard order"]
    assert kwargs["callback_path"] == "airgate.triggers.lost_job.end_lost_job"
    what = kwargs["callback_kwargs"]
    assert what["trace"] == {"key": "key-unheard", "protocol": {"class": "x:Y", "fields": {}}}
    assert what["instance"] == {"dag_id": "d", "run_id": "r", "task_id": "unheard", "map_index": -1}
    assert (what["gateway_conn_id"], what["settles_at"], what["task"]) == ("gateway_default", 7.0, "d.unheard (r)")


def test_it_is_looked_for_again_when_the_task_is_ended_again_and_not_before(came: dict[str, Any]) -> None:
    assert came["unheard again"] == []
    assert came["unheard once more"] == ["key-unheard"]


def test_a_task_that_is_ended_while_a_triggerer_looks_is_looked_at_once_more(came: dict[str, Any]) -> None:
    """The triggerer may have seen it running a moment before."""
    assert came["looks for unheard"] == [["queued", "running"]] * 2


def test_what_goes_wrong_does_not_keep_airflow_from_ending_the_task(came: dict[str, Any]) -> None:
    assert came["broken"] == []
    assert came["broken is"] == "failed"


def test_a_handle_that_is_stored_while_the_task_is_ended_is_seen(came: dict[str, Any]) -> None:
    if "late" not in came:
        pytest.skip("SQLite has one writer")
    assert came["late"] == ["job-late"]


def test_a_triggerer_that_clears_away_unused_triggers_leaves_the_orders(came: dict[str, Any]) -> None:
    assert {"job-deferred", "job-running-failed", "job-both"} <= set(came["kept"])


def test_a_run_that_is_ended_ends_the_jobs_of_tasks_that_wait_for_a_retry(came: dict[str, Any]) -> None:
    assert came["run"] == ["job-between"]


def test_a_run_that_ends_by_itself_ends_the_jobs_of_tasks_that_were_killed(came: dict[str, Any]) -> None:
    assert came["run with jobs that ended by itself"] == ["job-killed"]
    assert came["run without jobs that ended by itself"] == []


def test_an_order_is_one_of_airflows_callbacks_and_names_the_task(came: dict[str, Any]) -> None:
    state, kind, kwargs = came["order"]
    assert (state, kind) == ("queued", "airflow.triggers.callback.CallbackTrigger")
    assert kwargs["callback_path"] == "airgate.triggers.ending.end_job"
    assert kwargs["callback_kwargs"]["gateway_conn_id"] == "gateway_default"
    assert kwargs["callback_kwargs"]["task"] == "d.between (r)"
    assert came["dags"] == ["d"]
