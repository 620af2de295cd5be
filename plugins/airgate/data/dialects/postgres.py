"""PostgreSQL, through ADBC: Arrow goes into a temporary table as COPY's binary form, no Python object a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airgate.data.dialects.dialect import ROW, qualified, quoted
from airgate.data.dialects.plain import kind, plain, plain_type
from airgate.data.loads.load import Load, LoadRefused
from airgate.data.loads.staged import StagedWarehouse

if TYPE_CHECKING:
    import adbc_driver_manager.dbapi as adbc

TYPES = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "string": "text",
    "binary": "bytea",
    "date32": "date",
    "time64": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "json": "jsonb",
}
"""Plain type (``airgate.data.dialects.plain``) -> type of a new column; a decimal becomes ``numeric(p,s)``."""

_INTEGERS = {"smallint", "integer", "bigint"}

_HOLDS = {
    "smallint": _INTEGERS,
    "integer": _INTEGERS,
    "bigint": _INTEGERS,
    "numeric": _INTEGERS,
    "real": {"smallint"},
    "double precision": {"smallint", "integer", "real"},
    "text": {"jsonb"},
    "character varying": {"text"},
    "jsonb": {"text"},
    "json": {"text", "jsonb"},
    "uuid": {"text"},
}
"""Type in the table, without its length -> types whose every value it holds exactly, or refuses."""

_PARSED = {"json", "jsonb", "uuid"}
"""Types that text is cast to; they refuse a text that is none."""

_ROOM = """
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB')
"""
"""For this transaction: with the 4 MB that a database has by default, the joins of a merge go through files."""

_REFUSALS = re.compile(r"22...|23...|P0001")
"""SQLSTATE: a value out of range, a constraint, an exception that a trigger raised."""

_LOCK_TIMED_OUT = "55P03"


@contextmanager
def open_postgres(uri: str, *, lock_timeout: float = 120.0) -> Iterator[StagedWarehouse]:
    """Connect to a PostgreSQL database.

    Args:
        uri: ``postgresql://user:password@host:port/database?…`` as libpq reads it.
        lock_timeout: Seconds to wait for other loads of a table.

    Raises:
        RuntimeError: When the package adbc-driver-postgresql is not installed.
    """
    try:
        import adbc_driver_postgresql.dbapi as driver  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise RuntimeError(
            "loading into PostgreSQL needs the package adbc-driver-postgresql: pip install 'airgate[postgres]'"
        ) from None
    with driver.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        yield StagedWarehouse(Postgres(cursor, lock_timeout))


@dataclass(frozen=True, slots=True)
class Postgres:
    """A connection, in autocommit: transactions are begun and ended by statement."""

    connection: adbc.Cursor
    lock_timeout: float
    now = "clock_timestamp()"  # not now(): that is when the transaction began to wait for its lock
    moment = "timestamptz"
    ignores_case = False
    makes_keys = True
    savepoints = True

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        self.connection.execute(sql, list(parameters) or None)
        return list(self.connection.fetchall())

    def mark(self, number: int) -> str:
        """How the parameter of that number is marked."""
        return f"${number}"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, roll back after an error."""
        # Read committed, whatever the database's default: what is read after the lock is what the loads before left.
        self.query("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            self.query("SET CONSTRAINTS ALL IMMEDIATE")  # a deferred one would refuse no row but the commit
            self.query(_ROOM)
            yield
            self.query("COMMIT")
        except BaseException:
            self.query("ROLLBACK")
            raise

    def lock(self, table: str, *, whole: bool) -> None:
        """Take the advisory lock of the table's name, and keep other writers off the table itself."""
        import adbc_driver_manager

        self.query(f"SET LOCAL lock_timeout = {max(1, round(self.lock_timeout * 1000))}")
        try:
            self.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text", [f"airgate {table}"])
            if whole and self.columns(table):
                self.query(f"LOCK TABLE {qualified(table)} IN SHARE ROW EXCLUSIVE MODE")
        except adbc_driver_manager.Error as error:
            if error.sqlstate != _LOCK_TIMED_OUT:
                raise
            raise TimeoutError(
                f"{table} has been locked for {self.lock_timeout:g} s, by another load or another writer; see "
                "pg_stat_activity, or load again later"
            ) from None

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table that can be written -> their types."""
        rows = self.query(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = "
            "to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [qualified(table)],
        )
        return dict(rows)

    def types(self, schema: pa.Schema) -> dict[str, str]:
        """The types of ``TYPES``."""
        return {field.name: _type(field) for field in schema}

    def holds(self, there: str, coming: str) -> bool:
        """Whether a column keeps such values exactly, or refuses them."""
        if there == coming:
            return True
        base, scale = _base(there), _scale(there)
        if _base(coming) == "numeric" and base == "numeric":
            return scale is None or (_scale(coming) or 0) <= scale
        return coming in _HOLDS.get(base, ())

    def converted(self, expression: str, there: str, coming: str) -> str:
        """Text is cast where a text must be parsed; an assignment refuses what is too long, a cast would cut it."""
        return f"CAST({expression} AS {there})" if there in _PARSED else expression

    def stage(self, name: str, types: Mapping[str, str], tables: Iterator[pa.Table], key: Sequence[str]) -> None:
        """Fill a temporary table, which writes no log; then let the planner see it."""
        import adbc_driver_manager

        kinds = {column: "text" if of == "jsonb" else of for column, of in types.items()} | {ROW: "bigint"}
        columns = ", ".join(f"{quoted(column)} {of}" for column, of in kinds.items())
        self.query(f"CREATE TEMPORARY TABLE {name} ({columns})")
        for table in tables:
            if not table.num_rows:
                continue
            try:
                self.connection.adbc_ingest(name, plain(table), mode="append", temporary=True)
            except (adbc_driver_manager.DataError, adbc_driver_manager.NotSupportedError) as error:
                raise LoadRefused(f"the rows do not fit PostgreSQL: {_said(error)}") from None
        if key:
            self.query(f"ANALYZE {name} ({', '.join(map(quoted, [*key, ROW]))})")

    def goes_straight(self, table: str) -> bool:
        """COPY into the table itself costs half of what the way through a staging table does."""
        return True

    def append(self, table: str, rows: pa.Table) -> None:
        """Put rows into the table itself."""
        if rows.num_rows:
            *schema, name = table.split(".")
            self.connection.adbc_ingest(name, plain(rows), mode="append", db_schema_name=schema[0] if schema else None)

    def unfit(self, load: Load, staging: str, columns: Mapping[str, str]) -> list[tuple[int, str]]:
        """Not asked: there are savepoints."""
        return []

    def refusal(self, error: Exception) -> str | None:
        """What PostgreSQL says of values and rules; None for any other error."""
        import adbc_driver_manager

        if not isinstance(error, adbc_driver_manager.Error) or not _REFUSALS.fullmatch(error.sqlstate or ""):
            return None
        return _said(error)


def _type(field: pa.Field) -> str:
    of = kind(field)
    if of == "decimal":
        exact = plain_type(field)
        return f"numeric({exact.precision},{exact.scale})"
    return TYPES[of]


def _base(kind: str) -> str:
    return re.sub(r"\(.*?\)", "", kind)


def _scale(kind: str) -> int | None:
    found = re.fullmatch(r"numeric\(\d+,(-?\d+)\)", kind)
    return int(found[1]) if found else None


def _said(error: Any) -> str:
    """The message without the statement."""
    for name, value in error.details or ():
        if name == "PG_DIAG_MESSAGE_PRIMARY" or name == b"PG_DIAG_MESSAGE_PRIMARY":
            return str(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return str(error).partition("\n")[0]
