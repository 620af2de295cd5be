"""Clients that meet: one run for a key, and no run that is cancelled while its pivot is sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ingress.conftest import environment_of
from tests.postgres_server import postgres_programs, postgres_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def came(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of it."""
    home = tmp_path_factory.mktemp("races")
    if request.param == "sqlite":
        yield races(home)
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed: scripts/test --install")
    with postgres_server() as server:
        uri = server.uri.replace("postgresql://", "postgresql+psycopg://")
        yield races(home, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=uri, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=uri)


def races(home: Path, **settings: str) -> dict[str, Any]:
    """Run the program."""
    command = [sys.executable, "-m", "tests.ingress.racing_runs"]
    environment = environment_of(home, **settings)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    found = re.search(r"^came: (.+)$", done.stdout, re.MULTILINE)
    assert found, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return dict(json.loads(found[1]))


def test_requests_under_one_key_that_meet_make_one_run(came: dict[str, Any]) -> None:
    for race in came["same"]:
        assert len({run_id for run_id, _ in race}) == 1
        assert sorted(replayed for _, replayed in race) == [False] + [True] * (came["at once"] - 1)


def test_of_two_bodies_under_one_key_that_meet_one_is_taken(came: dict[str, Any]) -> None:
    for race in came["other"]:
        assert sum(told == ["reused"] for told in race) == came["at once"] // 2
        assert sum(told[-1] is False for told in race) == 1


def test_no_more_runs_are_there_than_keys(came: dict[str, Any]) -> None:
    assert (came["runs"], came["tasks"]) == (2 * came["races"], 4 * came["races"])


def test_a_run_is_not_cancelled_while_its_pivot_is_sent(came: dict[str, Any]) -> None:
    assert len(came["pivots"]) == came["races"]
    assert [True, True] not in came["pivots"]
