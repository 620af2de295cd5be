"""DuckDB, the embedded warehouse: one file, one writing process at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from airgate.data.dialects.dialect import ROW, qualified, quoted
from airgate.data.dialects.names import folded
from airgate.data.loads.load import Load
from airgate.data.loads.staged import StagedWarehouse
from airgate.data.shape.arrowtypes import no_rows

if TYPE_CHECKING:
    import duckdb

_INCOMING = "airgate_incoming"

_INTEGERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)

_ROW_GROUP = 122_880
"""Rows of a row group of DuckDB's, by which it divides work among threads."""

_HOLDS = {
    **{kind: set(_INTEGERS) for kind in _INTEGERS},
    "FLOAT": {"TINYINT", "SMALLINT", "UTINYINT", "USMALLINT"},
    "DOUBLE": {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT"},
    "JSON": {"VARCHAR"},
    "UUID": {"VARCHAR"},
}
"""Type in the table -> types whose every value it holds exactly, or refuses."""


@contextmanager
def open_duckdb(
    path: str, *, lock_timeout: float = 120.0, read_only: bool = False, memory_limit: str | None = None
) -> Iterator[StagedWarehouse]:
    """Open a DuckDB file.

    Args:
        path: Of the file; it is made when missing, unless ``read_only``.
        lock_timeout: Seconds to wait while another process has the file open for writing.
        read_only: Open beside other readers.
        memory_limit: What DuckDB may hold in memory, such as ``512MB``; None for its own choice, most of the machine's.

    Raises:
        RuntimeError: When the duckdb package is not installed.
        TimeoutError: When the file stays locked.
    """
    try:
        import duckdb
    except ImportError:
        raise RuntimeError("loading into DuckDB needs the duckdb package: pip install 'airgate[duckdb]'") from None
    config: dict[str, str | bool | int | float | list[str]] = {}
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    gives_up = time.monotonic() + lock_timeout
    while True:
        try:
            connection = duckdb.connect(path, read_only=read_only, config=config)
            break
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise
            if time.monotonic() >= gives_up:
                raise TimeoutError(
                    f"{path} has been locked by another process for {lock_timeout:g} s: {error}. DuckDB lets one "
                    "process write at a time; give tasks that load into it a pool with one slot"
                ) from None
            time.sleep(0.1)
    try:
        connection.execute("SET enable_progress_bar = false")  # it would be drawn into the task's log, line by line
        yield StagedWarehouse(DuckDB(connection))
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class DuckDB:
    """An open DuckDB file. An error ends its transaction: rows that do not fit are looked for beforehand."""

    connection: duckdb.DuckDBPyConnection
    now = "now()"
    moment = "TIMESTAMPTZ"
    ignores_case = True
    makes_keys = False  # an index costs more than it saves here
    savepoints = False

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        relation = self.connection.sql(sql, params=list(parameters) or None)
        if cast("object", relation) is None:  # of a statement without a result, whatever its stub says
            return []
        if any("TIME ZONE" in str(kind) for kind in relation.types):
            # DuckDB's own way to a Python moment needs pytz, which it does not bring along.
            table: pa.Table = relation.to_arrow_table()
            return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return relation.fetchall()

    def _run(self, sql: str) -> None:
        """Run a statement that has no result; a relation, as above, would plan it twice."""
        self.connection.execute(sql)

    def mark(self, number: int) -> str:
        """How the parameter of that number is marked."""
        return f"${number}"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, roll back after an error."""
        self._run("BEGIN")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._run("RESET threads")

    def _roll_back(self) -> None:
        import duckdb

        try:
            self._run("ROLLBACK")
        except duckdb.TransactionException:  # the error has ended it already
            return

    def lock(self, table: str, *, whole: bool) -> None:
        """Nothing to wait for: the file is open in this process only."""

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table -> their types."""
        *schema, name = table.split(".")
        # Not duckdb_columns(): it makes all views of the system first. And a DESCRIBE of what is not there would end
        # the transaction.
        there = self.query(
            "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE lower(table_name) = lower($1) "
            "AND database_name = current_database() AND lower(schema_name) = "
            f"{'lower($2)' if schema else 'current_schema()'}",
            [name, *schema],
        )
        return {
            column: kind for path in there for column, kind, *_ in self.query(f"DESCRIBE {'.'.join(map(quoted, path))}")
        }

    def types(self, schema: pa.Schema) -> dict[str, str]:
        """What DuckDB makes of each Arrow type."""
        if not schema.names:
            return {}  # DuckDB takes no table without a column
        self.connection.register(_INCOMING, no_rows(schema))
        try:
            return {name: kind for name, kind, *_ in self.query(f"DESCRIBE FROM {_INCOMING}")}
        finally:
            self.connection.unregister(_INCOMING)

    def holds(self, there: str, coming: str) -> bool:
        """Whether a column keeps such values exactly, or refuses them."""
        return there == coming or coming in _HOLDS.get(there, ())

    def converted(self, expression: str, there: str, coming: str) -> str:
        """Values are cast by the insert."""
        return expression

    def stage(self, name: str, types: Mapping[str, str], tables: Iterator[pa.Table], key: Sequence[str]) -> None:
        """Fill a temporary table, which DuckDB moves to disk when memory is short."""
        columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in {**types, ROW: "BIGINT"}.items())
        self._run(f"CREATE TEMPORARY TABLE {name} ({columns})")
        for table in tables:
            self._insert(name, table)
        self._run("RESET threads")

    def goes_straight(self, table: str) -> bool:
        """Whether the table has no rule that could refuse a row."""
        return not self._rules(table)

    def append(self, table: str, rows: pa.Table) -> None:
        """Put rows into the table itself."""
        self._insert(qualified(table), rows)

    def _insert(self, table: str, airgate_incoming: pa.Table) -> None:
        # One thread for less than a row group: two take longer for it, and twice the processor time. It stays at one
        # for the parts behind it, up to the end of the transaction, or of what is staged.
        self._run("SET threads = 1" if airgate_incoming.num_rows < _ROW_GROUP else "RESET threads")
        try:
            # Found by its name in this very frame. Were it registered instead, its transaction would hold it to the
            # end, and with it the rows of all parts.
            self.connection.execute(f"INSERT INTO {table} BY NAME FROM airgate_incoming")
        except BaseException:
            self._run("RESET threads")
            raise

    def unfit(self, load: Load, staging: str, columns: Mapping[str, str]) -> list[tuple[int, str]]:
        """Rows that break a type's range or a rule of the table, which the catalogue tells."""
        there = self.columns(load.table)
        values = ", ".join(f"{columns.get(name, 'NULL')} AS {quoted(name)}" for name in there)
        rows = f"(SELECT s.{ROW} AS {ROW}, {values} FROM {staging} AS s) AS r"
        conditions = [
            (f"r.{quoted(name)} IS NOT NULL AND TRY_CAST(r.{quoted(name)} AS {kind}) IS NULL", f"{name} is no {kind}")
            for name, kind in there.items()
            if name in columns and kind in _HOLDS
        ]
        written = set(map(self._folded, columns))
        for rule, names, expression in self._rules(load.table):
            comes = [self._folded(name) in written for name in names]  # a rule spells a column as whoever wrote it did
            if rule == "NOT NULL":
                conditions += [(f"r.{quoted(name)} IS NULL", f"{name} is null") for name in compress(names, comes)]
            elif rule == "CHECK":
                conditions.append((f"({expression}) IS FALSE", f"CHECK ({expression})"))
            elif rule in {"UNIQUE", "PRIMARY KEY"} and all(comes):
                conditions += self._unique(load, rows, rule, names)
        found: list[tuple[int, str]] = []
        for condition, reason in conditions:
            found += [
                (place, reason) for (place,) in self.query(f"SELECT r.{ROW} FROM {rows} WHERE {condition} ORDER BY 1")
            ]
        return sorted(found)

    def _rules(self, table: str) -> list[tuple[str, list[str], str | None]]:
        *schema, name = table.split(".")
        rows = self.query(
            "SELECT constraint_type, constraint_column_names, expression FROM duckdb_constraints() WHERE "
            "lower(table_name) = lower($1) AND database_name = current_database() AND lower(schema_name) = "
            f"{'lower($2)' if schema else 'current_schema()'}",
            [name, *schema],
        )
        return [(rule, names, expression) for rule, names, expression in rows]

    def _folded(self, name: str) -> str:
        return folded(name, ignores_case=self.ignores_case)

    def _unique(self, load: Load, rows: str, rule: str, names: Sequence[str]) -> list[tuple[str, str]]:
        reason = f"{rule} ({', '.join(names)})"
        columns = ", ".join(f"r.{quoted(name)}" for name in names)
        present = " AND ".join(f"r.{quoted(name)} IS NOT NULL" for name in names)
        twice = f"r.{ROW} NOT IN (SELECT min(r.{ROW}) FROM {rows} GROUP BY {columns}) AND {present}"
        same = " AND ".join(f"t.{quoted(name)} = r.{quoted(name)}" for name in names)
        if load.mode == "merge":
            others = " OR ".join(f"t.{quoted(name)} <> r.{quoted(name)}" for name in load.key)
            same += f" AND ({others})"
        there = f"EXISTS (SELECT 1 FROM {qualified(load.table)} AS t WHERE {same})"
        return [(twice, reason)] if load.mode == "replace" else [(twice, reason), (there, reason)]

    def refusal(self, error: Exception) -> str | None:
        """What DuckDB says of values and rules; None for any other error."""
        import duckdb

        refusals = (
            *(duckdb.ConversionException, duckdb.BinderException),
            *(duckdb.ConstraintException, duckdb.InvalidInputException),
        )
        return str(error) if isinstance(error, refusals) else None
