"""The dialect of any DB-API driver, over two real ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from airgate.data.dialects.dbapi import DbApiWarehouse
from airgate.data.loads.load import LEDGER, Load, LoadRefused, LoadResult

ROWS = pa.table({"id": [1, 2], "v": ["a", "b"]})


@pytest.fixture(params=["sqlite3", "psycopg"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DbApiWarehouse]:
    """A connection with an empty table ``t``."""
    if request.param == "sqlite3":
        connection = sqlite3.connect(tmp_path / "w.sqlite")
        opened = DbApiWarehouse(connection, "?")
    else:
        connection = psycopg.connect(request.getfixturevalue("postgres_uri"))
        opened = DbApiWarehouse(connection)
    opened.query("CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(9) CHECK (v <> 'bad'), at TIMESTAMP)")
    connection.commit()
    yield opened
    connection.close()


def load(warehouse: DbApiWarehouse, rows: object, load_id: str = "load-1", **fields: object) -> LoadResult:
    return warehouse.load(Load(load_id=load_id, **{"table": "t", "key": ("id",), **fields}), rows)


def content(warehouse: DbApiWarehouse) -> list[tuple]:
    rows = warehouse.query("SELECT id, v FROM t ORDER BY id")
    warehouse.connection.rollback()
    return rows


def test_the_three_modes(warehouse: DbApiWarehouse) -> None:
    """Merge, append, replace: counts and content as in every dialect."""
    first = load(warehouse, iter([ROWS.slice(0, 1), ROWS.slice(1)]))
    assert (first.inserted, first.updated) == (2, 0)
    merged = load(warehouse, pa.table({"id": [2, 3], "v": ["B", "c"]}), "load-2")
    assert (merged.inserted, merged.updated) == (1, 1)
    assert load(warehouse, pa.table({"id": [4], "v": ["d"]}), "load-3", mode="append").inserted == 1
    assert content(warehouse) == [(1, "a"), (2, "B"), (3, "c"), (4, "d")]
    load(warehouse, pa.table({"id": [2], "v": ["x"]}), "load-4", mode="replace")
    assert content(warehouse) == [(2, "x")]


@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_a_repeated_load_does_nothing(warehouse: DbApiWarehouse, mode: str) -> None:
    """The ledger is the same table as that of the other dialects, cursor included."""
    load(warehouse, ROWS, mode=mode, cursor="7")
    again = load(warehouse, ROWS, mode=mode, cursor="7")
    assert (again.repeated, again.inserted) == (True, 2)
    assert content(warehouse) == [(1, "a"), (2, "b")]
    assert warehouse.cursor("t") == "7"


def test_refused_rows_become_dead_letters(warehouse: DbApiWarehouse) -> None:
    """They are found by halving, counted once, and kept with their reason."""
    rows = pa.table({"id": [1, 2, 3, 4], "v": ["a", "bad", "c", "bad"]})
    with pytest.raises(LoadRefused, match="do not fit the table"):
        load(warehouse, rows, max_dead_letters=1)
    assert content(warehouse) == []
    result = load(warehouse, iter([rows.slice(0, 3), rows.slice(3)]), max_dead_letter_share=0.5)
    assert (result.inserted, result.dead_lettered) == (2, 2)
    assert content(warehouse) == [(1, "a"), (3, "c")]
    letters = warehouse.query("SELECT record FROM t_dead_letters")
    assert [json.loads(record)["id"] for (record,) in letters] == [2, 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"id": [1, 1]}), "keys stand for more than one row"),
        (pa.table({"id": [None, 1]}), "key column id holds nulls"),
        (pa.table({"id": [1], "new": [1]}), "the table has no column new"),
        (pa.table({"v": ["a"]}), "key column id is not in"),
    ],
)
def test_data_that_does_not_fit_changes_nothing(warehouse: DbApiWarehouse, rows: pa.Table, message: str) -> None:
    """The transaction is rolled back, the ledger with it."""
    with pytest.raises(LoadRefused, match=message):
        load(warehouse, rows)
    assert content(warehouse) == []
    assert not load(warehouse, ROWS).repeated


def test_a_table_must_be_there(warehouse: DbApiWarehouse) -> None:
    """This dialect knows no types, so it makes no tables; columns that are not there can be left out."""
    with pytest.raises(LoadRefused, match="there is no such table"):
        load(warehouse, ROWS, table="nowhere")
    load(warehouse, pa.table({"id": [1], "new": [1]}), new_columns="ignore")
    assert content(warehouse) == [(1, None)]
    assert warehouse.query(f"SELECT count(*) FROM {LEDGER}") == [(1,)]
