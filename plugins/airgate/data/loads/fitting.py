"""Which columns of a load go into the table, and how; the table is made, or widened, for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from airgate.data.dialects.dialect import Dialect, qualified, quoted
from airgate.data.dialects.names import folded
from airgate.data.loads.load import Load, LoadRefused

log = logging.getLogger(__name__)

NULL = "NULL"
"""Expression of a column that comes without a value."""


def fit_columns(dialect: Dialect, load: Load, coming: Mapping[str, str | None]) -> dict[str, str]:
    """Make room for the columns; gives those to write -> expression over the staging table, which is named ``s``.

    A column without a single value has no type: one that the table has is written as null, another is left out until
    it comes with values.

    Args:
        dialect: Of the warehouse, in a transaction.
        load: The load.
        coming: Columns of the data -> type; None for a column without a value.

    Raises:
        LoadRefused: The table has no such column and must not get it, or its type does not hold what comes.
    """
    there = dialect.columns(load.table)
    if not there:
        _make(dialect, load, coming)
        there = dialect.columns(load.table)
        if not there:
            raise LoadRefused(f"{load.table}: a table needs a column that holds a value, and there is none")
    names = {folded(name, ignores_case=dialect.ignores_case): name for name in there}
    columns = {}
    for name, kind in coming.items():
        known = names.get(folded(name, ignores_case=dialect.ignores_case))
        if known is None:
            if kind is not None and _added(dialect, load, name, kind):
                columns[name] = dialect.converted(f"s.{quoted(name)}", kind, kind)
        elif kind is None:
            columns[known] = NULL
        elif dialect.holds(there[known], kind):
            columns[known] = dialect.converted(f"s.{quoted(name)}", there[known], kind)
        else:
            raise LoadRefused(
                f"{load.table}: the column {name} is {there[known]} in the table and {kind} in the data, which would "
                "be rounded or fail; cast it before the load, or alter the table"
            )
    if not columns:
        raise LoadRefused(f"{load.table}: the table has none of the columns {', '.join(coming)}")
    return columns


def _make(dialect: Dialect, load: Load, coming: Mapping[str, str | None]) -> None:
    columns = [f"{quoted(name)} {kind}" for name, kind in coming.items() if kind]
    if load.mode == "merge" and dialect.makes_keys:
        columns.append(f"PRIMARY KEY ({', '.join(map(quoted, load.key))})")
    if columns:
        dialect.query(f"CREATE TABLE {qualified(load.table)} ({', '.join(columns)})")


def _added(dialect: Dialect, load: Load, name: str, kind: str) -> bool:
    if name in load.key and load.mode == "merge":
        raise LoadRefused(f"{load.table}: the table has no column {name}, which is in the key, so no row can be found")
    if load.new_columns == "fail":
        raise LoadRefused(
            f"{load.table}: the table has no column {name} ({kind}); add it, leave it out of the data, or say "
            'new_columns="add" or "ignore"'
        )
    if load.new_columns == "ignore":
        log.warning("%s has no column %s %s: its values are left out", load.table, name, kind)
        return False
    log.warning("%s gets the new column %s %s", load.table, name, kind)
    dialect.query(f"ALTER TABLE {qualified(load.table)} ADD COLUMN {quoted(name)} {kind}")
    return True
