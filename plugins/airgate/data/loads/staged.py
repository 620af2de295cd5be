"""The course of a load through a staging table: the same for every dialect that has one.

The rows go into a temporary table first, a part at a time, with no lock held. Then one transaction checks them by SQL,
moves them into the table and enters the load; it is all that a reader, or a process that dies, can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airgate.data.dialects.dialect import ROW, Dialect, qualified
from airgate.data.loads.fitting import fit_columns
from airgate.data.loads.ledger import Ledger
from airgate.data.loads.load import Load, LoadResult
from airgate.data.loads.moving import Move, move_rows
from airgate.data.loads.refused_rows import RefusedRows
from airgate.data.loads.staging import STAGING, Coming, check_keys_differ, record, stage, with_places
from airgate.data.loads.straight import append_parts, may_go_straight


@dataclass(frozen=True, slots=True)
class StagedWarehouse:
    """A warehouse whose loads go through a staging table."""

    dialect: Dialect

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        return self.dialect.query(sql, parameters)

    def cursor(self, table: str) -> str | None:
        """The cursor that the last load into the table committed; None when no load brought one."""
        return Ledger(self.dialect).cursor(table)

    def load(self, load: Load, rows: pa.Table | Iterable[pa.Table]) -> LoadResult:
        """Put the rows into the table and enter the load, in one transaction; see ``Warehouse``."""
        dialect, ledger = self.dialect, Ledger(self.dialect)
        ledger.make()
        if earlier := ledger.find(load):
            return earlier
        coming = Coming.of(dialect, load, iter([rows] if isinstance(rows, pa.Table) else rows))
        dialect.query(f"DROP TABLE IF EXISTS {STAGING}")
        straight = may_go_straight(dialect, load, coming.types)
        load.onlooker.begin("appending" if straight else "staging")
        staged = 0 if straight else stage(dialect, load, coming)
        try:
            with dialect.transaction():
                load.onlooker.begin("waiting for other loads")
                dialect.lock(load.table, whole=load.mode != "append")
                load.onlooker.begin("appending" if straight else "moving into the table")
                if earlier := ledger.find(load):
                    return earlier
                columns = fit_columns(dialect, load, coming.types)
                if load.mode == "replace":
                    dialect.query(f"DELETE FROM {qualified(load.table)}")
                result = (
                    _append(dialect, load, columns, coming)
                    if straight
                    else _land(dialect, load, columns, coming, staged)
                )
                ledger.enter(load, result)
            return result
        finally:
            dialect.query(f"DROP TABLE IF EXISTS {STAGING}")


def _land(dialect: Dialect, load: Load, columns: Mapping[str, str], coming: Coming, rows: int) -> LoadResult:
    """Move what is staged."""
    check_keys_differ(dialect, load)
    refused = _refused(dialect, load, coming, rows)
    if not dialect.savepoints:
        for place, reason in dialect.unfit(load, STAGING, columns):
            refused.add(place, reason)
        if refused.places:
            dialect.query(f"DELETE FROM {STAGING} WHERE {ROW} IN ({', '.join(map(str, refused.places))})")
    counts = move_rows(Move(dialect, load, STAGING, columns, load.onlooker.add), rows, refused)
    return _result(load, rows, counts.inserted, counts.updated, refused)


def _append(dialect: Dialect, load: Load, columns: Mapping[str, str], coming: Coming) -> LoadResult:
    """Append what has not been read yet."""
    refused = _refused(dialect, load, coming, None)

    def stage_part(table: pa.Table, place: int) -> None:
        dialect.query(f"DROP TABLE IF EXISTS {STAGING}")
        dialect.stage(STAGING, coming.typed, iter([with_places(table, place)]), ())

    rows, inserted = append_parts(dialect, load, columns, coming.tables, refused, stage_part, STAGING)
    refused.check(rows)
    return _result(load, rows, inserted, 0, refused)


def _refused(dialect: Dialect, load: Load, coming: Coming, rows: int | None) -> RefusedRows:
    dead_letters = qualified(f"{load.table}_dead_letters")
    return RefusedRows(
        *(dialect, load, dead_letters, lambda place: record(dialect, coming, place), rows),
        types=lambda: dialect.columns(load.table),
    )


def _result(load: Load, rows: int, inserted: int, updated: int, refused: RefusedRows) -> LoadResult:
    result = LoadResult(
        *(load.table, load.load_id, rows, inserted, updated), dead_lettered=len(refused.places), mode=load.mode
    )
    if rows != inserted + updated + result.dead_lettered:
        raise RuntimeError(f"{load.table}: {result} does not add up; nothing was loaded")
    return result
