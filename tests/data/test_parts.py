"""How a data set is cut into files."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airgate.data.extract import Collection, extract
from airgate.data.shape.evolution import conform, united
from airgate.data.shape.misfit import Misfit
from airgate.data.store.layout import Layout
from airgate.data.store.partition import NULL, partitions
from airgate.data.store.parts import PartWriter
from airgate.data.store.sink import Sink
from airgate.pagination import OffsetPages
from tests.data.reads import FileCheckpoint, Texts, letters_of, local, table_of

SCHEMA = pa.schema([("id", pa.int64()), ("carrier", pa.string()), ("month", pa.int8())])


def numbers(count: int) -> list[bytes]:
    return [
        json.dumps({"id": n, "carrier": ["UA", "A/B=é", None, ""][n % 4], "month": n % 2 + 1}).encode()
        for n in range(count)
    ]


def collection(**kwargs: Any) -> Collection:
    return Collection("GET /n", OffsetPages(limit=10), SCHEMA, **kwargs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part_rows": 0}, "part_rows must be 1 or more"),
        ({"part_bytes": 0}, "part_bytes must be 1 or more"),
        ({"row_group_rows": 0}, "row_group_rows must be 1 or more"),
        ({"zstd_level": 23}, "zstd_level must be 1 to 22"),
        ({"partition_by": ("a", "a")}, "names a column twice: a, a"),
    ],
)
def test_a_layout_without_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match=message):
        Layout(**settings)


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        (Layout(part_rows=25), [30, 30, 30, 10]),
        (Layout(part_rows=1000), [100]),
        (Layout(part_bytes=1), [100]),
    ],
)
def test_parts_end_with_a_page(tmp_path: Path, layout: Layout, parts: list[int]) -> None:
    """A part has the rows that were asked for and at most a page more; small pages are read together before that."""
    manifest = extract(collection(layout=layout), Texts(numbers(100)), local(tmp_path), FileCheckpoint(tmp_path / "c"))
    assert [part.records for part in manifest.parts] == parts


def test_large_records_make_small_parts(tmp_path: Path) -> None:
    """Memory is bounded by bytes as well: long before part_rows records of 100 KB are a part."""
    texts = [json.dumps({"id": n, "carrier": str(n) * 50_000}).encode() for n in range(60)]
    layout = Layout(part_bytes=1 << 20)
    manifest = extract(collection(layout=layout), Texts(texts), local(tmp_path), FileCheckpoint(tmp_path / "c"))
    assert [part.records for part in manifest.parts] == [20, 20, 20]


def test_row_groups_and_compression_are_as_asked(tmp_path: Path) -> None:
    """The file says so itself: zstd, row groups of the size, numbers without a dictionary."""
    layout = Layout(row_group_rows=30, zstd_level=19)
    manifest = extract(collection(layout=layout), Texts(numbers(100)), local(tmp_path), FileCheckpoint(tmp_path / "c"))
    [part] = manifest.parts
    metadata = pq.read_metadata(tmp_path / part.name)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [30, 30, 30, 10]
    columns = [groups[0].column(number) for number in range(3)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert [column.has_dictionary_page for column in columns] == [False, True, False]


def test_partitions_become_folders_that_others_read(tmp_path: Path) -> None:
    """Each value has its folder, a missing one too; DuckDB reads the folders, the manifest alone is enough as well."""
    layout = Layout(part_rows=50, partition_by=("carrier", "month"))
    place = local(tmp_path / "out")
    manifest = extract(collection(layout=layout), Texts(numbers(100)), place, FileCheckpoint(tmp_path / "c"))
    assert manifest.written == 100 == sum(part.records for part in manifest.parts)
    assert [part.name for part in manifest.parts[:4]] == [
        "carrier=/month=2/part-00000.parquet",
        "carrier=A%2FB%3D%C3%A9/month=2/part-00000.parquet",
        "carrier=UA/month=1/part-00000.parquet",
        f"carrier={NULL}/month=1/part-00000.parquet",
    ]
    assert {part.name[-18:] for part in manifest.parts} == {"part-00000.parquet", "part-00001.parquet"}
    table = table_of(manifest, place)
    assert sorted(table.column("id").to_pylist()) == list(range(100))
    assert table.schema == SCHEMA
    files = f"{tmp_path}/out/**/*.parquet"
    found = duckdb.sql(f"select count(*) from read_parquet('{files}', hive_partitioning=true) where carrier = 'A/B=é'")
    assert found.fetchall() == [(25,)]


def test_a_resumed_partitioned_read_goes_on_with_the_next_number(tmp_path: Path) -> None:
    """Names are the same as in a read without a fault, and what an abandoned try left in folders is removed."""
    layout = Layout(part_rows=20, partition_by=("carrier",))
    place, checkpoint = local(tmp_path / "out"), FileCheckpoint(tmp_path / "c")
    service = Texts(numbers(100), broken={60})
    with pytest.raises(Exception, match="503"):
        extract(collection(layout=layout), service, place, checkpoint)
    (tmp_path / "out" / "carrier=UA" / "part-00077.parquet").write_bytes(b"left behind")
    (tmp_path / "out" / "carrier=UA" / "mine.txt").write_bytes(b"mine")
    manifest = extract(collection(layout=layout), service, place, checkpoint)
    whole = extract(
        collection(layout=layout), Texts(numbers(100)), local(tmp_path / "b"), FileCheckpoint(tmp_path / "d")
    )
    assert manifest.parts == whole.parts
    there = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert there == {*(part.name for part in manifest.parts), "manifest.json", "carrier=UA/mine.txt"}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (pa.field("p", pa.float64()), "column p is double"),
        (pa.field("q", pa.string()), "there is no column 'p'"),
    ],
)
def test_a_column_that_cannot_name_folders_is_refused(tmp_path: Path, field: pa.Field, message: str) -> None:
    """Before the first page is asked for."""
    with pytest.raises(ValueError, match=message):
        PartWriter(local(tmp_path), pa.schema([field]), layout=Layout(partition_by=("p",)))


def test_too_many_partitions_are_refused() -> None:
    """A column of ids would make a file a row."""
    table = pa.table({"id": range(1001)})
    with pytest.raises(ValueError, match="1001 different values in one part"):
        list(partitions(table, ["id"]))
    with pytest.raises(ValueError, match="too long to name a folder"):
        list(partitions(pa.table({"t": ["x" * 300]}), ["t"]))


def test_dates_and_booleans_name_folders() -> None:
    """As SQL writes them."""
    table = pa.table({"d": [datetime.date(2013, 1, 2)] * 2, "b": [True, False]})
    assert [folder for folder, _ in partitions(table, ["d", "b"])] == ["d=2013-01-02/b=false", "d=2013-01-02/b=true"]


def test_a_failed_write_counts_nothing(tmp_path: Path) -> None:
    """When the disk is full in the middle of a flush, the manifest still describes what is durable."""

    class Full(type(local(tmp_path))):  # type: ignore[misc]
        def create(self, name: str) -> Sink:
            if name.startswith("part"):
                raise OSError("no space left on device")
            return super().create(name)

    place = local(tmp_path)
    writer = PartWriter(Full(place.fs, place.path, place.uri), SCHEMA)
    writer.add(SCHEMA.empty_table(), [Misfit(0, b"x", "bad")], position={})
    writer.add(pa.table([[1], ["UA"], pa.array([1], pa.int8())], schema=SCHEMA), position={})
    with pytest.raises(OSError, match="no space"):
        writer.flush()
    writer.manifest.check()
    assert (writer.manifest.received, writer.manifest.dead_letters) == (0, [])
    with pytest.raises(ValueError, match="an earlier write failed"):
        writer.flush()


def test_named_fields_are_masked_in_dead_letters(tmp_path: Path) -> None:
    """The rest of the record stays as it came, and the reason does not repeat the value."""
    texts = [b'{"id":"one-two-three", "carrier":"UA", "month":1}']
    place = local(tmp_path / "out")
    manifest = extract(collection(redact_fields=("id",)), Texts(texts), place, FileCheckpoint(tmp_path / "c"))
    [letter] = letters_of(manifest, place)
    assert letter["record"] == '{"id":"***", "carrier":"UA", "month":1}'
    assert "one-two" not in json.dumps(letter)


def test_parts_from_before_and_after_a_growth_fit_together() -> None:
    """Missing columns and members are null; a column of two types is refused by name."""
    early = pa.table({"a": [1], "o": [{"x": 1}]})
    late = pa.table({"a": [2], "o": [{"x": 2, "y": "b"}], "n": ["new"]})
    schema = united([early.schema, late.schema])
    rows = pa.concat_tables([conform(early, schema), conform(late, schema)]).to_pylist()
    assert rows == [{"a": 1, "o": {"x": 1, "y": None}, "n": None}, {"a": 2, "o": {"x": 2, "y": "b"}, "n": "new"}]
    with pytest.raises(ValueError, match="column a is int64 in one part and string in another"):
        united([early.schema, pa.schema([("a", pa.string())])])
    with pytest.raises(ValueError, match="the later schema lacks o"):
        conform(early, pa.schema([("a", pa.int64())]))


def test_a_part_can_be_read_by_itself(tmp_path: Path) -> None:
    """The file holds its schema, nullability included."""
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), ("carrier", pa.string())])
    writer = PartWriter(local(tmp_path), schema)
    writer.add(pa.table([[1], ["UA"]], schema=schema), position={})
    [part] = writer.commit().parts
    assert pq.read_schema(io.BytesIO((tmp_path / part.name).read_bytes())) == schema
