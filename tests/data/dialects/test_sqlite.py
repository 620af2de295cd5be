"""What is particular about SQLite."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from airgate.data.dialects.sqlite import affinity, open_sqlite
from airgate.data.loads.load import Load, LoadRefused
from tests.data.dialects.warehouses import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A file of the test's own."""
    return Opened("sqlite", partial(open_sqlite, str(tmp_path / "w.sqlite")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([float("nan")]), "column v holds NaN"),
        (pa.array([2**63], pa.uint64()), "does not fit SQLite"),
        (pa.array([1], pa.timestamp("ns")), "cannot become timestamp"),
    ],
)
def test_values_that_sqlite_cannot_hold_are_refused(opened: Opened, values: pa.Array, message: str) -> None:
    """They would become null, or another number."""
    with pytest.raises(LoadRefused, match=message):
        opened.load(pa.table({"id": [1], "v": values}))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("INT", "INTEGER"),
        ("CHARINT", "INTEGER"),
        ("VARCHAR(9)", "TEXT"),
        ("", "BLOB"),
        ("DOUBLE PRECISION", "REAL"),
        ("DECIMAL(8,2)", "NUMERIC"),
    ],
)
def test_declared_types_have_an_affinity(declared: str, expected: str) -> None:
    """As https://sqlite.org/datatype3.html, section 3.1, says."""
    assert affinity(declared) == expected


def test_a_text_that_looks_like_a_number_stays_a_text(opened: Opened) -> None:
    """A column of numeric affinity would make 7 of '007': it is refused; one for dates takes ISO text."""
    opened.query("CREATE TABLE t (id INTEGER, v NUMERIC, at DATETIME)")
    with pytest.raises(LoadRefused, match="v is NUMERIC in the table and TEXT in the data"):
        opened.load(pa.table({"id": [1], "v": ["007"]}))
    opened.load(pa.table({"id": [1], "at": pa.array([0], pa.timestamp("us", "UTC"))}))
    assert opened.query("SELECT at FROM t") == [("1970-01-01 00:00:00.000000Z",)]


def test_a_load_that_waits_too_long_says_so(tmp_path: Path) -> None:
    """Another writer holds the file: the wait has an end, and nothing was loaded."""
    path, rows = str(tmp_path / "w.sqlite"), pa.table({"id": [1]})
    with open_sqlite(path) as holder, open_sqlite(path, lock_timeout=0.1) as waiter:
        holder.load(Load("t", ("id",), "load-1"), rows)
        holder.query("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError, match="pool with one slot"):
            waiter.load(Load("t", ("id",), "load-2"), rows)
        holder.query("ROLLBACK")
        assert waiter.load(Load("t", ("id",), "load-2"), rows).updated == 1
