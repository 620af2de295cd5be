"""What drivers say of a table that is missing, and what else: over real ones, and codes as others keep them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import psycopg2
import pyarrow as pa
import pytest

from airgate.data.dialects.absent import Verdict, verdict
from airgate.data.dialects.dbapi import DbApiWarehouse
from airgate.data.loads.load import LEDGER, Load, LoadRefused

ROWS = pa.table({"id": [1], "v": ["a"]})


def raised(connection: Any, sql: str) -> BaseException:
    """The driver's error."""
    with pytest.raises(Exception, match=r".") as caught:
        connection.cursor().execute(sql)
    return caught.value


@pytest.mark.parametrize("driver", [psycopg, psycopg2])
def test_postgres_says_it_by_sqlstate(postgres_uri: str, driver: Any) -> None:
    """A missing table or schema, a missing right, a mistake in the statement: three answers."""
    connection = driver.connect(postgres_uri)
    connection.autocommit = True
    connection.cursor().execute("CREATE TABLE secrets (id INTEGER)")
    connection.cursor().execute("DROP ROLE IF EXISTS reader_of_nothing")
    connection.cursor().execute("CREATE ROLE reader_of_nothing")
    assert verdict(raised(connection, "SELECT * FROM nowhere")) == "absent"
    assert verdict(raised(connection, "SELECT * FROM nowhere.t")) == "absent"
    assert verdict(raised(connection, "SELECT FROM FROM t")) == "unknown"
    connection.cursor().execute("SET ROLE reader_of_nothing")
    assert verdict(raised(connection, "SELECT * FROM secrets")) == "forbidden"
    connection.close()


def test_embedded_databases_say_it_in_words(tmp_path: Path) -> None:
    """Which hold for their own packages only."""
    lite = sqlite3.connect(tmp_path / "w.sqlite")
    assert verdict(raised(lite, "SELECT * FROM nowhere")) == "absent"
    assert verdict(raised(lite, "SELECT * FROM nowhere.t")) == "absent"
    assert verdict(raised(lite, "SELECT FROM")) == "unknown"
    lite.execute("CREATE TABLE t (id INTEGER)")
    lite.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_READ else sqlite3.SQLITE_OK)
    assert verdict(raised(lite, "SELECT * FROM t")) == "forbidden"
    assert verdict(raised(duckdb.connect(), "SELECT * FROM nowhere")) == "absent"
    assert verdict(raised(duckdb.connect(), "SELECT nosuch FROM range(3)")) == "unknown"
    assert verdict(RuntimeError("no such table: t")) == "unknown"


def made(package: str, *arguments: Any, **attributes: Any) -> BaseException:
    """An error as a driver makes it that is not installed here."""
    of = type("ProgrammingError", (Exception,), {"__module__": f"{package}.err"})
    error = of(*arguments)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (made("pyodbc", "42S02", "[42S02] [SQL Server] Invalid object name 't'. (208)"), "absent"),
        (made("pyodbc", "08S01", "[08S01] Communication link failure"), "unknown"),
        (made("pymysql", 1146, "Table 'd.t' doesn't exist"), "absent"),
        (made("pymysql", 1142, "SELECT command denied to user"), "forbidden"),
        (made("pymysql", 2013, "Lost connection to MySQL server during query"), "unknown"),
        (made("mysql", "1146 (42S02): Table 'd.t' doesn't exist", errno=1146, sqlstate="42S02"), "absent"),
        (made("snowflake", "002003", errno=2003, sqlstate="42S02"), "absent"),
        (made("pymssql", 208, b"Invalid object name 't'."), "absent"),
        (made("oracledb", SimpleNamespace(code=942, full_code="ORA-00942")), "absent"),
        (made("oracledb", SimpleNamespace(code=3113, full_code="ORA-03113")), "unknown"),
        (made("trino", error_name="TABLE_NOT_FOUND"), "absent"),
        (made("trino", error_name="PERMISSION_DENIED"), "forbidden"),
        (made("other", 1146, "anything"), "unknown"),
        (made("other"), "unknown"),
    ],
)
def test_codes_are_looked_for_where_drivers_keep_them(error: BaseException, expected: Verdict) -> None:
    """A number means something to its own driver only."""
    assert verdict(error) == expected


def load(warehouse: DbApiWarehouse, table: str = "t") -> None:
    warehouse.load(Load(table, ("id",), "load-1"), ROWS)


def tables(uri: str) -> set[str]:
    with psycopg.connect(uri) as connection:
        return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@pytest.fixture
def narrow(postgres_uri: str) -> str:
    """A database in which the user may make tables, and may not read ``t``."""
    role = f"loader_{postgres_uri.rpartition('/')[2]}"
    with psycopg.connect(postgres_uri) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(9))")
        connection.execute(f"GRANT ALL ON SCHEMA public TO {role}")
        connection.execute(f"GRANT INSERT ON t TO {role}")
    return postgres_uri.replace("postgres@", f"{role}@")


def test_a_missing_right_is_named_before_anything_is_written(narrow: str, postgres_uri: str) -> None:
    """As what it is, and not as a missing table; granted, the same load goes in."""
    with psycopg.connect(narrow) as connection:
        with pytest.raises(LoadRefused, match=r"t: the table cannot be read: permission denied for table t\. .* grant"):
            load(DbApiWarehouse(connection))
        assert tables(postgres_uri) == {"t"}
        with psycopg.connect(postgres_uri) as owner:
            owner.execute("GRANT ALL ON t TO public")
        load(DbApiWarehouse(connection))
        assert DbApiWarehouse(connection).query("SELECT id, v FROM t") == [(1, "a")]


@pytest.mark.parametrize("table", [LEDGER, "airgate_load_locks", "t_dead_letters"])
def test_a_right_to_the_load_s_own_tables_is_asked_for_too(narrow: str, postgres_uri: str, table: str) -> None:
    """Those that somebody else has made: else it would fail half way, or make what is there."""
    with psycopg.connect(postgres_uri) as owner:
        owner.execute("GRANT ALL ON t TO public")
        owner.execute(f"CREATE TABLE {table} (id INTEGER)")
    with psycopg.connect(narrow) as connection, pytest.raises(LoadRefused, match=f"{table}: the table cannot be read"):
        load(DbApiWarehouse(connection))
    assert tables(postgres_uri) == {"t", table}


class Mute:
    """A driver whose errors tell nothing, over one whose errors do."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.commit, self.rollback = connection.commit, connection.rollback

    def cursor(self) -> Any:
        return _MuteCursor(self._connection.cursor())


class _MuteCursor:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, *arguments: Any) -> None:
        try:
            self._cursor.execute(*arguments)
        except Exception as error:
            raise RuntimeError("something went wrong") from error


def test_an_error_that_tells_nothing_is_looked_up(postgres_uri: str, tmp_path: Path) -> None:
    """In the catalogue, where there is one; where there is none nobody guesses."""
    with psycopg.connect(postgres_uri) as connection:
        with pytest.raises(LoadRefused, match="nowhere: there is no such table"):
            load(DbApiWarehouse(Mute(connection)), "nowhere")
        connection.execute(
            "CREATE VIEW broken AS SELECT 1 / (random() * 0)::int AS id WHERE set_config('a.b', '', true) = ''"
        )
    lite = sqlite3.connect(tmp_path / "w.sqlite")
    with pytest.raises(LoadRefused, match="nowhere: the table cannot be read: something went wrong"):
        load(DbApiWarehouse(Mute(lite), "?"), "nowhere")
    lite.close()
