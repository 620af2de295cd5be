"""The warehouse's own record of the loads that are in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from airgate.data.loads.load import LEDGER, Load, LoadResult

_ADDED = {
    "load_mode": "VARCHAR(7)",
    "dead_lettered": "BIGINT",
    "read_cursor": "VARCHAR(4000)",
    "load_number": "BIGINT",
}
"""Columns that a ledger made by an earlier release lacks."""

_LATEST_FIRST = "ORDER BY COALESCE(load_number, 0) DESC, loaded_at DESC"


class Sql(Protocol):
    """What the ledger asks of a dialect; ``airgate.data.dialects.dialect.Dialect`` says what each means."""

    @property
    def now(self) -> str:
        """Expression: this moment."""
        ...

    @property
    def moment(self) -> str:
        """Type of a column that holds a moment."""
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        ...

    def mark(self, number: int) -> str:
        """How the parameter of that number, from 1, is marked."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at the end, and rolls back after an error."""
        ...

    def lock(self, table: str, *, whole: bool) -> None:
        """Wait for other loads of the table."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table -> their types."""
        ...


@dataclass(frozen=True, slots=True)
class Ledger:
    """The table ``airgate_loads``."""

    sql: Sql

    def make(self) -> None:
        """Make the table, or complete it, in a transaction of its own."""
        if self._complete():
            return
        with self.sql.transaction():
            self.sql.lock(LEDGER, whole=False)
            there = self.sql.columns(LEDGER)
            if not there:
                added = ", ".join(f"{name} {kind}" for name, kind in _ADDED.items())
                self.sql.query(
                    f"CREATE TABLE {LEDGER} (load_id VARCHAR(64) PRIMARY KEY, table_name VARCHAR(255) NOT NULL, "
                    f"inserted BIGINT NOT NULL, updated BIGINT NOT NULL, loaded_at {self.sql.moment} NOT NULL, {added})"
                )
            for name, kind in _ADDED.items():
                if there and name not in there:
                    self.sql.query(f"ALTER TABLE {LEDGER} ADD COLUMN {name} {kind}")

    def _complete(self) -> bool:
        return self.sql.columns(LEDGER).keys() >= _ADDED.keys()

    def find(self, load: Load) -> LoadResult | None:
        """What the load did when it was done; None if it was not."""
        found = self.sql.query(
            f"SELECT inserted, updated, dead_lettered, load_mode FROM {LEDGER} WHERE load_id = {self.sql.mark(1)}",
            [load.load_id],
        )
        if not found:
            return None
        inserted, updated, dead, mode = found[0]
        rows = inserted + updated + (dead or 0)
        return LoadResult(load.table, load.load_id, rows, inserted, updated, True, dead or 0, mode or "merge")

    def enter(self, load: Load, result: LoadResult) -> None:
        """Enter what the load did, in the transaction that did it and that holds the table's lock."""
        # Loads follow one another faster than some databases' clocks go, and some tell when a transaction began.
        counted = f"SELECT COALESCE(MAX(load_number), 0) + 1 FROM {LEDGER} WHERE table_name = {self.sql.mark(1)}"
        [(number,)] = self.sql.query(counted, [load.table])
        names = ["load_id", "table_name", "load_mode", "load_number", "inserted", "updated", "dead_lettered"]
        values = [load.load_id, load.table, load.mode, number, result.inserted, result.updated, result.dead_lettered]
        if load.cursor is not None:
            names.append("read_cursor")
            values.append(load.cursor)
        marks = ", ".join(self.sql.mark(number + 1) for number in range(len(values)))
        self.sql.query(f"INSERT INTO {LEDGER} ({', '.join(names)}, loaded_at) VALUES ({marks}, {self.sql.now})", values)

    def cursor(self, table: str) -> str | None:
        """The cursor of the last load into the table that had one."""
        if not self._complete():
            return None
        of_table = f"FROM {LEDGER} WHERE table_name = {self.sql.mark(1)} AND read_cursor IS NOT NULL"
        found = self.sql.query(f"SELECT read_cursor {of_table} {_LATEST_FIRST}", [table])
        return str(found[0][0]) if found else None
