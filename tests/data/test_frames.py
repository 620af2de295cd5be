"""Data sets as frames, whole and in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.data.frames.library import from_table, to_table
from airgate.data.frames.reading import read_frame, read_table, read_tables, recut, write_frame
from airgate.data.frames.writing import FrameWriter
from airgate.data.shape.evolution import united
from airgate.data.shape.schema import describe_schema
from airgate.data.store.manifest import File, Manifest
from airgate.data.store.storage import Folder


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


def parts_of(path: Path, *tables: pa.Table, names: list[str] | None = None) -> Manifest:
    """A data set of exactly these parts, as a reader of a growing or partitioned collection leaves it."""
    files = []
    for number, table in enumerate(tables):
        name = names[number] if names else f"part-{number:05d}.parquet"
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, target)
        content = target.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(File(name=name, records=table.num_rows, bytes=len(content), sha256=sha256))
    schema = describe_schema(united([table.schema for table in tables]))
    rows = sum(table.num_rows for table in tables)
    return Manifest(path=f"file://{path}", schema=schema, parts=files, received=rows, written=rows)


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    """In the order in which they are asked for; a part from before a column came has nulls."""
    grown = parts_of(tmp_path, pa.table({"a": [1], "b": [2]}), pa.table({"a": [3], "b": [4], "c": ["x"]}))
    assert read_table([grown], folder, ["c", "a"]).to_pylist() == [{"c": None, "a": 1}, {"c": "x", "a": 3}]
    with pytest.raises(ValueError, match="there is no column z; there are a, b, c"):
        read_table([grown], folder, ["a", "z"])


def test_pieces_all_have_the_schema_of_the_whole(tmp_path: Path) -> None:
    """Also the first, which was written before the last column was known, and rows are neither lost nor repeated."""
    grown = parts_of(tmp_path, pa.table({"a": [1, 2, 3]}), pa.table({"a": [4, 5], "c": ["x", "y"]}))
    by_part = list(read_tables([grown, grown], folder))
    assert [table.num_rows for table in by_part] == [3, 2, 3, 2]
    assert {tuple(table.column_names) for table in by_part} == {("a", "c")}
    cut = list(read_tables([grown, grown], folder, rows=4))
    assert [table["a"].to_pylist() for table in cut] == [[1, 2, 3, 4], [5, 1, 2, 3], [4, 5]]


def test_an_empty_data_set_still_gives_one_typed_piece(tmp_path: Path) -> None:
    """A generator that only maps its frames then gives typed columns, not nothing."""
    empty = parts_of(tmp_path, pa.table({"a": pa.array([], pa.int64())}))
    for rows in (None, 10):
        [only] = read_tables([empty], folder, rows=rows)
        assert (only.num_rows, only.schema.field("a").type) == (0, pa.int64())


def test_a_column_that_only_the_folders_tell_comes_back(tmp_path: Path) -> None:
    """With the type that the manifest gives it; a column that is in the file as well is not doubled."""
    names = [
        "carrier=U%2FA/month=1/part-00000.parquet",
        "carrier=__HIVE_DEFAULT_PARTITION__/month=2/part-00001.parquet",
    ]
    manifest = parts_of(tmp_path, pa.table({"n": [1, 2]}), pa.table({"n": [3]}), names=names)
    manifest.schema |= {"carrier": "string", "month": "int64"}
    expected = [("U/A", 1, 1), ("U/A", 1, 2), (None, 2, 3)]
    whole = read_table([manifest], folder, ["carrier", "month", "n"]).to_pylist()
    pieces = [row for table in read_tables([manifest], folder) for row in table.to_pylist()]
    assert [(row["carrier"], row["month"], row["n"]) for row in whole] == expected
    assert [(row["carrier"], row["month"], row["n"]) for row in pieces] == expected
    inside = parts_of(tmp_path / "in", pa.table({"n": [1], "month": [1]}), names=["month=1/part-00000.parquet"])
    assert read_table([inside], folder).to_pylist() == [{"n": 1, "month": 1}]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=6), rows=st.integers(1, 5))
def test_cutting_keeps_every_row_in_order(lengths: list[int], rows: int) -> None:
    """Whatever came in, all tables but the last have exactly as many rows as asked for."""
    total = sum(lengths)
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    tables = (
        pa.table({"n": pa.array(range(start, start + length), pa.int64())})
        for start, length in zip(starts, lengths, strict=True)
    )
    cut = [table["n"].to_pylist() for table in recut(tables, rows)]
    assert [number for piece in cut for number in piece] == list(range(total))
    assert [len(piece) for piece in cut[:-1]] == [rows] * (len(cut) - 1)
    assert len(cut) == max(1, -(-total // rows))


def test_frames_of_every_library_make_the_same_columns(tmp_path: Path) -> None:
    """However a library lays text and categories out, parts of several of them fit together."""
    table = pa.table({"n": [1, None], "t": ["x", None], "l": [["a"], None]})
    category = pa.table({"n": [3], "t": pa.array(["y"]).dictionary_encode(), "l": [["b"]]})
    made = [
        write_frame(from_table(table, "pandas"), folder(f"file://{tmp_path}/pandas")),
        write_frame(from_table(table, "polars"), folder(f"file://{tmp_path}/polars")),
        write_frame(from_table(table, "arrow"), folder(f"file://{tmp_path}/arrow")),
        write_frame(category, folder(f"file://{tmp_path}/category")),
    ]
    assert {str(manifest.schema) for manifest in made} == {str({"n": "int64", "t": "string", "l": made[0].schema["l"]})}
    assert read_table(made, folder).num_rows == 7


def test_a_column_without_a_value_fits_any_type(tmp_path: Path) -> None:
    """A pandas frame has no type for a column of nothing but nulls; the frames with values tell it, before or after."""
    writer = FrameWriter(folder(f"file://{tmp_path}/out"), part_rows=2)
    for values in ([None, None], ["x", "y"], [None]):
        writer.add(to_table(pd.DataFrame({"t": values}, dtype=object)))
    assert read_table([writer.commit()], folder)["t"].to_pylist() == [None, None, "x", "y", None]


def test_a_frame_that_does_not_fit_those_before_is_named(tmp_path: Path) -> None:
    """By its number and the column; what is written of it has no manifest."""
    writer = FrameWriter(folder(f"file://{tmp_path}/out"), part_rows=1)
    writer.add(pa.table({"n": [1]}))
    with pytest.raises(ValueError, match=r"frame 1 does not fit the frames before it: column n is int64 .* string"):
        writer.add(pa.table({"n": ["x"]}))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_new_run_takes_the_old_manifest_away_first(tmp_path: Path) -> None:
    """A run that dies half-way leaves parts of two runs: no manifest may vouch for them."""
    out = folder(f"file://{tmp_path}/out")
    write_frame(pd.DataFrame({"n": [1]}), out)
    assert (tmp_path / "out" / "manifest.json").exists()
    FrameWriter(out, part_rows=1).add(pa.table({"n": [2]}))
    assert not (tmp_path / "out" / "manifest.json").exists()
