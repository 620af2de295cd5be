"""What a load into a warehouse table is; one dialect a file carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

LEDGER = "airgate_loads"
"""Table in the warehouse that remembers which loads are in: load id, table, counts and time."""


@dataclass(frozen=True, slots=True)
class Load:
    """Rows to be merged into a table: a row whose key is there already replaces that row, others are added."""

    table: str
    """Name, optionally ``schema.name``."""
    key: tuple[str, ...]
    """Columns that identify a row."""
    load_id: str
    """The same for every repetition of the same load: a load that is in already is a no-op."""

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError(f"a merge into {self.table} needs the key columns that identify a row")
        if not self.table or not all(self.table.split(".")):
            raise ValueError(f"table must be 'name' or 'schema.name', not {self.table!r}")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did."""

    table: str
    load_id: str
    rows: int
    """Rows that were offered; ``inserted + updated``."""
    inserted: int
    updated: int
    repeated: bool = False
    """Whether the load was in already, so that nothing was done now; the counts are those of the first time."""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return asdict(self)


class LoadRefused(ValueError):
    """The rows cannot go into the table as they are; nothing was changed."""


class Warehouse(Protocol):
    """An open connection to a warehouse."""

    def load(self, load: Load, rows: pa.Table) -> LoadResult:
        """Merge the rows and enter the load id, in one transaction; the table is made when missing.

        Raises:
            LoadRefused: When a key column is missing or null, two rows share a key, or a type does not fit the table.
        """
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        ...


def check_rows(load: Load, rows: pa.Table) -> None:
    """Refuse rows that no dialect could merge.

    Raises:
        LoadRefused: Naming the columns and the cure.
    """
    if missing := [name for name in load.key if name not in rows.schema.names]:
        raise LoadRefused(
            f"{load.table}: the key column {', '.join(missing)} is not among the columns {', '.join(rows.schema.names)}"
        )
    if untyped := [name for name in load.key if pa.types.is_null(rows.schema.field(name).type)]:
        raise LoadRefused(f"{load.table}: the key column {', '.join(untyped)} has no type, as it holds no value")
    if nulls := [name for name in load.key if rows.column(name).null_count]:
        raise LoadRefused(f"{load.table}: the key column {', '.join(nulls)} holds nulls; drop or mend those rows first")
    keys = rows.select(list(load.key)).group_by(list(load.key)).aggregate([([], "count_all")])
    twice = keys.filter(pc.field("count_all") > 1)
    if twice.num_rows:
        example = twice.slice(0, 1).to_pylist()[0]
        count = example.pop("count_all")
        raise LoadRefused(
            f"{load.table}: {twice.num_rows} keys stand for more than one row, such as {example} for {count}; "
            f"add the column that tells them apart to the key, or drop the duplicates first"
        )
