"""Moves staged rows into the table; a row that the table refuses is found by halving and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airgate.data.dialects.dialect import ROW, Dialect, qualified, quoted
from airgate.data.dialects.names import folded
from airgate.data.loads.load import Load, LoadRefused
from airgate.data.loads.refused_rows import RefusedRows

_KNOWN = "airgate_known"
"""Temporary table: places of the staged rows whose key is in the table."""

_SAVEPOINT = "airgate_move"


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that went in."""

    inserted: int = 0
    updated: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.inserted + other.inserted, self.updated + other.updated)


@dataclass(frozen=True, slots=True)
class Move:
    """The statements that move rows."""

    dialect: Dialect
    load: Load
    staging: str
    columns: Mapping[str, str]
    """Columns to write -> expression over the staging table, named ``s``."""
    moved: Callable[[int], object] = lambda rows: None
    """Is told of rows that are in, or refused."""

    def prepare(self) -> None:
        """Note which rows are known; a merge needs it."""
        self._query(f"DROP TABLE IF EXISTS {_KNOWN}")
        if self.load.mode == "merge":
            columns = {self._folded(name): name for name in self.columns}
            key = [columns[self._folded(name)] for name in self.load.key]
            staged = ", ".join(self.columns[name] for name in key)
            there = ", ".join(f"t.{quoted(name)}" for name in key)
            self._query(
                f"CREATE TEMPORARY TABLE {_KNOWN} AS SELECT s.{ROW} AS {ROW} FROM {self.staging} AS s "
                f"WHERE ({staged}) IN (SELECT {there} FROM {qualified(self.load.table)} AS t)"
            )

    def __call__(self, first: int, behind: int) -> Counts:
        """Move the rows from place ``first`` to the one before ``behind``."""
        within = f"s.{ROW} >= {first} AND s.{ROW} < {behind}"
        # Only a dialect without savepoints takes rows out of the staging table.
        rows = behind - first if self.dialect.savepoints else self._count(self.staging, within)
        known = self._count(_KNOWN, within) if self.load.mode == "merge" else 0
        if known:
            self._update(within)
        if known < rows:
            names, values = ", ".join(map(quoted, self.columns)), ", ".join(self.columns.values())
            source = f"{self.staging} AS s"
            if known:
                source += f" LEFT JOIN {_KNOWN} AS k ON k.{ROW} = s.{ROW}"
                within += f" AND k.{ROW} IS NULL"
            self._query(
                f"INSERT INTO {qualified(self.load.table)} ({names}) SELECT {values} FROM {source} WHERE {within}"
            )
        return Counts(rows - known, known)

    def _update(self, within: str) -> None:
        key = {self._folded(name) for name in self.load.key}
        same = [f"t.{quoted(name)} = {value}" for name, value in self.columns.items() if self._folded(name) in key]
        sets = [f"{quoted(name)} = {value}" for name, value in self.columns.items() if self._folded(name) not in key]
        if sets:
            self._query(
                f"UPDATE {qualified(self.load.table)} AS t SET {', '.join(sets)} FROM {self.staging} AS s "
                f"WHERE {' AND '.join(same)} AND {within}"
            )

    def _folded(self, name: str) -> str:
        return folded(name, ignores_case=self.dialect.ignores_case)

    def _count(self, table: str, within: str) -> int:
        [(count,)] = self._query(f"SELECT count(*) FROM {table} AS s WHERE {within}")
        return int(count)

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.dialect.query(sql)


def move_rows(move: Move, behind: int, refused: RefusedRows, first: int = 0) -> Counts:
    """Move all rows but those that the table refuses.

    Args:
        move: How.
        behind: Place behind the last one of the staging table.
        refused: Takes the rows that the table refuses.
        first: Its first place.

    Raises:
        LoadRefused: More rows are refused than the load tolerates.
    """
    try:
        move.prepare()
        counts = _move(move, first, behind, refused) if move.dialect.savepoints else move(first, behind)
        move.dialect.query(f"DROP TABLE IF EXISTS {_KNOWN}")
    except LoadRefused:
        raise
    except Exception as error:
        # A rule that no single row breaks, or that a dialect without savepoints cannot tell beforehand.
        if reason := move.dialect.refusal(error):
            raise LoadRefused(f"{move.load.table}: the rows do not fit the table: {reason}") from error
        raise
    return counts


def _move(move: Move, first: int, behind: int, refused: RefusedRows) -> Counts:
    """What goes in stays in while the halves are tried, so that a row which clashes with an earlier one is found."""
    if first >= behind:
        return Counts()
    dialect = move.dialect
    dialect.query(f"SAVEPOINT {_SAVEPOINT}")
    try:
        counts = move(first, behind)
    except Exception as error:
        reason = dialect.refusal(error)
        if reason is None:
            raise
        dialect.query(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
    else:
        dialect.query(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        move.moved(behind - first)
        return counts
    dialect.query(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    if behind - first > 1:
        middle = (first + behind) // 2
        return _move(move, first, middle, refused) + _move(move, middle, behind, refused)
    refused.add(first, reason)
    move.moved(1)
    return Counts()
