"""Rows that a table refuses: counted against what is tolerated, and kept in ``<table>_dead_letters``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from airgate.data.loads.ledger import Sql
from airgate.data.loads.load import Load, LoadRefused

_SHOWN = 200
"""Characters of values that an error shows."""


class RefusedRows:
    """Those of one load.

    Args:
        sql: Of the warehouse, in the load's transaction.
        load: The load.
        table: Name of the dead-letter table as SQL takes it.
        record: Gives the row at a place of the load.
        rows: How many the load has; None while that is not known, when only the end can tell a share.
        types: Gives the columns of the table -> their types.
    """

    def __init__(
        self,
        sql: Sql,
        load: Load,
        table: str,
        record: Callable[[int], Mapping[str, Any]],
        rows: int | None,
        types: Callable[[], Mapping[str, str]],
    ) -> None:
        self._sql, self._load, self._table, self._record = sql, load, table, record
        self._rows, self._types = rows, types
        self._first: tuple[int, str] | None = None
        self.places: set[int] = set()

    def add(self, place: int, reason: str) -> None:
        """Take a row out of the load and write its dead letter.

        Raises:
            LoadRefused: It is one more than tolerated.
        """
        if place in self.places:
            return
        self.places.add(place)
        self._load.onlooker.add(0, refused=1)
        record = self._record(place)
        self._first = self._first or (place, f"{reason}{blame(reason, record, self._types())}")
        if self._rows is not None or not self._load.max_dead_letter_share:
            self.check(self._rows or 0)
        self._write(reason, record)

    def check(self, rows: int) -> None:
        """Compare the rows so far with what is tolerated.

        Args:
            rows: Of the load.

        Raises:
            LoadRefused: They are more.
        """
        tolerated = self._load.tolerated(rows)
        if self._first and len(self.places) > tolerated:
            place, reason = self._first
            raise LoadRefused(
                f"{self._load.table}: the rows do not fit the table: {reason}, row {place} of the load; "
                f"{tolerated} such rows are tolerated (max_dead_letters, max_dead_letter_share). Nothing was loaded: "
                "mend the data or the table, or tolerate more"
            )

    def _write(self, reason: str, record: Mapping[str, Any]) -> None:
        sql = self._sql
        if not sql.columns(f"{self._load.table}_dead_letters"):
            sql.query(
                f"CREATE TABLE {self._table} (load_id VARCHAR(64) NOT NULL, reason TEXT NOT NULL, "
                f"record TEXT NOT NULL, dead_at {sql.moment} NOT NULL)"
            )
        marks = ", ".join(sql.mark(number) for number in (1, 2, 3))
        sql.query(
            f"INSERT INTO {self._table} (load_id, reason, record, dead_at) VALUES ({marks}, {sql.now})",
            [self._load.load_id, reason, msgspec.json.encode(record, enc_hook=str).decode()],
        )


def blame(reason: str, record: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """The values to blame, to be written behind a reason.

    They are those of the columns that it names; when it names none, of those whose types it names, as in "integer out
    of range"; when it names neither, all.
    """
    named = [name for name in record if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reason)]
    typed = [name for name in record if (of := types.get(name, "").partition("(")[0]) and of in reason]
    text = ", ".join(f"{name} is {record[name]!r}" for name in named or typed or record)
    return f" ({text if len(text) <= _SHOWN else text[:_SHOWN] + '…'})"
