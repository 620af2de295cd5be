"""The rows of a load on their way: what they are, the temporary table they wait in, and what is checked there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from airgate.data.dialects.dialect import ROW, Dialect, quoted
from airgate.data.dialects.names import same_twice, spelled
from airgate.data.loads.load import Load, LoadRefused

STAGING = "airgate_staging"


@dataclass(frozen=True, slots=True)
class Coming:
    """Tables of one schema, of which only the typed columns are staged or written."""

    tables: Iterator[pa.Table]
    types: dict[str, str | None]
    """Column -> type; None for a column that holds nothing but nulls and so has none."""

    @property
    def typed(self) -> dict[str, str]:
        """The columns that have a type."""
        return {name: kind for name, kind in self.types.items() if kind is not None}

    @staticmethod
    def of(dialect: Dialect, load: Load, tables: Iterator[pa.Table]) -> Coming:
        """Look at the first table.

        Raises:
            LoadRefused: A key column is missing or has no type, or a name or type cannot be a column's.
        """
        first = next(tables)
        names = first.schema.names
        if missing := [name for name in load.key if name not in names]:
            raise LoadRefused(
                f"{load.table}: the key column {', '.join(missing)} is not among the columns {', '.join(names)}"
            )
        typed = [field.name for field in first.schema if not pa.types.is_null(field.type)]
        if untyped := [name for name in load.key if name not in typed]:
            raise LoadRefused(f"{load.table}: the key column {', '.join(untyped)} has no type, as it holds no value")
        if twice := same_twice(names, ignores_case=dialect.ignores_case):
            raise LoadRefused(
                f"{load.table}: two columns of the data, {' and '.join(twice)}, have names that are one in the database"
            )
        if same_twice([*names, ROW], ignores_case=dialect.ignores_case):
            raise LoadRefused(f"{load.table}: the column name {ROW} is taken by the load itself; rename the column")
        types = dialect.types(pa.schema([first.schema.field(name) for name in typed]))
        return Coming(
            (spelled(table, names, typed, ignores_case=dialect.ignores_case) for table in chain([first], tables)),
            {name: types.get(name) for name in names},
        )


def stage(dialect: Dialect, load: Load, coming: Coming) -> int:
    """Fill the staging table; gives how many rows it has.

    Raises:
        LoadRefused: A key column holds nulls, or a value cannot be staged.
    """
    count = 0

    def placed() -> Iterator[pa.Table]:
        nonlocal count
        for table in coming.tables:
            for name in load.key:
                if nulls := table.column(name).null_count:
                    raise LoadRefused(
                        f"{load.table}: the key column {name} holds nulls, {nulls} of them in rows {count} to "
                        f"{count + table.num_rows - 1}; drop or mend those rows first"
                    )
            yield with_places(table, count)
            count += table.num_rows

    dialect.stage(STAGING, coming.typed, placed(), load.key)
    return count


def with_places(table: pa.Table, first: int) -> pa.Table:
    """The table with the place of each row in the load."""
    return table.append_column(ROW, pa.array(np.arange(first, first + table.num_rows, dtype=np.int64)))


def record(dialect: Dialect, coming: Coming, place: int) -> dict[str, Any]:
    """A staged row; a column that never holds a value is not staged."""
    names = list(coming.typed)
    if not names:
        return {}
    [values] = dialect.query(f"SELECT {', '.join(map(quoted, names))} FROM {STAGING} WHERE {ROW} = {place}")
    return dict(zip(names, values, strict=True))


def check_keys_differ(dialect: Dialect, load: Load) -> None:
    """Refuse two staged rows with one key: which of them should win is not for a loader to guess.

    Raises:
        LoadRefused: Naming one of them.
    """
    if not load.key:
        return
    key = ", ".join(map(quoted, load.key))
    again = f"SELECT {key}, count(*) AS times FROM {STAGING} GROUP BY {key} HAVING count(*) > 1"
    [(twice,)] = dialect.query(f"SELECT count(*) FROM ({again}) AS again")
    if twice:
        *values, times = dialect.query(f"{again} ORDER BY {key} LIMIT 1")[0]
        raise LoadRefused(
            f"{load.table}: {twice} keys stand for more than one row, such as "
            f"{dict(zip(load.key, values, strict=True))} for {times}; add the column that tells them apart to the "
            "key, or drop the duplicates first"
        )
