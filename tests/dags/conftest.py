"""The project's DAGs, as Airflow's own DagBag finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"


@pytest.fixture(scope="session")
def dag_bag() -> DagBag:
    """All DAGs of dags/."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS)


@pytest.fixture(scope="session")
def flights_etl(dag_bag: DagBag) -> DAG:
    """The main example."""
    return dag_bag.dags["flights_etl"]


@pytest.fixture(scope="session")
def pools() -> dict[str, Any]:
    """The pools that the demo and the compose file set up."""
    return json.loads((PROJECT / "include" / "airflow" / "pools.json").read_text())


@pytest.fixture(scope="session")
def modules_after_parsing() -> set[str]:
    """The names of all modules that a fresh process holds once it has parsed dags/."""
    code = (
        "import sys\nfrom airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(DAGS)!r})\nassert bag.dags and not bag.import_errors\n"
        "print('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("modules:")]
    return set(line.split()[1:])
