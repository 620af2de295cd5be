"""Small parts of an append go to the server together; nothing of them changes."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from airgate.data.loads.straight import gathered


def _part(rows: int, start: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(start, start + rows), pa.int64())})


def test_small_parts_become_one() -> None:
    assert [table.num_rows for table in gathered([_part(20_000)] * 10)] == [100_000, 100_000]


def test_a_large_part_stays_as_it_is() -> None:
    assert [table.num_rows for table in gathered([_part(5), _part(150_000), _part(5)])] == [5, 150_000, 5]


def test_wide_parts_are_kept_apart_by_their_bytes() -> None:
    wide = pa.table({"text": pa.array(["x" * 1_000_000] * 20)})
    assert [table.num_rows for table in gathered([wide, wide])] == [20, 20]


def test_parts_of_two_schemas_are_kept_apart() -> None:
    other = pa.table({"m": pa.array([1], pa.int64())})
    assert [table.column_names for table in gathered([_part(1), _part(1), other, _part(1)])] == [["n"], ["m"], ["n"]]


@given(st.lists(st.integers(0, 120_000), max_size=12))
def test_rows_and_their_order_stay_whatever_the_parts(sizes: list[int]) -> None:
    parts, start = [], 0
    for size in sizes:
        parts.append(_part(size, start))
        start += size
    found = [value for table in gathered(parts) for value in table["n"].to_pylist()]
    assert found == list(range(start))
