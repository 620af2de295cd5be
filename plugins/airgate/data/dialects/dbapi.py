"""Any database with a DB-API driver: slower, and with fewer promises about types.

Rows go in by ``executemany``, a part at a time, in one transaction with the ledger's entry. Without a catalogue or a
temporary table that all databases have, the table must be there, gets no new columns, and converts values as the
database does; rows that it refuses are found by savepoints.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa

from airgate.data.dialects.absent import verdict
from airgate.data.dialects.names import folded, spelled
from airgate.data.dialects.pep249 import Connection, Cursor
from airgate.data.dialects.plain import plain
from airgate.data.dialects.seen_keys import SeenKeys
from airgate.data.loads.ledger import Ledger
from airgate.data.loads.load import LEDGER, Load, LoadRefused, LoadResult
from airgate.data.loads.refused_rows import RefusedRows

log = logging.getLogger(__name__)

_LOCKS = "airgate_load_locks"
"""Table with a row for each loaded table; whoever has changed it without a commit keeps the others waiting."""

_SAVEPOINT = "airgate_rows"


@dataclass(frozen=True, slots=True)
class DbApiWarehouse:
    """A connection of any driver.

    Args:
        connection: Not in autocommit.
        placeholder: How the driver marks a parameter: ``%s`` or ``?``.
        quote: Writes a name as the database takes it.
        moment: Type of a column that holds a moment.
    """

    connection: Connection
    placeholder: str = "%s"
    quote: Callable[[str], str] = lambda name: '"' + name.replace('"', '""') + '"'
    moment: str = "TIMESTAMP"
    now = "CURRENT_TIMESTAMP"

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        cursor = self.connection.cursor()
        cursor.execute(sql, tuple(parameters)) if parameters else cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def mark(self, number: int) -> str:
        """How a parameter is marked."""
        return self.placeholder

    def cursor(self, table: str) -> str | None:
        """The cursor that the last load into the table committed; None when no load brought one."""
        with self.transaction():
            return Ledger(self).cursor(table)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, roll back after an error; the driver begins it with the first statement."""
        # A look at a table has begun one already, and what that one sees is older than the lock that is taken now.
        self.connection.rollback()
        try:
            yield
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table, without their types; empty if there is none.

        Raises:
            LoadRefused: It must not be read, or nobody can tell whether it is there.
        """
        cursor = self.connection.cursor()
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")  # some databases accept nothing more after an error
        try:
            cursor.execute(f"SELECT * FROM {self._qualified(table)} WHERE 1 = 0")
        except Exception as error:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            if not self._absent(table, error):
                raise LoadRefused(
                    f"{table}: the table cannot be read: {_first_line(error)}. Nothing was written: grant the "
                    "connection's user SELECT, INSERT, UPDATE and DELETE on it, or mend what the message says"
                ) from error
            return {}
        names = {column[0]: "" for column in cursor.description}
        cursor.fetchall()
        return names

    def _absent(self, table: str, error: Exception) -> bool:
        """Whether an error of a look at a table means that there is none; its driver says so, or the catalogue does."""
        said = verdict(error)
        if said != "unknown":
            return said == "absent"
        *schema, name = table.split(".")
        same = " AND ".join(
            f"LOWER({column}) = LOWER({self.placeholder})"
            for column in ("table_name", "table_schema")[: 1 + len(schema)]
        )
        cursor = self.connection.cursor()
        try:
            cursor.execute(f"SELECT 1 FROM information_schema.tables WHERE {same}", (name, *schema))
            return not cursor.fetchall()
        except Exception:  # there is no such catalogue, or the connection is broken: the first error tells more
            return False

    def lock(self, table: str, *, whole: bool) -> None:
        """Change the table's row, which waits for whoever has changed it and is not at an end."""
        self.query(f"UPDATE {_LOCKS} SET loads = loads + 1 WHERE table_name = {self.placeholder}", [table])

    def _look(self, load: Load) -> None:
        """Look at all tables of the load, so that what must not be read shows before anything is written."""
        try:
            for table in (load.table, f"{load.table}_dead_letters", LEDGER, _LOCKS):
                self.columns(table)
        finally:
            self.connection.rollback()

    def _make_lock(self, table: str) -> None:
        create = f"CREATE TABLE {_LOCKS} (table_name VARCHAR(255) PRIMARY KEY, loads BIGINT NOT NULL)"
        self._ensure(lambda: bool(self.columns(_LOCKS)), create, [])
        there = f"SELECT 1 FROM {_LOCKS} WHERE table_name = {self.placeholder}"
        insert = f"INSERT INTO {_LOCKS} (table_name, loads) VALUES ({self.placeholder}, 0)"
        for name in (LEDGER, table):
            self._ensure(partial(self._any, there, name), insert, [name])
        self.connection.commit()

    def _any(self, sql: str, parameter: str) -> bool:
        return bool(self.query(sql, [parameter]))

    def _ensure(self, there: Callable[[], bool], sql: str, parameters: Sequence[Any]) -> None:
        """Run a statement unless what it makes is there; another process may be about to make it as well."""
        if there():
            return
        self.connection.rollback()  # a transaction that has read before it writes may have to give way to another one
        try:
            self.query(sql, parameters)
            self.connection.commit()
        except Exception:
            self.connection.rollback()
            if not there():
                raise

    def load(self, load: Load, rows: pa.Table | Iterable[pa.Table]) -> LoadResult:
        """Put the rows into the table and enter the load, in one transaction; see ``Warehouse``."""
        tables = iter([rows] if isinstance(rows, pa.Table) else rows)
        self._look(load)
        self._make_lock(load.table)
        ledger = Ledger(self)
        ledger.make()
        with self.transaction():
            self.lock(load.table, whole=True)
            if earlier := ledger.find(load):
                return earlier
            first = next(tables)
            names = self._fitting(load, first.schema)
            if load.mode == "replace":
                self.query(f"DELETE FROM {self._qualified(load.table)}")
            result = self._rows(load, names, chain([first], tables))
            ledger.enter(load, result)
        return result

    def _fitting(self, load: Load, schema: pa.Schema) -> list[str]:
        """The columns to write."""
        there = self.columns(load.table)
        if not there:
            raise LoadRefused(f"{load.table}: there is no such table, and this dialect makes none: create it first")
        if missing := [name for name in load.key if name not in schema.names or name not in there]:
            raise LoadRefused(f"{load.table}: the key column {', '.join(missing)} is not in the table and the data")
        new = [name for name in schema.names if name not in there]
        unfilled = {folded(name, ignores_case=True): name for name in there if name not in schema.names}
        if alike := [name for name in new if folded(name, ignores_case=True) in unfilled]:
            # Whether they are one column is for the database to say, and each says something else.
            meant = [unfilled[folded(name, ignores_case=True)] for name in alike]
            raise LoadRefused(
                f"{load.table}: the table has {', '.join(meant)} where the data has {', '.join(alike)}; rename the "
                "columns of the data"
            )
        if new and load.new_columns != "ignore":
            raise LoadRefused(
                f"{load.table}: the table has no column {', '.join(new)}, and this dialect adds none: add it, or say "
                'new_columns="ignore"'
            )
        if new:
            log.warning("%s has no column %s: its values are left out", load.table, ", ".join(new))
        return [name for name in schema.names if name in there]

    def _rows(self, load: Load, names: list[str], tables: Iterator[pa.Table]) -> LoadResult:
        batch: list[dict[str, Any]] = []
        given: list[str] = []
        start, inserted, updated = 0, 0, 0
        dead_letters = self._qualified(f"{load.table}_dead_letters")
        refused = RefusedRows(self, load, dead_letters, lambda place: batch[place - start], None, dict)
        with closing(SeenKeys(load)) as keys:
            for table in tables:
                given = given or table.column_names
                batch = plain(spelled(table, given, names, ignores_case=False)).to_pylist()
                keys.add(batch)
                known = [bool(load.mode == "merge" and self._known(load, row)) for row in batch]
                self._put(load, names, batch, known, start, refused)
                dead = {place - start for place in refused.places if place >= start}
                updated += sum(was for index, was in enumerate(known) if index not in dead)
                inserted += sum(not was for index, was in enumerate(known) if index not in dead)
                start += len(batch)
        refused.check(start)
        return LoadResult(
            *(load.table, load.load_id, start, inserted, updated), dead_lettered=len(refused.places), mode=load.mode
        )

    def _known(self, load: Load, row: Mapping[str, Any]) -> bool:
        found = self.query(
            f"SELECT 1 FROM {self._qualified(load.table)} WHERE {self._same_key(load)}",
            [row[name] for name in load.key],
        )
        return bool(found)

    def _put(
        self,
        load: Load,
        names: list[str],
        rows: Sequence[Mapping[str, Any]],
        known: Sequence[bool],
        start: int,
        refused: RefusedRows,
    ) -> None:
        """Put rows in; those that the table refuses are found by halving."""
        if not rows:
            return
        cursor = self.connection.cursor()
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            self._execute(cursor, load, names, rows, known)
        except Exception as error:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            # PEP 249 gives every driver these two names; anything else is no matter of a row.
            if not {"DataError", "IntegrityError"} & {of.__name__ for of in type(error).__mro__}:
                raise
            reason = _first_line(error)
        else:
            return
        if len(rows) == 1:
            refused.add(start, reason)
            return
        middle = len(rows) // 2
        self._put(load, names, rows[:middle], known[:middle], start, refused)
        self._put(load, names, rows[middle:], known[middle:], start + middle, refused)

    def _execute(
        self,
        cursor: Cursor,
        load: Load,
        names: list[str],
        rows: Sequence[Mapping[str, Any]],
        known: Sequence[bool],
    ) -> None:
        table = self._qualified(load.table)
        values = [name for name in names if name not in load.key]
        changed = [row for row, was in zip(rows, known, strict=True) if was]
        if changed and values:
            sets = ", ".join(f"{self._name(name)} = {self.placeholder}" for name in values)
            cursor.executemany(
                f"UPDATE {table} SET {sets} WHERE {self._same_key(load)}",
                [tuple(row[name] for name in [*values, *load.key]) for row in changed],
            )
        if added := [row for row, was in zip(rows, known, strict=True) if not was]:
            marks = ", ".join([self.placeholder] * len(names))
            cursor.executemany(
                f"INSERT INTO {table} ({', '.join(map(self._name, names))}) VALUES ({marks})",
                [tuple(row[name] for name in names) for row in added],
            )

    def _same_key(self, load: Load) -> str:
        return " AND ".join(f"{self._name(name)} = {self.placeholder}" for name in load.key)

    def _name(self, name: str) -> str:
        """A name as it stands in a statement with parameters."""
        return self.quote(name).replace("%", "%%") if self.placeholder == "%s" else self.quote(name)

    def _qualified(self, table: str) -> str:
        return ".".join(map(self.quote, table.split(".")))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
