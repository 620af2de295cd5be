"""Where things are: the project's own folders, and the one folder that holds everything the stack writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one stack. Two stacks with different homes never meet."""

    project: Path
    """The checkout."""
    home: Path
    """AIRFLOW_HOME, and nothing is written outside it."""
    dags: Path
    """The folder Airflow takes DAGs from."""

    @classmethod
    def here(cls) -> Layout:
        """This checkout's; AIRGATE_HOME and AIRGATE_DAGS_FOLDER set other folders, for tests and a second stack."""
        project = Path(__file__).resolve().parents[2]
        home = Path(os.environ.get("AIRGATE_HOME") or project / ".airflow").resolve()
        dags = Path(os.environ.get("AIRGATE_DAGS_FOLDER") or project / "dags").resolve()
        return cls(project, home, dags)

    @property
    def metadata(self) -> Path:
        """Airflow's metadata database, one a version: another Airflow begins a new history, not with a broken one."""
        return self.home / f"airflow-{version('apache-airflow')}.db"

    @property
    def logs(self) -> Path:
        """Airflow's logs, one folder a DAG."""
        return self.home / "logs"

    @property
    def process_logs(self) -> Path:
        """What the stack's own processes say, one file each."""
        return self.logs / "stack"

    @property
    def data(self) -> Path:
        """The data root: Parquet parts and dead letters."""
        return self.home / "data"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that the DAGs load into."""
        return self.home / "warehouse.duckdb"

    @property
    def unfinished(self) -> Path:
        """Exists while the demo's runs go on, and after a demo that was interrupted then."""
        return self.home / "runs-unfinished"
