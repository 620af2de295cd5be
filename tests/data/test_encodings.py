"""How columns are encoded in the parts."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airgate.data.shape.encodings import encodings

WHOLE = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.date32(), pa.time32("ms"), pa.time64("us")),
]


def written(table: pa.Table) -> bytes:
    content = io.BytesIO()
    with pq.ParquetWriter(content, table.schema, compression="zstd", **encodings(table.schema)) as writer:
        writer.write_table(table)
    return content.getvalue()


def encodings_of(content: bytes) -> dict[str, set[str]]:
    group = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {column.path_in_schema: set(column.encodings) for column in columns}


@pytest.mark.parametrize("type_", WHOLE, ids=str)
def test_whole_numbers_and_times_are_kept_to_the_last_bit(type_: pa.DataType, tmp_path: Path) -> None:
    """From the lowest to the highest, nulls among them, in Arrow's reader as in DuckDB's."""
    integer = pa.int32() if type_.bit_width == 32 else pa.int64()
    if pa.types.is_integer(type_):
        signed = str(type_).startswith("i")
        ends = [-(2 ** (type_.bit_width - 1)) if signed else 0, 2 ** (type_.bit_width - signed) - 1]
        values = pa.array([*ends, None, 0, 1] * 300, type_)
    else:
        values = pa.array([0, 86_399, None, 1, 2] * 300, integer).cast(type_)
    content = written(pa.table({"v": values}))
    assert pq.read_table(io.BytesIO(content)).column("v").combine_chunks().equals(values)
    assert "DELTA_BINARY_PACKED" in encodings_of(content)["v"]
    file = tmp_path / "part.parquet"
    file.write_bytes(content)
    read = duckdb.read_parquet(str(file)).to_arrow_table().column("v").cast(type_)
    assert read.combine_chunks().equals(values)


def test_each_kind_of_column_has_its_encoding() -> None:
    """Text has a dictionary; a fraction, a list and a struct stay as they are, and so does a name with a dot."""
    table = pa.table(
        {"n": [1] * 9, "s": ["a"] * 9, "f": [1.5] * 9, "l": [[1]] * 9, "o": [{"x": 1}] * 9, "a.b": [1] * 9}
    )
    found = encodings_of(written(table))
    assert {name for name, kinds in found.items() if "DELTA_BINARY_PACKED" in kinds} == {"n"}
    assert {name for name, kinds in found.items() if "RLE_DICTIONARY" in kinds} == {"s"}
    assert pq.read_table(io.BytesIO(written(table))).equals(table)


def test_sequences_take_a_fraction_of_their_place() -> None:
    """Numbers that grow in steps, such as ids, need a few bits each."""
    table = pa.table({"id": pa.array(range(0, 620_000, 31), pa.int64())})
    plain = io.BytesIO()
    pq.write_table(table, plain, compression="zstd", use_dictionary=False)
    assert len(written(table)) < len(plain.getvalue()) / 10
