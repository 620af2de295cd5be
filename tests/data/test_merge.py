"""One manifest over several data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from airgate.data.frames.reading import read_table
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Calls, Manifest
from airgate.data.store.merge import common_folder, merge_manifests
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder


def open_folder(uri: str) -> Folder:
    return Folder(fsspec.filesystem("file"), uri.removeprefix("file://"), uri)


def data_set(uri: str, *tables: pa.Table, dead: int = 0, pages: int = 1) -> Manifest:
    """One part a table."""
    writer = PartWriter(open_folder(uri), tables[0].schema)
    for table in tables:
        writer.add(table, [Misfit(n, b"{}", "bad") for n in range(dead)], position={})
        writer.flush()
        dead = 0
    writer.manifest.calls = Calls(pages=pages, requests=pages + 1, retries=1, waited=0.5, faults={"503": 1})
    return writer.commit()


def ids(*values: int) -> pa.Table:
    return pa.table({"id": pa.array(values, pa.int64())})


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}/d/r/t"


def merge(*manifests: Manifest, **options: Any) -> Manifest:
    return merge_manifests(manifests, open_folder, **options)


def test_parts_keep_their_place_and_counts_are_added_up(root: str, tmp_path: Path) -> None:
    """Nothing is copied: the merged manifest names what is there, relative to the folder above."""
    one = data_set(f"{root}/0", ids(1), ids(2, 3), dead=2)
    two = data_set(f"{root}/1", ids(4), pages=3)
    merged = merge(one, two)
    assert merged.path == root
    assert [part.name for part in merged.parts] == [
        "0/part-00000.parquet",
        "0/part-00001.parquet",
        "1/part-00000.parquet",
    ]
    assert [file.name for file in merged.dead_letters] == ["0/dead-letters-00000.jsonl"]
    assert (merged.received, merged.written, merged.dead_lettered) == (6, 4, 2)
    assert (merged.calls.pages, merged.calls.retries, merged.calls.waited, merged.calls.faults) == (
        4,
        2,
        1.0,
        {"503": 2},
    )
    assert read_table([merged], open_folder).column("id").to_pylist() == [1, 2, 3, 4]
    assert Manifest.from_json(json.loads((tmp_path / "d/r/t/manifest.json").read_text())) == merged
    assert sorted(file.name for file in (tmp_path / "d/r/t").iterdir()) == ["0", "1", "manifest.json"]


def test_a_merge_can_be_merged_again(root: str) -> None:
    """Of several mapped tasks, say."""
    left = merge(data_set(f"{root}/a/0", ids(1)), data_set(f"{root}/a/1", ids(2)))
    merged = merge(left, data_set(f"{root}/b", ids(3)))
    assert [part.name for part in merged.parts][:2] == ["a/0/part-00000.parquet", "a/1/part-00000.parquet"]
    assert read_table([merged], open_folder).column("id").to_pylist() == [1, 2, 3]


def test_one_data_set_stays_as_it_is(root: str, tmp_path: Path) -> None:
    """A fan-out of one; its own manifest is not written over."""
    one = data_set(f"{root}/0", ids(1))
    before = (tmp_path / "d/r/t/0/manifest.json").read_bytes()
    assert merge(one) == one
    assert (tmp_path / "d/r/t/0/manifest.json").read_bytes() == before


def test_columns_are_united(root: str) -> None:
    """A column that one of them lacks, or may have null in, may be null; types stay."""
    required = pa.table(
        [[1], ["x"], [7]],
        schema=pa.schema(
            [pa.field("id", pa.int64(), False), pa.field("v", pa.string(), False), pa.field("n", pa.int64(), False)]
        ),
    )
    merged = merge(
        data_set(f"{root}/0", required), data_set(f"{root}/1", pa.table({"id": [2], "v": ["y"], "w": [1.5]}))
    )
    assert merged.schema == {"id": "int64", "v": "string", "n": "int64", "w": "double"}
    two = merge(
        data_set(f"{root}/2", required), data_set(f"{root}/3", required.set_column(0, required.field(0), [[2]]))
    )
    assert two.schema == {"id": "int64!", "v": "string!", "n": "int64!"}


def test_a_struct_that_grew_is_united(root: str) -> None:
    """Only the parts know its members, so they are asked, and only then."""
    small, large = pa.table({"s": [{"a": 1}]}), pa.table({"s": [{"a": 2, "b": "x"}]})
    merged = merge(data_set(f"{root}/0", small), data_set(f"{root}/1", large))
    assert merged.schema == {"s": "struct<a: int64, b: string>"}


def test_two_types_of_one_column_are_refused(root: str) -> None:
    """The error names column, types and data sets."""
    one, two = data_set(f"{root}/0", ids(1)), data_set(f"{root}/1", pa.table({"id": ["x"]}))
    with pytest.raises(ValueError, match=r"do not fit together.*id is int64 in .*/0 and string in .*/1"):
        merge(one, two)


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["file:///d/r/t/0", "file:///d/r/t/1"], "file:///d/r/t"),
        (["file:///d/r/t/0", "file:///d/r/t/01"], "file:///d/r/t"),
        (["file:///d/r/a", "file:///d/r/b/1"], "file:///d/r"),
        (["s3://c@bucket/d/0", "s3://c@bucket/e/1"], "s3://c@bucket"),
        (["s3://c@bucket/d/0/"], "s3://c@bucket/d/0/"),
    ],
)
def test_the_common_folder(paths: list[str], folder: str) -> None:
    """By whole segments of the path."""
    assert common_folder(paths) == folder


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["s3://a/x", "s3://b/x"], "no folder in common"),
        (["s3://a/x", "file:///a/x"], "no folder in common"),
        (["file:///a/x", "file:///b/x"], "no folder in common"),
        (["file:///a/x", "file:///a/x"], "given more than once"),
        (["file:///a/x", "file:///a/x/0"], "lies within another one"),
    ],
)
def test_data_sets_that_cannot_be_one(paths: list[str], message: str) -> None:
    """Their rows would be doubled, or no name would reach them."""
    with pytest.raises(ValueError, match=message):
        common_folder(paths)


def test_the_very_same_file_twice_is_refused(root: str) -> None:
    """Two mapped tasks with the same query; one may say that it is meant."""
    one, two = data_set(f"{root}/0", ids(1, 2)), data_set(f"{root}/1", ids(1, 2))
    with pytest.raises(ValueError, match=r"1/part-00000.parquet holds exactly what 0/part-00000.parquet holds"):
        merge(one, two)
    assert merge(one, two, allow_twins=True).written == 4


def test_keys_that_overlap_are_refused_on_request(root: str) -> None:
    """Shares that are not disjoint show in the key columns, which are all that is read."""
    one, two = data_set(f"{root}/0", ids(1, 2)), data_set(f"{root}/1", ids(3, 2))
    assert merge(one, two).written == 4
    with pytest.raises(ValueError, match="1 keys come more than once, the first is id 2"):
        merge(one, two, key=["id"])
    with pytest.raises(ValueError, match="has no column x"):
        merge(one, two, key=["x"])
    assert merge(one, data_set(f"{root}/2", ids(3)), key=["id"]).written == 3


def test_empty_data_sets_leave_their_columns(root: str) -> None:
    """An empty share brings no part; if all are empty, one part keeps the columns."""
    empty = [data_set(f"{root}/{n}", ids()) for n in range(2)]
    assert [part.records for part in merge(*empty).parts] == [0]
    assert [part.name for part in merge(*empty, data_set(f"{root}/2", ids(1))).parts] == ["2/part-00000.parquet"]


def test_a_broken_manifest_is_refused(root: str) -> None:
    """What does not add up does not become part of anything."""
    one = data_set(f"{root}/0", ids(1))
    one.received += 1
    with pytest.raises(ValueError, match="received 2 records"):
        merge(one, data_set(f"{root}/1", ids(2)))
    with pytest.raises(ValueError, match="the list of manifests is empty"):
        merge()
