"""Loading data sets of parts into tables, through the operator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from airflow.sdk import Asset

from airgate.data.loads.load import LoadRefused
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder
from airgate.hooks import WarehouseHook
from airgate.operators import TableLoadOperator
from tests.postgres_server import postgres_programs, postgres_server


def data_set(path: Path, *parts: pa.Table) -> dict[str, Any]:
    """The manifest of a data set with these parts."""
    writer = PartWriter(Folder(fsspec.filesystem("file"), str(path), f"file://{path}"), parts[0].schema)
    for part in parts:
        writer.add(part, position={})
        writer.flush()
    return writer.commit().to_json()


def load(data: object, **fields: Any) -> TableLoadOperator:
    return TableLoadOperator(**{"task_id": "load", "data": data, "table": "t", **fields})


def content(sql: str = "SELECT id, v FROM t ORDER BY 1, 2") -> list[tuple]:
    with WarehouseHook().get_conn() as warehouse:
        return warehouse.query(sql)


@pytest.fixture(params=["duckdb", "sqlite"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection, of each type that needs no server."""
    connection = {"conn_type": request.param, "host": str(tmp_path / f"w.{request.param}")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    return request.param


ONE, TWO = pa.table({"id": [1, 2], "v": ["a", "b"]}), pa.table({"id": [2, 3], "v": ["B", "c"]})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"key": ["id"]}, [(1, "a"), (2, "B"), (3, "c")]),
        ({"key": ["id"], "mode": "merge"}, [(1, "a"), (2, "B"), (3, "c")]),
        ({}, [(1, "a"), (2, "B"), (2, "b"), (3, "c")]),
        ({"mode": "append"}, [(1, "a"), (2, "B"), (2, "b"), (3, "c")]),
        ({"mode": "replace"}, [(2, "B"), (3, "c")]),
    ],
)
def test_the_mode_says_what_becomes_of_rows_that_are_there(
    context, warehouse: str, tmp_path: Path, fields: dict, expected: list
) -> None:
    """With a key it is a merge unless it is named, without one an append."""
    load(data_set(tmp_path / "one", ONE), **fields).execute(context)
    load(data_set(tmp_path / "two", TWO), **fields).execute(context)
    assert content() == expected


def test_the_event_of_an_outlet_says_what_was_loaded(context, warehouse: str, tmp_path: Path) -> None:
    """A load that an earlier try has done tells the same, as whoever listens may not have heard of it."""
    table, event = Asset("t"), SimpleNamespace(extra={})
    operator = load(data_set(tmp_path / "one", ONE), key=["id"], outlets=[table])
    for _ in range(2):
        event.extra.clear()
        operator.execute({**context, "outlet_events": {table: event}})
        assert event.extra == {
            "table": "t", "mode": "merge", "rows": 2, "inserted": 2, "updated": 0, "dead_lettered": 0
        }  # fmt: skip


@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_a_retry_loads_nothing_twice(context, warehouse: str, tmp_path: Path, mode: str) -> None:
    """The same task instance with the same data is the same load; a clear makes another one of it."""
    operator = load(data_set(tmp_path / "one", ONE), mode=mode, key=["id"] if mode == "merge" else [])
    first, second = operator.execute(context), operator.execute(context)
    assert (first["repeated"], second["repeated"], second["rows"], second["mode"]) == (False, True, 2, mode)
    assert content() == [(1, "a"), (2, "b")]
    context["ti"].max_tries += 3
    assert not operator.execute(context)["repeated"]


