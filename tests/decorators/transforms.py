"""What the tests of ``@task.dataframe`` share: a data set, transforms of it, and the way a task runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from airflow.sdk import DAG

from airgate.data.frames.reading import read_table, write_frame
from airgate.data.store.manifest import Manifest
from airgate.decorators.dataframe import Frames, dataframe_task
from airgate.hooks.storage import open_folder

EVEN = [0, 2, 4, 6, 8]


@pytest.fixture(name="numbers")
def numbers_of_a_test(tmp_path: Path) -> dict[str, Any]:
    """The manifest of a data set: n from 0 to 9 and its text t, in parts of 4."""
    table = pa.table({"n": range(10), "t": [f"x{number}" for number in range(10)]})
    return write_frame(table, open_folder(f"file://{tmp_path}/numbers"), part_rows=4).to_json()


def run(function: Any, context: Any, *args: Any, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run the task of a function as Airflow would."""
    with DAG("d", schedule=None):
        operator = dataframe_task(**options)(function)(*args, **(arguments or {})).operator
    result = operator.execute(context)
    assert json.loads(json.dumps(result)) == result  # what goes to XCom: references, no records
    return result


def rows(manifest: Any) -> list[dict[str, Any]]:
    """The records of a result."""
    return read_table([Manifest.from_json(manifest)], open_folder).to_pylist()


def splits(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"low": frame[frame["n"] < 3], "high": frame[frame["n"] >= 3]}


def in_pieces(frames: Frames) -> Iterator[pd.DataFrame]:
    for frame in frames:
        assert isinstance(frame, pd.DataFrame)
        yield frame[frame["n"].isin(EVEN)]


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(m=frame["n"] - 2)
