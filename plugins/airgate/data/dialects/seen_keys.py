"""The keys of a load so far, for a database that cannot be asked to compare staged rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from airgate.data.loads.load import Load, LoadRefused


class SeenKeys:
    """Kept on disk: they may be more than memory holds.

    Args:
        load: The load.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._seen = sqlite3.connect("", isolation_level=None)  # a temporary file that SQLite removes
        self._seen.execute("CREATE TABLE seen (value TEXT PRIMARY KEY) WITHOUT ROWID")
        self._seen.execute("BEGIN")

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take the keys of some rows in.

        Raises:
            LoadRefused: One of them is null, or was there before.
        """
        if not (key := self._load.key):
            return
        for row in rows:
            values = {name: row[name] for name in key}
            if nulls := [name for name, value in values.items() if value is None]:
                raise LoadRefused(
                    f"{self._load.table}: the key column {', '.join(nulls)} holds nulls; drop or mend those rows first"
                )
            text = msgspec.json.encode(values, enc_hook=str).decode()
            if not self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", [text]).rowcount:
                raise LoadRefused(
                    f"{self._load.table}: keys stand for more than one row, such as {values}; add the column that "
                    "tells them apart to the key, or drop the duplicates first"
                )

    def close(self) -> None:
        """Remove them."""
        self._seen.close()
