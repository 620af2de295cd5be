"""Loading into DuckDB."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.loads.load import LEDGER, Load, LoadRefused

LOAD = Load("t", ("id",), "load-1")
ROWS = pa.table({"id": [1, 2], "v": ["a", "b"]})


def content(path: Path, table: str = "t") -> list[tuple]:
    with open_duckdb(str(path), read_only=True) as warehouse:
        return warehouse.query(f"FROM {table} ORDER BY 1")


def load(path: Path, rows: pa.Table, load_id: str = "load-1", table: str = "t", key: tuple[str, ...] = ("id",)):
    with open_duckdb(str(path)) as warehouse:
        return warehouse.load(Load(table, key, load_id), rows)


def test_rows_are_merged_by_key(tmp_path: Path) -> None:
    """A known key is replaced, a new one added, others stay."""
    path = tmp_path / "w.duckdb"
    first = load(path, ROWS)
    second = load(path, pa.table({"id": [2, 3], "v": ["B", "c"]}), "load-2")
    assert (first.inserted, first.updated, first.rows) == (2, 0, 2)
    assert (second.inserted, second.updated, second.rows) == (1, 1, 2)
    assert content(path) == [(1, "a"), (2, "B"), (3, "c")]


def test_a_repeated_load_does_nothing(tmp_path: Path) -> None:
    """The load id decides: a retry after a lost answer cannot undo what came later."""
    path = tmp_path / "w.duckdb"
    load(path, ROWS)
    load(path, pa.table({"id": [1], "v": ["newer"]}), "load-2")
    again = load(path, ROWS)
    assert again.repeated
    assert (again.inserted, again.updated) == (2, 0)
    assert content(path) == [(1, "newer"), (2, "b")]


def test_names_are_quoted(tmp_path: Path) -> None:
    """Schemas, odd names and reserved words are only names."""
    path = tmp_path / "w.duckdb"
    with open_duckdb(str(path)) as warehouse:
        warehouse.query('CREATE SCHEMA "my data"')
    rows = pa.table({'a"; DROP TABLE t; --': [1], "select": ["x"]})
    load(path, rows, table="my data.order", key=('a"; DROP TABLE t; --',))
    load(path, rows, "load-2", table="my data.order", key=('a"; DROP TABLE t; --',))
    assert content(path, '"my data"."order"') == [(1, "x")]


def test_a_table_of_nothing_but_key_columns_can_be_merged(tmp_path: Path) -> None:
    """There is nothing to update then, only to add."""
    path = tmp_path / "w.duckdb"
    load(path, pa.table({"id": [1]}))
    load(path, pa.table({"id": [1, 2]}), "load-2")
    assert content(path) == [(1,), (2,)]


def test_columns_may_be_added_left_out_and_reordered(tmp_path: Path) -> None:
    """Columns go by name; a new one is null in the rows that were there."""
    path = tmp_path / "w.duckdb"
    load(path, ROWS)
    load(path, pa.table({"new": [True], "id": [3]}), "load-2")
    assert content(path) == [(1, "a", None), (2, "b", None), (3, None, True)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"id": [1, 1], "v": ["a", "b"]}), "1 keys stand for more than one row, such as {'id': 1} for 2"),
        (pa.table({"id": [None, 1], "v": ["a", "b"]}), "key column id holds nulls"),
        (pa.table({"v": ["a"]}), "key column id is not among the columns v"),
        (pa.table({"id": [None], "v": ["a"]}), "key column id has no type"),
        (pa.table({"id": ["x"], "v": ["a"]}), "the column id is BIGINT in the table and VARCHAR in the data"),
        (pa.table({"id": [1.5], "v": ["a"]}), "the column id is BIGINT in the table and DOUBLE in the data"),
        (pa.table({"id": [7], "v": [{"a": 1}]}), "the column v is VARCHAR in the table and STRUCT"),
    ],
)
def test_rows_that_do_not_fit_change_nothing(tmp_path: Path, rows: pa.Table, message: str) -> None:
    """The error says why; neither rows nor ledger are touched, and the same load may come again mended."""
    path = tmp_path / "w.duckdb"
    load(path, ROWS)
    before = content(path)
    with pytest.raises(LoadRefused, match=message):
        load(path, rows, "load-2")
    assert content(path) == before
    assert not load(path, pa.table({"id": [9]}), "load-2").repeated


def test_a_constraint_of_the_table_holds(tmp_path: Path) -> None:
    """A table made by hand keeps its rules: the load is refused whole."""
    path = tmp_path / "w.duckdb"
    with open_duckdb(str(path)) as warehouse:
        warehouse.query("CREATE TABLE t (id BIGINT, v VARCHAR CHECK (v <> 'b'))")
    with pytest.raises(LoadRefused, match="do not fit the table"):
        load(path, ROWS)
    assert content(path) == []


def test_smaller_types_widen_without_loss(tmp_path: Path) -> None:
    """An integer column takes smaller integers; nothing is ever rounded."""
    path = tmp_path / "w.duckdb"
    load(path, ROWS)
    load(path, pa.table({"id": pa.array([3], pa.int16()), "v": ["c"]}), "load-2")
    assert content(path)[-1] == (3, "c")


def test_a_column_without_a_value_has_no_type_yet(tmp_path: Path) -> None:
    """It is left out of a new table, comes in with its first value, and is null from then on where it is null."""
    path = tmp_path / "w.duckdb"
    load(path, pa.table({"id": [1], "v": [None]}))
    assert content(path) == [(1,)]
    load(path, pa.table({"id": [1], "v": ["a"]}), "load-2")
    load(path, pa.table({"id": [2], "v": [None]}), "load-3")
    assert content(path) == [(1, "a"), (2, None)]


def test_a_table_of_that_name_elsewhere_is_another_one(tmp_path: Path) -> None:
    """Columns are those of the table that is written, whatever its case; not of a namesake in another schema."""
    path = tmp_path / "w.duckdb"
    with open_duckdb(str(path)) as warehouse:
        warehouse.query("CREATE SCHEMA other")
        warehouse.query("CREATE TABLE other.t (a INTEGER)")
        dialect = warehouse.dialect
        assert dialect.columns("t") == {}
        warehouse.query('CREATE TABLE "T" (b DECIMAL(9, 2), d TIMESTAMPTZ, c STRUCT(x INTEGER)[])')
        assert dialect.columns("OTHER.t") == {"a": "INTEGER"}
        assert dialect.columns("t") == {
            "b": "DECIMAL(9,2)",
            "d": "TIMESTAMP WITH TIME ZONE",
            "c": "STRUCT(x INTEGER)[]",
        }
        with dialect.transaction():  # to look for what is not there does not end it
            assert dialect.columns("nowhere.t") == dialect.columns("not_there") == {}
            warehouse.query("INSERT INTO other.t VALUES (1)")
    assert content(path, "other.t") == [(1,)]


@pytest.mark.parametrize("rows", [10, 130_000])
def test_a_load_leaves_the_number_of_threads_as_it_is(tmp_path: Path, rows: int) -> None:
    """It is lowered for what one thread writes faster; also where the insert fails."""
    with open_duckdb(str(tmp_path / "w.duckdb")) as warehouse:
        [(before,)] = warehouse.query("SELECT current_setting('threads')")
        warehouse.query("CREATE TABLE other (a INTEGER)")
        warehouse.load(Load("t", (), "load-1", mode="append"), pa.table({"id": range(rows)}))
        with pytest.raises(duckdb.Error):
            warehouse.dialect.append("other", pa.table({"missing": range(rows)}))
        assert warehouse.query("SELECT current_setting('threads'), (SELECT count(*) FROM t)") == [(before, rows)]


def test_a_load_does_not_import_pandas(tmp_path: Path) -> None:
    """Which would take it 0.2 s and 40 MB."""
    code = """
