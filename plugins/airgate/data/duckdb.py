"""DuckDB, the embedded warehouse: one file, one writing process at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airgate.data.load import LEDGER, Load, LoadRefused, LoadResult, check_rows

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

_INCOMING = "airgate_incoming"

_NO_TYPE = '"NULL"'
"""How DuckDB calls the type of a column that holds nothing but nulls."""

_LOSSLESS = {
    "SMALLINT": {"TINYINT", "UTINYINT"},
    "INTEGER": {"TINYINT", "SMALLINT", "UTINYINT", "USMALLINT"},
    "BIGINT": {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"},
    "FLOAT": {"TINYINT", "SMALLINT", "UTINYINT", "USMALLINT"},
    "DOUBLE": {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT"},
}
"""Type in the table -> types whose every value it holds exactly."""


@contextmanager
def open_duckdb(path: str, *, lock_timeout: float = 120.0, read_only: bool = False) -> Iterator[DuckDBWarehouse]:
    """Open a DuckDB file.

    Args:
        path: Of the file; it is made when missing, unless ``read_only``.
        lock_timeout: Seconds to wait while another process has the file open for writing.
        read_only: Open beside other readers.

    Raises:
        RuntimeError: When the duckdb package is not installed.
        TimeoutError: When the file stays locked.
    """
    try:
        import duckdb
    except ImportError:
        raise RuntimeError("loading into DuckDB needs the duckdb package: pip install 'airgate[duckdb]'") from None
    gives_up = time.monotonic() + lock_timeout
    while True:
        try:
            connection = duckdb.connect(path, read_only=read_only)
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
        yield DuckDBWarehouse(connection)
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class DuckDBWarehouse:
    """An open DuckDB file."""

    connection: duckdb.DuckDBPyConnection

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        return self.connection.execute(sql, list(parameters)).fetchall()

    def load(self, load: Load, rows: pa.Table) -> LoadResult:
        """Merge the rows and enter the load id, in one transaction."""
        import duckdb

        check_rows(load, rows)
        self.connection.register(_INCOMING, rows)
        try:
            self.connection.execute("BEGIN")
            try:
                result = self._earlier(load) or self._merge(load, rows)
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
        except (
            duckdb.ConversionException,
            duckdb.BinderException,
            duckdb.ConstraintException,
            duckdb.InvalidInputException,
        ) as error:
            raise LoadRefused(f"{load.table}: the rows do not fit the table: {error}") from error
        finally:
            self.connection.unregister(_INCOMING)
        return result

    def _earlier(self, load: Load) -> LoadResult | None:
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {LEDGER} (load_id VARCHAR PRIMARY KEY, table_name VARCHAR NOT NULL, "
            "inserted BIGINT NOT NULL, updated BIGINT NOT NULL, loaded_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        )
        found = self.query(f"SELECT inserted, updated FROM {LEDGER} WHERE load_id = ?", [load.load_id])
        if not found:
            return None
        inserted, updated = found[0]
        return LoadResult(load.table, load.load_id, inserted + updated, inserted, updated, repeated=True)

    def _merge(self, load: Load, rows: pa.Table) -> LoadResult:
        table = ".".join(map(_quoted, load.table.split(".")))
        typed = [_quoted(name) for name, kind, *_ in self.query(f"DESCRIBE FROM {_INCOMING}") if kind != _NO_TYPE]
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} AS SELECT {', '.join(typed)} FROM {_INCOMING} LIMIT 0"
        )
        names = self._fit_columns(load, table)
        on = " AND ".join(f"t.{_quoted(name)} = i.{_quoted(name)}" for name in load.key)
        others = [name for name in names if name not in load.key]
        update = "UPDATE SET " + ", ".join(f"{_quoted(name)} = i.{_quoted(name)}" for name in others)
        actions = self.query(
            f"MERGE INTO {table} AS t USING {_INCOMING} AS i ON {on} "
            f"WHEN MATCHED THEN {update if others else 'DO NOTHING'} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(map(_quoted, names))}) "
            f"VALUES ({', '.join(f'i.{_quoted(name)}' for name in names)}) RETURNING merge_action"
        )
        inserted = sum(action == "INSERT" for (action,) in actions)
        updated = rows.num_rows - inserted
        self.query(
            f"INSERT INTO {LEDGER} (load_id, table_name, inserted, updated) VALUES (?, ?, ?, ?)",
            [load.load_id, load.table, inserted, updated],
        )
        return LoadResult(load.table, load.load_id, rows.num_rows, inserted, updated)

    def _fit_columns(self, load: Load, table: str) -> list[str]:
        """Make room for the rows' columns and give the names of those to write.

        New columns are added to the table; earlier rows hold null there. A column without a single value has no type:
        one that the table has is written as null, another is left out until it comes with values.
        """
        there = {name: kind for name, kind, *_ in self.query(f"DESCRIBE {table}")}
        names = []
        for name, kind, *_ in self.query(f"DESCRIBE FROM {_INCOMING}"):
            if name not in there:
                if kind == _NO_TYPE:
                    continue
                log.warning("%s gets the new column %s %s", load.table, name, kind)
                self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {_quoted(name)} {kind}")
            elif kind not in {there[name], _NO_TYPE, *_LOSSLESS.get(there[name], ())}:
                raise LoadRefused(
                    f"{load.table}: the column {name} is {there[name]} in the table and {kind} in the data, which "
                    "would be rounded or fail; cast it before the load, or alter the table"
                )
            names.append(name)
        return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
