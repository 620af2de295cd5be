"""The tutorial, typed in from top to bottom: each command is run in a shell, and says what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PROJECT, blocks

PAGE = PROJECT / "docs" / "tutorial-api-to-table.md"


def steps() -> Iterator[tuple[str, list[str]]]:
    """Each command of the page, and the lines that the page shows of its output."""
    for block in blocks("console"):
        if block.page == PAGE:
            for part in block.code.removeprefix("$ ").split("\n$ "):
                command, *shown = part.splitlines()
                yield command, shown


@pytest.fixture(scope="module")
def shell(live: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with an Airflow of its own, whose dags folder has the DAG files of the page."""
    home = tmp_path_factory.mktemp("tutorial")
    (home / "dags").mkdir()
    for block in blocks("python"):
        if block.page == PAGE and block.is_dag:
            (home / "dags" / f"line_{block.line}.py").write_text(block.code)
    [schema] = [block.code for block in blocks("json") if block.page == PAGE]
    (home / "mended.json").write_text(schema)
    (home / "include").symlink_to(PROJECT / "include")
    gateway = json.loads(live["AIRFLOW_CONN_GATEWAY_DEFAULT"])
    gateway["extra"] |= {"health_path": "/health", "openapi": "include/openapi/sample-services.json"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {
        "PATH": path,
        "WAREHOUSE": str(home / "warehouse.duckdb"),
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__AIRGATE__DATA_ROOT": (home / "data").as_uri(),
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps({"conn_type": "duckdb", "host": f"{home}/warehouse.duckdb"}),
    }
    environment = {**os.environ, **live, **own}
    environment.pop("_AIRFLOW_PROCESS_CONTEXT", None)
    made = "import airflow.utils.db; airflow.utils.db.initdb()"
    subprocess.run([sys.executable, "-c", made], env=environment, check=True, capture_output=True, timeout=120)
    return environment


def test_the_tutorial_does_what_it_says(shell: dict[str, str]) -> None:
    """Connection, check, extract, frame, load, result, dead letters, replay and rerun, in this order."""
    ran = 0
    for command, shown in steps():
        done = subprocess.run(
            ["bash", "-c", command],
            env=shell,
            cwd=shell["AIRFLOW_HOME"],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        said = f"$ {command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert done.returncode == 0, said
        assert not [line for line in shown if line.rstrip() not in done.stdout], said
        if found := re.search(r"see (file://\S+)/dead-letters-00000\.jsonl", done.stdout):
            shell["FOLDER"] = found[1]  # a person takes it from the log, too
        ran += 1
    assert ran > 8
