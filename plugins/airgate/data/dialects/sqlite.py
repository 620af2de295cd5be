"""SQLite: one file, one writer at a time, and column types that are hints."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airgate.data.dialects.dialect import ROW, quoted
from airgate.data.dialects.plain import kind, plain
from airgate.data.loads.load import Load, LoadRefused
from airgate.data.loads.staged import StagedWarehouse

TYPES = {
    "bool": "INTEGER",
    "int16": "INTEGER",
    "int32": "INTEGER",
    "int64": "INTEGER",
    "float": "REAL",
    "double": "REAL",
    "string": "TEXT",
    "binary": "BLOB",
    "date32": "TEXT",
    "time64": "TEXT",
    "timestamp": "TEXT",
    "timestamptz": "TEXT",
    "decimal": "TEXT",
    "json": "TEXT",
}
"""Plain type (``airgate.data.dialects.plain``) -> type of a new column. Dates and moments are ISO 8601 text, decimals
their digits."""

_HOLDS = {
    "INTEGER": {"INTEGER"},
    "REAL": {"REAL"},
    "NUMERIC": {"INTEGER", "REAL"},
    "TEXT": {"TEXT"},
    "BLOB": {"INTEGER", "REAL", "TEXT", "BLOB"},
}
"""Affinity of the column (https://sqlite.org/datatype3.html) -> types that it leaves as they are."""

_TEMPORAL = {"DATE", "TIME", "DATETIME", "TIMESTAMP"}
"""Declared types of numeric affinity that hold ISO 8601 text all the same, as it is not a number's."""

_ROWS = 5_000
"""Rows that are Python objects at a time."""


@contextmanager
def open_sqlite(path: str, *, lock_timeout: float = 120.0) -> Iterator[StagedWarehouse]:
    """Open a SQLite file, which is made when missing.

    Args:
        path: Of the file.
        lock_timeout: Seconds to wait while another process writes.
    """
    with closing(sqlite3.connect(path, timeout=lock_timeout, isolation_level=None)) as connection:
        yield StagedWarehouse(SQLite(connection, path, lock_timeout))


@dataclass(frozen=True, slots=True)
class SQLite:
    """An open SQLite file, in autocommit: transactions are begun and ended by statement."""

    connection: sqlite3.Connection
    path: str
    lock_timeout: float
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    moment = "TEXT"
    ignores_case = True
    makes_keys = True
    savepoints = True

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        return self.connection.execute(sql, list(parameters)).fetchall()

    def mark(self, number: int) -> str:
        """How the parameter of that number is marked."""
        return f"?{number}"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take the one writer's place at once, commit at the end, roll back after an error."""
        try:
            self.query("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise TimeoutError(
                f"{self.path} has been locked by another writer for {self.lock_timeout:g} s; SQLite lets one write at "
                "a time: give tasks that load into it a pool with one slot"
            ) from None
        try:
            yield
            self.query("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.query("ROLLBACK")
            raise

    def lock(self, table: str, *, whole: bool) -> None:
        """Nothing more to wait for: the transaction is the only one that writes."""

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table that can be written -> their types."""
        *schema, name = table.split(".")
        rows = self.query(
            "SELECT name, type FROM pragma_table_xinfo(?1, ?2) WHERE hidden = 0 ORDER BY cid",
            [name, schema[0] if schema else "main"],
        )
        return dict(rows)

    def types(self, schema: pa.Schema) -> dict[str, str]:
        """The types of ``TYPES``."""
        return {field.name: TYPES[kind(_narrow(field))] for field in schema}

    def holds(self, there: str, coming: str) -> bool:
        """Whether a column keeps such values exactly."""
        return (coming == "TEXT" and there.upper() in _TEMPORAL) or coming in _HOLDS[affinity(there)]

    def converted(self, expression: str, there: str, coming: str) -> str:
        """Values go in as they are."""
        return expression

    def stage(self, name: str, types: Mapping[str, str], tables: Iterator[pa.Table], key: Sequence[str]) -> None:
        """Fill a temporary table, which SQLite keeps in a file of its own."""
        self.query("PRAGMA temp_store = FILE")
        columns = [*(f"{quoted(column)} {of}" for column, of in types.items()), f"{ROW} INTEGER PRIMARY KEY"]
        self.query(f"CREATE TEMPORARY TABLE {name} ({', '.join(columns)})")
        marks = ", ".join("?" * (len(types) + 1))
        self.query("BEGIN")
        try:
            for table in tables:
                for start in range(0, table.num_rows, _ROWS):
                    rows = [column.to_pylist() for column in _storable(table.slice(start, _ROWS)).columns]
                    self.connection.executemany(f"INSERT INTO {name} VALUES ({marks})", zip(*rows, strict=True))
            if key:
                self.query(f"CREATE INDEX temp.{name}_key ON {name} ({', '.join(map(quoted, key))})")
            self.query("COMMIT")
        except BaseException:
            self.query("ROLLBACK")
            raise

    def goes_straight(self, table: str) -> bool:
        """Not worth it: what takes time is to make Python objects."""
        return False

    def append(self, table: str, rows: pa.Table) -> None:
        """Not asked."""
        raise NotImplementedError

    def unfit(self, load: Load, staging: str, columns: Mapping[str, str]) -> list[tuple[int, str]]:
        """Not asked: there are savepoints."""
        return []

    def refusal(self, error: Exception) -> str | None:
        """What SQLite says of values and rules; None for any other error."""
        return str(error) if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError) else None


def affinity(declared: str) -> str:
    """The affinity of a declared type, by SQLite's rules."""
    text = declared.upper()
    for parts, found in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(part in text for part in parts):
            return found
    return "NUMERIC" if text else "BLOB"


def _narrow(field: pa.Field) -> pa.Field:
    """Unsigned 64-bit integers stay integers, up to SQLite's largest."""
    return field.with_type(pa.int64()) if field.type == pa.uint64() else field


def _storable(table: pa.Table) -> pa.Table:
    """The values as SQLite stores them.

    Raises:
        LoadRefused: There is none for a value: NaN, which would become null, or an integer beyond 63 bits.
    """
    schema = pa.schema([_narrow(field) for field in table.schema])
    try:
        table = plain(table.cast(schema))
    except pa.ArrowInvalid as error:
        raise LoadRefused(f"a value does not fit SQLite: {error}") from None
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
            raise LoadRefused(f"the column {name} holds NaN, which SQLite cannot store; make it null")
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int16())
        elif pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
            column = column.cast(pa.string())
        columns.append(column)
    return pa.table(columns, names=table.column_names)
