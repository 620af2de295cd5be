"""Data sets as pandas frames."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from airgate.data.frames import read_frame, read_table, write_frame
from airgate.data.storage import Folder


def folder(uri: str) -> Folder:
    return Folder(fsspec.filesystem("file"), uri.removeprefix("file://"), uri)


def test_a_frame_comes_back_as_it_went(tmp_path: Path) -> None:
    """Integers with nulls stay integers, times keep their zone, the index is dropped."""
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64())),
            "t": pd.array([None, "x"], dtype=pd.ArrowDtype(pa.string())),
            "at": pd.to_datetime(["2013-01-01T00:00:00Z", None]),
        },
        index=["a", "b"],
    )
    manifest = write_frame(frame, folder(f"file://{tmp_path}/out"))
    again = read_frame([manifest], folder)
    assert [str(dtype) for dtype in again.dtypes][:2] == ["int64[pyarrow]", "string[pyarrow]"]
    assert again["n"].tolist() == [1, pd.NA]
    assert again["at"][0] == frame["at"].iloc[0]
    assert list(again.index) == [0, 1]
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (2, 2, 0)


def test_a_long_frame_is_written_in_parts(tmp_path: Path) -> None:
    """No part has more rows than asked for, and the order is kept."""
    manifest = write_frame(pd.DataFrame({"n": range(25)}), folder(f"file://{tmp_path}/out"), part_rows=10)
    assert [part.records for part in manifest.parts] == [10, 10, 5]
    assert read_frame([manifest], folder)["n"].tolist() == list(range(25))


def test_several_data_sets_become_one_table(tmp_path: Path) -> None:
    """Columns are united by name; an empty data set adds no rows."""
    one = write_frame(pd.DataFrame({"a": [1]}), folder(f"file://{tmp_path}/1"))
    two = write_frame(pd.DataFrame({"a": [2], "b": ["x"]}), folder(f"file://{tmp_path}/2"))
    none = write_frame(pd.DataFrame({"a": pd.Series([], dtype="int64")}), folder(f"file://{tmp_path}/3"))
    assert read_table([one, two, none], folder).to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


def test_data_sets_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    """A column of two types is an error, not a guess."""
    one = write_frame(pd.DataFrame({"a": [1]}), folder(f"file://{tmp_path}/1"))
    two = write_frame(pd.DataFrame({"a": ["x"]}), folder(f"file://{tmp_path}/2"))
    with pytest.raises(ValueError, match=r"/1, .*/2 do not fit together"):
        read_table([one, two], folder)
    with pytest.raises(ValueError, match="empty"):
        read_table([], folder)


def test_a_file_that_changed_since_is_not_read(tmp_path: Path) -> None:
    """A manifest vouches for its files: another task that writes to the same folder is noticed."""
    manifest = write_frame(pd.DataFrame({"a": [1]}), folder(f"file://{tmp_path}/1"))
    write_frame(pd.DataFrame({"a": [2]}), folder(f"file://{tmp_path}/1"))
    with pytest.raises(ValueError, match=r"part-00000.parquet is not the file of its manifest any more"):
        read_table([manifest], folder)


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "two columns have the same name: a"),
        (pd.DataFrame({"a": [1, "x"]}), TypeError, "a column has no Arrow type"),
    ],
)
def test_a_frame_that_parquet_cannot_hold_is_refused(tmp_path: Path, frame, error, message) -> None:
    """The error says which column is at fault."""
    with pytest.raises(error, match=message):
        write_frame(frame, folder(f"file://{tmp_path}/out"))
