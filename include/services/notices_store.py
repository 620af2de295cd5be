"""Where the notices service keeps what it tells: an SQLite file, with one number a notice that never comes again."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from include.services.parameters import Refused
from include.services.work_orders import digest

SOURCE: Final = "/notices"
TYPE: Final = "com.example.airport.notice"
END: Final = "end"
"""The cursor of whoever wants only what is still to come."""

_TABLES: Final = """
create table if not exists notices (
    number integer primary key autoincrement,
    at real not null,
    key text unique,
    fingerprint text not null,
    body blob not null
);
create table if not exists settings (name text primary key, value text not null);
create table if not exists replays (at real not null, number integer not null);
"""


class Notice(Struct, kw_only=True, forbid_unknown_fields=True):
    """What an airport tells."""

    airport: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    severity: Literal["info", "warning", "critical"] = "info"
    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    garbled: bool = False
    """Told as something that is no event, as a careless service would: without its id."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that was published."""

    number: int
    at: float
    """Unix time."""
    notice: Notice


class Store:
    """The notices, oldest first.

    Args:
        path: The file; ``:memory:`` for none.
    """

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_TABLES)
        # A new file begins with number 1 again; the name of the log keeps its notices and cursors apart from others'.
        self._db.execute("insert or ignore into settings values ('log', ?)", (secrets.token_hex(4),))
        [(self.log,)] = self._db.execute("select value from settings where name = 'log'")

    def publish(self, notice: Notice, key: str | None) -> tuple[Told, bool]:
        """Take a notice up, once for each key; gives it, and whether an earlier request had published it.

        Raises:
            Refused: 422, the key has gone with another notice.
        """
        body = msgspec.json.encode(notice)
        print_ = digest("notice", body.decode())
        with self._transaction():
            known = self._rows("key = ?", (key,)) if key is not None else []
            if known:
                if known[0]["fingerprint"] != print_:
                    raise Refused(422, "this key has gone with another notice", "Idempotency-Key")
                self._db.execute("insert into replays values (?, ?)", (time.time(), known[0]["number"]))
                return _told(known[0]), True
            statement = "insert into notices (at, key, fingerprint, body) values (?, ?, ?, ?)"
            number = self._db.execute(statement, (time.time(), key, print_, body)).lastrowid
            [row] = self._rows("number = ?", (number,))
        return _told(row), False

    def after(self, number: int, limit: int) -> list[Told]:
        """Up to ``limit`` notices that follow a number."""
        return [_told(row) for row in self._rows("number > ?", (number, limit), "order by number limit ?")]

    def before(self, number: int, limit: int) -> list[Told]:
        """The last ``limit`` notices up to a number, itself included, oldest first."""
        rows = self._rows("number <= ?", (number, limit), "order by number desc limit ?")
        return [_told(row) for row in reversed(rows)]

    def last(self) -> int:
        """The newest number; 0 as long as there is none."""
        [(number,)] = self._db.execute("select coalesce(max(number), 0) from notices")
        return int(number)

    def cursor(self, number: int) -> str:
        """What continues behind a number."""
        return f"{self.log}-{number}"

    def number(self, cursor: str | None, parameter: str) -> int:
        """Behind which number a cursor continues; without one, before the first.

        Raises:
            Refused: 400, it is no cursor; 410, it is of a log that is gone.
        """
        if cursor is None:
            return 0
        if cursor == END:
            return self.last()
        log, _, number = cursor.rpartition("-")
        if not (log.isascii() and log.isalnum() and number.isascii() and number.isdigit() and len(number) <= 18):
            raise Refused(400, f"{parameter} must be a cursor of this feed, or {END!r}, not {cursor!r:.80}", parameter)
        if log != self.log:
            raise Refused(410, f"{parameter} is a cursor of notices that are gone: begin anew", parameter)
        return int(number)

    def event(self, told: Told) -> dict[str, Any]:
        """A notice as CloudEvents 1.0 in JSON; one that is garbled lacks its id."""
        notice, when = told.notice, datetime.fromtimestamp(told.at, UTC)
        event = {
            "specversion": "1.0",
            "id": self.cursor(told.number),
            "source": SOURCE,
            "type": TYPE,
            "subject": notice.airport,
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"airport": notice.airport, "severity": notice.severity, "text": notice.text},
        }
        if notice.garbled:
            del event["id"]
        return event

    def truth(self) -> dict[str, Any]:
        """How many there are, how many of them are garbled, and how often one was published again under its key."""
        every = [_told(row).notice for row in self._rows("1", ())]
        [(replays,)] = self._db.execute("select count(*) from replays")
        return {"notices": len(every), "garbled": sum(notice.garbled for notice in every), "replays": replays}

    def reset(self) -> None:
        """Forget all of them; numbers go on, so that an old cursor stays good and an id never means another notice."""
        with self._transaction():
            self._db.execute("delete from notices")
            self._db.execute("delete from replays")

    def _rows(self, condition: str, values: tuple[Any, ...], rest: str = "order by number") -> list[sqlite3.Row]:
        return list(self._db.execute(f"select * from notices where {condition} {rest}", values))  # noqa: S608 - our own

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        finally:
            if self._db.in_transaction:
                self._db.execute("rollback")


def _told(row: sqlite3.Row) -> Told:
    return Told(row["number"], row["at"], msgspec.json.decode(row["body"], type=Notice))
