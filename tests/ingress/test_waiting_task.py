"""Callbacks that meet, and a clear that meets one, in Airflow's database: the first one counts."""

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

from tests.ingress.racing_callbacks import AT_ONCE, RACES
from tests.postgres_server import postgres_programs, postgres_server

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def came(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of the races."""
    home = tmp_path_factory.mktemp("races")
    if request.param == "sqlite":
        yield races(home, f"sqlite:///{home}/airflow.db?timeout=30")
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed: scripts/test --install")
    with postgres_server() as server:
        # With psycopg for both, as that is there.
        uri = server.uri.replace("postgresql://", "postgresql+psycopg://")
        yield races(home, uri, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=uri)


def races(home: Path, database: str, **more: str) -> dict[str, Any]:
    """Run the program."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "_AIRFLOW_PROCESS_CONTEXT": "server",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
        **more,
    }
    command = [sys.executable, "-m", "tests.ingress.racing_callbacks"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    found = re.search(r"^came: (.+)$", done.stdout, re.MULTILINE)
    assert found, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return dict(json.loads(found[1]))


def test_of_callbacks_that_meet_one_resumes_the_task(came: dict[str, Any]) -> None:
    assert AT_ONCE > 1
    assert came["resumed"] == [1] * RACES
    event = {"status": {"state": "succeeded"}, "called_back": True}
    assert came["after"] == [["scheduled", None, event, False]] * RACES


def test_a_clear_that_meets_a_callback_is_not_undone(came: dict[str, Any]) -> None:
    for _, state, _ in came["cleared"]:
        assert state is None
    assert len(came["cleared"]) == RACES


def test_only_the_wait_that_the_token_names_is_found(came: dict[str, Any]) -> None:
    assert [name for name, found in came["found"].items() if found] == ["right"]
