"""What a load into a warehouse table is, what it gives, and why it may be refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, get_args

import pyarrow as pa

LEDGER = "airgate_loads"
"""Table in the warehouse that remembers which loads are in: load id, table, mode, counts, cursor and time."""

Mode = Literal["append", "merge", "replace"]
"""``append`` adds the rows. ``merge`` replaces the rows whose key is there and adds the others. ``replace`` makes the
rows the table's whole content; the table itself, with its constraints and grants, stays."""

NewColumns = Literal["add", "ignore", "fail"]
"""What becomes of a column that the table does not have: it is added, left out with a warning, or refused."""


class Onlooker(Protocol):
    """Is told how a load gets on; ``airgate.data.pace_line.PaceLine`` is one."""

    def begin(self, phase: str) -> None:
        """All rows go through a phase of that name now."""
        ...

    def add(self, records: int, /, *, refused: int = 0) -> None:
        """So many more rows are through it, and so many more are refused."""
        ...


class _Nobody:
    def begin(self, phase: str) -> None:
        pass

    def add(self, records: int, /, *, refused: int = 0) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Load:
    """Rows that are to go into a table.

    Raises:
        ValueError: When a field is out of its range, or a merge has no key.
    """

    table: str
    """Name, optionally ``schema.name``."""
    key: tuple[str, ...]
    """Columns that identify a row: never null, no two rows with the same values. Empty for none, but for a merge."""
    load_id: str
    """The same for every repetition of the same load: a load that is in already is a no-op."""
    mode: Mode = "merge"
    new_columns: NewColumns = "add"
    max_dead_letters: int = 0
    """Rows that may be left out because the table refuses them; with one more nothing is loaded."""
    max_dead_letter_share: float = 0.0
    """The same as a share of the rows, 0 to 1; the larger of the two holds."""
    cursor: str | None = None
    """Where the read that brought the rows stands, as any text; it is committed with them."""
    onlooker: Onlooker = field(default=_Nobody(), compare=False, repr=False)
    """Whoever looks on; that makes no difference to the load."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        if self.new_columns not in get_args(NewColumns):
            raise ValueError(f"new_columns must be one of {', '.join(get_args(NewColumns))}, not {self.new_columns!r}")
        if self.mode == "merge" and not self.key:
            raise ValueError(f"a merge into {self.table} needs the key columns that identify a row")
        if len(set(self.key)) < len(self.key):
            raise ValueError(f"key names a column twice: {', '.join(self.key)}")
        if not self.table or not all(self.table.split(".")):
            raise ValueError(f"table must be 'name' or 'schema.name', not {self.table!r}")
        if self.max_dead_letters < 0:
            raise ValueError(f"max_dead_letters must be 0 or more, not {self.max_dead_letters}")
        if not 0 <= self.max_dead_letter_share <= 1:
            raise ValueError(f"max_dead_letter_share must be 0 to 1, not {self.max_dead_letter_share}")

    def tolerated(self, rows: int) -> int:
        """How many of that many rows may be dead-lettered."""
        return max(self.max_dead_letters, int(rows * self.max_dead_letter_share))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did."""

    table: str
    load_id: str
    rows: int
    """Rows that were offered; ``inserted + updated + dead_lettered``."""
    inserted: int
    updated: int
    repeated: bool = False
    """Whether the load was in already, so that nothing was done now; the counts are those of the first time."""
    dead_lettered: int = 0
    """Rows that the table refused; they are in ``<table>_dead_letters``."""
    mode: str = "merge"

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return asdict(self)


class LoadRefused(ValueError):
    """The rows cannot go into the table as they are; nothing was changed."""


class Warehouse(Protocol):
    """An open connection to a warehouse."""

    def load(self, load: Load, rows: pa.Table | Iterable[pa.Table]) -> LoadResult:
        """Put the rows into the table and enter the load, in one transaction.

        Args:
            load: What is to be done.
            rows: A table, or tables of one schema, which are taken one at a time; at least one, be it empty.

        Raises:
            LoadRefused: When a key column is missing or null, two rows share a key, a type does not fit, or the table
                refuses more rows than the load tolerates.
            TimeoutError: When another load of the table does not come to an end.
        """
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows; parameters are marked as the database marks them."""
        ...

    def cursor(self, table: str) -> str | None:
        """The cursor that the last load into the table committed; None when no load brought one."""
        ...
