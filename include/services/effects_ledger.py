"""The ledger of a service with effects: what was done, taken back, repeated, cancelled and refused, in order."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final, Literal

_TABLE: Final = """
create table if not exists ledger (
    at real not null,
    event text not null,
    collection text not null,
    id text,
    order_name text,
    key text,
    reason text
)
"""

Event = Literal["effect", "undo", "tombstone", "replay", "refusal"]
_TOTALS: Final = {"tombstone": "tombstones", "replay": "replays", "refusal": "refusals"}


class Ledger:
    """Lines in the database that has the effects, so that they are written with them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.execute(_TABLE)

    def note(
        self,
        event: Event,
        collection: str,
        *,
        order: str | None,
        key: str | None,
        id_: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Write a line."""
        line = (time.time(), event, collection, id_, order, key, reason)
        self._db.execute("insert into ledger values (?, ?, ?, ?, ?, ?, ?)", line)

    def events(self) -> list[dict[str, Any]]:
        """All of it, oldest first: ``{"at": Unix time, "event", "collection", "id", "order", "key", "reason"}``."""
        rows = self._db.execute(
            'select at, event, collection, id, order_name as "order", key, reason from ledger order by rowid'
        )
        return [dict(row) for row in rows]

    def orders(self) -> list[str]:
        """The orders that it names, each once, in the order of their first line."""
        rows = self._db.execute(
            "select order_name from ledger where order_name is not null group by order_name order by min(rowid)"
        )
        return [row["order_name"] for row in rows]

    def totals(self) -> dict[str, int]:
        """How many tombstones, replays and refusals there are."""
        found = dict(self._db.execute("select event, count(*) from ledger group by event"))
        return {total: found.get(event, 0) for event, total in _TOTALS.items()}

    def forget(self) -> None:
        """Have no lines."""
        self._db.execute("delete from ledger")
