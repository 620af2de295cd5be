"""What a dialect has to say to a load that goes through a staging table (``airgate.data.loads.staged``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa

from airgate.data.loads.load import Load

ROW = "airgate_row"
"""Column of the staging table: the row's place in the load, from 0."""


class Dialect(Protocol):
    """An open connection to a warehouse, and what is particular about its SQL."""

    @property
    def now(self) -> str:
        """Expression: this moment, which grows from load to load of a table."""
        ...

    @property
    def moment(self) -> str:
        """Type of a column that holds it."""
        ...

    @property
    def ignores_case(self) -> bool:
        """Whether ``id`` and ``ID`` are one column."""
        ...

    @property
    def makes_keys(self) -> bool:
        """Whether a table that a merge makes gets its key as primary key."""
        ...

    @property
    def savepoints(self) -> bool:
        """Whether a transaction goes on after a refused statement; else ``unfit`` has to find the rows beforehand."""
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""
        ...

    def mark(self, number: int) -> str:
        """How the parameter of that number, from 1, is marked."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at the end, and rolls back after an error. Whatever is read within is not older than ``lock``."""
        ...

    def lock(self, table: str, *, whole: bool) -> None:
        """Wait for other loads of the table, which then wait for the end of this transaction.

        Args:
            table: Its name.
            whole: Also keep writers that are no loads away.

        Raises:
            TimeoutError: They did not come to an end.
        """
        ...

    def columns(self, table: str) -> dict[str, str]:
        """Columns of the table that can be written -> their types as the database writes them; empty if there is none.

        Args:
            table: Its name as the user gives it.
        """
        ...

    def types(self, schema: pa.Schema) -> dict[str, str]:
        """The type of a table's column that holds each of these Arrow columns exactly.

        Raises:
            LoadRefused: There is none.
        """
        ...

    def holds(self, there: str, coming: str) -> bool:
        """Whether a column keeps values of another type as they are; those out of its range it must refuse."""
        ...

    def converted(self, expression: str, there: str, coming: str) -> str:
        """A staged value as the column takes it."""
        ...

    def stage(self, name: str, types: Mapping[str, str], tables: Iterator[pa.Table], key: Sequence[str]) -> None:
        """Fill a new temporary table, with ``ROW``, one Arrow table at a time; prepare it to be looked up by key.

        Raises:
            LoadRefused: A value cannot be staged.
        """
        ...

    def goes_straight(self, table: str) -> bool:
        """Whether ``append`` into the table, which may be still to be made, is fast, and refused cleanly if at all."""
        ...

    def append(self, table: str, rows: pa.Table) -> None:
        """Put rows into the table itself; its columns have their types, and those that are missing are null."""
        ...

    def unfit(self, load: Load, staging: str, columns: Mapping[str, str]) -> list[tuple[int, str]]:
        """Staged rows that the table would refuse -> why; asked of a dialect without savepoints only.

        Args:
            load: The load; its table is there.
            staging: The staging table.
            columns: Those that will be written -> expression over the staging table, named ``s``.
        """
        ...

    def refusal(self, error: Exception) -> str | None:
        """What the database says when an error means that it refuses rows; None for any other error."""
        ...


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str) -> str:
    """``schema.name`` as SQL takes it."""
    return ".".join(map(quoted, table.split(".")))
