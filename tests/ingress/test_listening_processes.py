"""Where airgate listens: in the servers that end tasks, and in no process that runs tasks or parses DAG files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command", "itself"),
    [("scheduler", 1), ("api-server", 1), ("dag-processor", 0), ("triggerer", 0), ("celery", 0)],
)
def test_only_the_scheduler_and_the_api_server_listen_and_none_of_their_children(
    tmp_path: Path, command: str, itself: int
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
    }
    program = [sys.executable, "-m", "tests.ingress.listening", command]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert f"listens: {itself} 0 0" in done.stdout, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