def test_a_part_that_has_changed_is_refused_and_nothing_is_loaded(context, warehouse: str, tmp_path: Path) -> None:
    """The first part was fine and read; it is not in the table all the same."""
    manifest = data_set(tmp_path / "one", ONE, TWO)
    (tmp_path / "one" / "part-00001.parquet").write_bytes((tmp_path / "one" / "part-00000.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"part-00001\.parquet is not the file of its manifest any more"):
        load(manifest).execute(context)
    with pytest.raises(Exception, match="t"):
        content()


def test_dead_letters_up_to_a_threshold(context, warehouse: str, tmp_path: Path) -> None:
    """Beyond it the task fails with column and value; below it they are counted in the result."""
    with WarehouseHook().get_conn() as opened:
        opened.query("CREATE TABLE t (id BIGINT, v VARCHAR(9) NOT NULL)")
    manifest = data_set(tmp_path / "one", ONE, pa.table({"id": [3], "v": [None]}, schema=ONE.schema))
    with pytest.raises(LoadRefused, match=r"v is None.*0 such rows are tolerated"):
        load(manifest).execute(context)
    assert load(manifest, max_dead_letters=1).execute(context)["dead_lettered"] == 1
    assert json.loads(content("SELECT record FROM t_dead_letters")[0][0]) == {"id": 3, "v": None}


def test_the_cursor_is_the_warehouse_s_to_give_back(context, warehouse: str, tmp_path: Path) -> None:
    """It is committed with the rows, so it is never ahead of them or behind."""
    load(data_set(tmp_path / "one", ONE), cursor="2013-01-31").execute(context)
    with WarehouseHook().get_conn() as opened:
        assert opened.cursor("t") == "2013-01-31"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "upsert"}, "mode must be one of append, merge, replace, not 'upsert'"),
        ({"mode": "merge"}, "key is missing"),
        ({"new_columns": "drop"}, "new_columns must be one of add, ignore, fail"),
        ({"max_dead_letters": -1}, "max_dead_letters must be 0 or more"),
        ({"max_dead_letter_share": 1.5}, "max_dead_letter_share must be 0 to 1"),
        ({"key": "id"}, "key must be a list"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(fields: dict, message: str) -> None:
    """The error names task and argument."""
    with pytest.raises(ValueError, match=f"task 'load': {message}"):
        load({}, **fields)


@pytest.mark.skipif(postgres_programs() is None, reason="needs PostgreSQL: scripts/test --install")
def test_a_postgres_connection_with_all_its_fields(context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port, database, user and libpq's parameters come from the connection; Airflow's provider is not needed."""
    with postgres_server() as server:
        connection = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": server.port,
            "schema": "postgres",
            "login": "postgres",
            "password": "p@ss/word",
            "extra": {"application_name": "air gate", "lock_timeout": 5},
        }
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
        load(data_set(tmp_path / "one", ONE), key=["id"]).execute(context)
        assert content() == [(1, "a"), (2, "b")]
        assert content("SELECT current_setting('application_name')") == [("air gate",)]


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"conn_type": "duckdb"}, "host is missing, it is the DuckDB file's path"),
        ({"conn_type": "sqlite"}, "host is missing, it is the SQLite file's path"),
        ({"conn_type": "duckdb", "host": "x", "extra": {"lock_timeout": "soon"}}, "lock_timeout must be seconds"),
        ({"conn_type": "duckdb", "host": "x", "extra": {"memory_limit": "little"}}, "memory_limit must be a size"),
        ({"conn_type": "http", "host": "x"}, "airgate loads into: duckdb, postgres, sqlite, and any type whose hook"),
        ({"conn_type": "nosuch", "host": "x"}, "of which Airflow has no hook"),
    ],
)
def test_a_connection_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, connection: dict, message: str
) -> None:
    """The error names the connection and the field."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    with pytest.raises(ValueError, match=f"connection 'warehouse_default'.*{message}"):
        WarehouseHook().get_conn()


def test_duckdb_may_be_told_how_much_memory_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of its own setting."""
    connection = {"conn_type": "duckdb", "host": str(tmp_path / "w.duckdb"), "extra": {"memory_limit": "64MiB"}}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    assert content("SELECT current_setting('memory_limit')") == [("64.0 MiB",)]


def test_any_db_api_hook_will_do(context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook of a provider's kind over a real driver: placeholder, quotes and connection are asked of it."""
    import sqlite3

    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import Connection

    class OtherHook(DbApiHook):
        conn_name_attr = "other_conn_id"
        placeholder = "?"

        def get_conn(self) -> sqlite3.Connection:
            return sqlite3.connect(tmp_path / "other.db")

    monkeypatch.setattr(Connection, "get_hook", lambda self, **_: OtherHook(other_conn_id=self.conn_id))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", '{"conn_type": "other"}')
    with WarehouseHook().get_conn() as opened:
        opened.query("CREATE TABLE t (id INTEGER, v VARCHAR(9))")
    load(data_set(tmp_path / "one", ONE), key=["id"]).execute(context)
    load(data_set(tmp_path / "two", TWO), key=["id"]).execute(context)
    assert content() == [(1, "a"), (2, "B"), (3, "c")]


BIG = """
import resource, sys
from airgate.data.frames.reading import read_tables
from airgate.data.loads.load import Load
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.data.dialects.sqlite import open_sqlite
import fsspec, json

manifest = Manifest.from_json(json.load(open(sys.argv[1] + "/manifest.json")))
folder = Folder(fsspec.filesystem("file"), sys.argv[1], "file://" + sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_sqlite(sys.argv[2]) as warehouse:
    result = warehouse.load(Load("t", ("id",), "big"), read_tables([manifest], lambda uri: folder))
print(result.rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_is_that_of_a_part(tmp_path: Path) -> None:
    """A data set of 16 parts takes no more than one of 4, though it is four times as large."""
    grown = []
    for parts in (4, 16):
        path = tmp_path / str(parts)
        tables = (
            pa.table({"id": range(part * 10_000, (part + 1) * 10_000), "v": [f"{part:>400}"] * 10_000})
            for part in range(parts)
        )
        data_set(path, *tables)
        command = [sys.executable, "-c", BIG, str(path), str(tmp_path / f"{parts}.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, megabytes = map(int, done.stdout.split())
        assert rows == parts * 10_000
        grown.append(megabytes)
    # Twelve more parts are 48 MB of values.
    assert grown[1] - grown[0] < 24, grown