import io, sys
import fsspec, pyarrow.json
from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.frames.reading import read_tables
from airgate.data.loads.load import Load
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder

folder = Folder(fsspec.filesystem("file"), sys.argv[1], "file://" + sys.argv[1])
rows = pyarrow.json.read_json(io.BytesIO(b'{"id": 1}' * 5))
writer = PartWriter(folder, rows.schema)
writer.add(rows, position={})
manifest = writer.commit()
with open_duckdb(sys.argv[1] + "/w.duckdb") as warehouse:
    result = warehouse.load(Load("t", (), "load-1", mode="append"), read_tables([manifest], lambda uri: folder))
print(result.inserted, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("5 False\n", "")


def test_a_missing_folder_is_not_taken_for_a_lock(tmp_path: Path) -> None:
    """The error comes at once, even when a name speaks of locks."""
    started = time.monotonic()
    with pytest.raises(duckdb.IOException, match="block"), open_duckdb(str(tmp_path / "block" / "w.duckdb")):
        pass
    assert time.monotonic() - started < 10


def test_wrong_loads_are_refused_before_the_warehouse_is_asked() -> None:
    """A merge needs a key and a name."""
    with pytest.raises(ValueError, match="key columns"):
        Load("t", (), "x")
    with pytest.raises(ValueError, match=r"schema\.name"):
        Load("a..b", ("id",), "x")


def _hold(path: Path, seconds: float) -> None:
    with open_duckdb(str(path)):
        (path.parent / "held").touch()
        time.sleep(seconds)


def _held(path: Path, seconds: float) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(path, seconds))
    process.start()
    while not (path.parent / "held").exists():
        time.sleep(0.02)
    return process


def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    """Another process that writes is waited for, and for no longer than allowed."""
    path = tmp_path / "w.duckdb"
    process = _held(path, 1.0)
    with pytest.raises(TimeoutError, match="pool with one slot"), open_duckdb(str(path), lock_timeout=0.2):
        pass
    assert load(path, ROWS).inserted == 2
    process.join()


def _load_for_ever(path: Path) -> None:
    rows = pa.table({"id": range(20_000), "v": [str(n) for n in range(20_000)]})
    number = 0
    while True:
        number += 1
        with open_duckdb(str(path)) as warehouse:
            warehouse.load(Load("t", ("id",), f"load-{number}"), rows.append_column("n", [[number] * 20_000]))


@pytest.mark.faults
@pytest.mark.parametrize("delay", [0.3, 0.45, 0.6])
def test_a_killed_load_is_in_whole_or_not_at_all(tmp_path: Path, delay: float) -> None:
    """Kill -9 while loads run: the table holds exactly what the last load in the ledger brought."""
    path = tmp_path / "w.duckdb"
    process = multiprocessing.get_context("spawn").Process(target=_load_for_ever, args=(path,))
    process.start()
    while not path.exists():
        time.sleep(0.02)
    time.sleep(delay)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with open_duckdb(str(path)) as warehouse:
        tables = {name for (name,) in warehouse.query("SELECT table_name FROM duckdb_tables()")}
        if LEDGER not in tables:
            assert "t" not in tables
            return
        [(loads,)] = warehouse.query(f"SELECT count(*) FROM {LEDGER}")
        if not loads:  # the ledger is made by a transaction of its own
            assert "t" not in tables
            return
        assert warehouse.query("SELECT n, count(*) FROM t GROUP BY n") == [(loads, 20_000)]


def test_no_progress_bar_is_drawn_into_the_log(tmp_path: Path) -> None:
    with open_duckdb(str(tmp_path / "warehouse")) as warehouse:
        assert warehouse.query("SELECT current_setting('enable_progress_bar')") == [(False,)]
