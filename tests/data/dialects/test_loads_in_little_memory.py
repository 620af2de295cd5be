"""Loads of two million rows in a process that may not have the memory for them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from airgate.data.frames.writing import FrameWriter
from airgate.data.store.storage import Folder
from tests.postgres_server import postgres_programs, postgres_server

ROWS = 2_000_000
PART = 20_000

LIMIT = 256
"""MB that the process may have beyond what its imports take, and that it may hold at its peak in all."""

_LOAD = """
import importlib, json, resource, sys
from pathlib import Path
import fsspec
from airgate.data.frames.reading import read_tables
from airgate.data.loads.load import Load
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder

dialect, mode, path, place, limit, options = sys.argv[1:]
module = importlib.import_module(f"airgate.data.dialects.{dialect}")
importlib.import_module({"duckdb": "duckdb", "sqlite": "sqlite3", "postgres": "adbc_driver_postgresql.dbapi"}[dialect])

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) / 1024

folder = Folder(fsspec.filesystem("file"), path, f"file://{path}")
manifest = Manifest.from_json(json.loads(folder.read("manifest.json")))
before, most = status("VmHWM"), int(status("VmData")) + int(limit) << 20
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
with getattr(module, f"open_{dialect}")(place, **json.loads(options)) as warehouse:
    key = () if mode == "append" else ("id",)
    result = warehouse.load(Load("t", key, "load", mode=mode), read_tables([manifest], lambda uri: folder))
    [(there, last)] = warehouse.query("SELECT count(*), max(id) FROM t")
print(json.dumps({"rows": result.rows, "there": there, "last": last, "peak": status("VmHWM"), "before": before}))
"""


def write(folder: Path, rows: int) -> Path:
    """A data set of that many rows, some 50 bytes each."""
    writer = FrameWriter(Folder(fsspec.filesystem("file"), str(folder), f"file://{folder}"), part_rows=PART)
    for start in range(0, rows, PART):
        ids = np.arange(start, start + PART)
        texts = pa.array([f"some text of record {number}" for number in ids])
        moments = pa.array(ids * 1_000_000, pa.timestamp("us", "UTC"))
        writer.add(pa.table({"id": ids, "n": ids * 1.25, "s": texts, "at": moments}))
    writer.commit()
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the rows."""
    return write(tmp_path_factory.mktemp("rows"), ROWS)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server, which is not limited: its memory is not the task's."""
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL: scripts/test --install")
    with postgres_server() as server:
        yield server.uri


def load(dialect: str, mode: str, path: Path, place: str, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """Load in a process of its own."""
    options = {"memory_limit": "32MB"} if dialect == "duckdb" else {}
    command = [sys.executable, "-c", _LOAD, dialect, mode, str(path), place, str(limit), json.dumps(options)]
    # What is reserved and never used counts as well: stacks of threads, and what Arrow's own allocator asks for first.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    return subprocess.run(
        command,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("dialect", "mode"), [("duckdb", "append"), ("duckdb", "merge"), ("sqlite", "merge"), ("postgres", "merge")]
)
def test_two_million_rows_go_through_little_memory(
    request: pytest.FixtureRequest, tmp_path: Path, data_set: Path, dialect: str, mode: str
) -> None:
    """A merge in every engine, where all rows are staged and compared; DuckDB also when they go straight in."""
    place = request.getfixturevalue("postgres") if dialect == "postgres" else str(tmp_path / "warehouse")
    done = load(dialect, mode, data_set, place)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["rows"], said["there"], said["last"]) == (ROWS, ROWS, ROWS - 1)
    assert said["peak"] <= LIMIT, said


def test_the_limit_of_memory_is_one(tmp_path: Path) -> None:
    """Below what a load needs it fails: the test above can."""
    path = write(tmp_path / "rows", PART)
    assert load("duckdb", "merge", path, str(tmp_path / "warehouse"), limit=8).returncode != 0
