"""Rows that need no look before they go in: straight into the table, a part at a time, in the load's transaction.

A part that the table refuses is staged by itself, so that its good rows can be told from the bad ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from airgate.data.dialects.dialect import Dialect
from airgate.data.dialects.names import folded
from airgate.data.loads.fitting import NULL
from airgate.data.loads.load import Load
from airgate.data.loads.moving import Move, move_rows
from airgate.data.loads.refused_rows import RefusedRows

_SAVEPOINT = "airgate_part"
_ROWS_AT_ONCE = 100_000
_BYTES_AT_ONCE = 32 * 1024 * 1024


def may_go_straight(dialect: Dialect, load: Load, types: Mapping[str, str | None]) -> bool:
    """Whether a load compares nothing and converts nothing.

    Args:
        dialect: Of the warehouse.
        load: The load.
        types: Columns of the data -> type; None for a column without a value.
    """
    if load.key or load.mode == "merge" or not dialect.goes_straight(load.table):
        return False
    if not any(types.values()):
        return False  # without a column, a table does not tell how many rows it has
    there = {_folded(dialect, name): kind for name, kind in dialect.columns(load.table).items()}
    return all(
        there.get(_folded(dialect, name), kind) == kind and dialect.converted(name, kind, kind) == name
        for name, kind in types.items()
        if kind is not None
    )


def append_parts(
    dialect: Dialect,
    load: Load,
    columns: Mapping[str, str],
    tables: Iterator[pa.Table],
    refused: RefusedRows,
    stage: Callable[[pa.Table, int], None],
    staging: str,
) -> tuple[int, int]:
    """Put the tables into the load's table.

    Args:
        dialect: Of the warehouse, in the load's transaction.
        load: The load.
        columns: Those to write -> expression over the staging table, as a part that is staged needs it.
        tables: The rows.
        refused: Takes the rows that the table refuses.
        stage: Stages a table, given the place of its first row.
        staging: Name of the staging table.

    Returns:
        Rows that came, and those of them that went in.
    """
    count = inserted = 0
    for table in gathered(tables):
        rows = _written(dialect, columns, table)
        if _appended(dialect, load, rows):
            inserted += rows.num_rows
        else:
            stage(table, count)
            move = Move(dialect, replace(load, mode="append"), staging, columns)
            inserted += move_rows(move, count + table.num_rows, refused, first=count).inserted
        count += table.num_rows
    return count, inserted


def gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: each one that is appended costs a dozen questions to the server beside its rows.

    A table that is larger by itself than 100,000 rows or 32 MiB stays as it is, and so does one of another schema.
    """
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        rows, size = rows + table.num_rows, size + table.nbytes
        if waiting and (rows > _ROWS_AT_ONCE or size > _BYTES_AT_ONCE or table.schema != waiting[0].schema):
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], table.num_rows, table.nbytes
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def _written(dialect: Dialect, columns: Mapping[str, str], table: pa.Table) -> pa.Table:
    """The columns that are written, by the names that they have in the table; nothing is copied."""
    known = {_folded(dialect, name): name for name in columns}
    names = [name for name in table.column_names if _folded(dialect, name) in known]
    written = [known[_folded(dialect, name)] for name in names]
    rows = table.select(names)
    if written != names:
        rows = rows.rename_columns(written)
    for name, value in columns.items():
        if value == NULL:  # left out, it would get the column's default
            rows = rows.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return rows


def _folded(dialect: Dialect, name: str) -> str:
    return folded(name, ignores_case=dialect.ignores_case)


def _appended(dialect: Dialect, load: Load, rows: pa.Table) -> bool:
    """Put rows in; False, and nothing changed, when one of them is refused."""
    if not dialect.savepoints:
        dialect.append(load.table, rows)
        return True
    dialect.query(f"SAVEPOINT {_SAVEPOINT}")
    try:
        dialect.append(load.table, rows)
    except Exception as error:
        if dialect.refusal(error) is None:
            raise
        dialect.query(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        appended = False
    else:
        appended = True
    dialect.query(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    return appended
