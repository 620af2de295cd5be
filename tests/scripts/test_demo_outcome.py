"""What the demo says at its end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from stack.credentials import Credentials
from stack.outcome import NotTrue, Outcome, misbehaviour, served, verify


@pytest.fixture(scope="module")
def flights() -> Iterator[str]:
    """The real flights service with the demo's faults; its address."""
    command = [sys.executable, "-m", "include.services", "flights", "--port", "0", "--faults", "demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    yield found.group()
    process.terminate()
    process.wait()


def report(day: str, extracted: int, dead: int, loaded: int) -> dict[str, Any]:
    """What the DAG's last task returns for a day."""
    counts = {"extracted": extracted, "dead_lettered": dead, "loaded": loaded}
    return {"day": day, **counts, "call_retries": 2, "waited_seconds": 1.5}


def test_true_numbers_pass(flights: str) -> None:
    """What the service really holds for a day, the real rows and its damaged copies, is accepted."""
    damaged = served(flights, "2013-01-01")["malformed"]
    assert damaged > 0
    verify([report("2013-01-01", 842 + damaged, damaged, 842)], flights)


@pytest.mark.parametrize("wrong", [(842, 0, 842), (845, 2, 843), (845, 3, 841), (0, 0, 0)])
def test_numbers_that_are_not_true_are_refused(flights: str, wrong: tuple[int, int, int]) -> None:
    """A lost, doubled or wrongly counted record is told with the day and both counts."""
    with pytest.raises(NotTrue, match="2013-01-01"):
        verify([report("2013-01-01", *wrong)], flights)


def test_the_outcome_is_told_to_people_and_to_programs(flights: str, tmp_path: Path) -> None:
    """The text has the days, the faults and rows of the mart; the line has the sums under the promised names."""
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "create table carrier_daily as select date '2013-01-01' as date, 'AA' as carrier, 1.5::double as delay"
        )
    reports = [report("2013-01-01", 845, 3, 842), report("2013-01-02", 946, 3, 943)]
    outcome = Outcome("flights_etl", warehouse, "success", ["a", "b"], reports, task_retries=1)

    for _ in range(3):  # the same page again and again until something went wrong on purpose
        requests.get(f"{flights}/flights", {"date": "2013-01-01", "limit": 900}, headers={"X-Gateway-Subject": "test"})
    text = outcome.text(misbehaviour({"flights": flights}))

    assert re.search(r"2013-01-02 +946 +3 +943 +2 +1\.5 s", text)
    assert re.search(r"survived: 5 retries \(1 of whole tasks\), caused by\n  flights +.*\d x damaged record", text)
    assert re.search(r"2013-01-01 +AA +1\.50", text)
    assert json.loads(outcome.line(12.345)) == {
        "state": "success",
        "dag_id": "flights_etl",
        "runs": ["a", "b"],
        "extracted": 1791,
        "dead_lettered": 6,
        "loaded": 1785,
        "retries": 5,
        "warehouse": str(warehouse),
        "seconds": 12.3,
    }


def test_credentials_are_drawn_once_and_private(tmp_path: Path) -> None:
    """A home keeps its secrets, another has others, and only the owner can read the files."""
    first = Credentials.kept(tmp_path)
    assert Credentials.kept(tmp_path) == first
    assert Credentials.drawn() != first
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    (tmp_path / "credentials.json").write_text("{")
    assert Credentials.kept(tmp_path) != first
