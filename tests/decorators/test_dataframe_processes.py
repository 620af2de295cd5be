"""``@task.dataframe`` in processes of their own: killed, and watched for its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from airgate.data.frames.reading import write_frame
from airgate.data.store.manifest import Manifest
from airgate.hooks.storage import open_folder
from tests.decorators.transforms import (
    numbers_of_a_test,  # noqa: F401, a fixture
    rows,
)

PROJECT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys, json
from types import SimpleNamespace
from airgate.decorators.dataframe import Frames, dataframe_task
from tests.state_store import FileStore

def dies(frames: Frames):
    for number, frame in enumerate(frames):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield frame.assign(n=frame["n"] * 2)

ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2)
task = dataframe_task(part_rows=3)(dies)(json.loads(sys.argv[1])).operator
print("RESULT", json.dumps(task.execute({"ti": ti})))
"""


def test_a_killed_transform_is_made_anew(numbers, tmp_path: Path) -> None:
    """SIGKILL between two frames: parts without a manifest; the next try makes the whole data set of the same files."""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", KILLED, json.dumps(numbers), number],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for number in ("2", "99")
    )
    assert first.returncode == -9, first.stderr
    [line] = [line for line in second.stdout.splitlines() if line.startswith("RESULT ")]
    result = json.loads(line.removeprefix("RESULT "))
    assert [row["n"] for row in rows(result)] == [number * 2 for number in range(10)]
    assert len(list((tmp_path / "data").rglob("manifest.json"))) == 1


MEMORY = """
import json, resource, sys
from types import SimpleNamespace
from airgate.data.frames.reading import read_tables
from airgate.decorators.dataframe import Frames, dataframe_task

def adds(frames: Frames):
    for frame in frames:
        yield frame.assign(m=frame["n"] + 1)

ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2)
for argument in sys.argv[1:]:
    task = dataframe_task(part_rows=25_000)(adds)(json.loads(argument)).operator
    written = task.execute({"ti": ti})["written"]
    print("PEAK", written, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Eight times the records, 100 MB of columns, take hardly more memory in pieces than the first eighth did."""
    part = pa.table({"n": range(25_000), **{f"c{number}": range(number, number + 25_000) for number in range(9)}})
    one = write_frame(part, open_folder(f"file://{tmp_path}/one"), part_rows=25_000)
    [file] = one.parts
    sets = [
        Manifest(
            path=one.path, schema=one.schema, parts=[file] * count, received=25_000 * count, written=25_000 * count
        )
        for count in (7, 56)
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *(json.dumps(manifest.to_json()) for manifest in sets)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    peaks = [tuple(map(int, line.split()[1:])) for line in done.stdout.splitlines() if line.startswith("PEAK ")]
    assert [written for written, _ in peaks] == [175_000, 1_400_000], done.stderr
    assert peaks[1][1] - peaks[0][1] < 25, peaks
