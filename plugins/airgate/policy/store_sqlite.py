"""Limits and circuits shared by the processes of one machine, in a SQLite file.

Every question is one short transaction that takes the write lock at its start. The clock is the machine's wall clock,
read inside the transaction; when it is set back, the store's clock goes on from where it was. A process that is killed
leaves nothing half done, and its concurrency slots are free as soon as somebody asks for them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from airgate.policy.breaker import Circuit
from airgate.policy.breaker_shared import Change, SharedBreaker, read_circuit
from airgate.policy.limits import GRACE, Granted, Limit, Queued, Scope, longest_window, most_requests, opens_at
from airgate.policy.store import StoreUnavailable
from airgate.policy.store_file import prepare
from airgate.policy.store_owner import is_gone, owner

T = TypeVar("T")

BUSY = 5.0
"""Seconds to wait for other processes' transactions, which take well under a millisecond each."""
SWEEP = 60.0
"""Seconds between two sweeps of a process over rows that nobody needs any more."""
FORGET = 30_000_000
"""Microseconds after which a caller that did not come back is struck off the line."""

_VERSION = 1
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL,
    shift INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS grants (scope TEXT, n INTEGER, at INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (scope, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (scope TEXT, seq INTEGER, due INTEGER NOT NULL,
    PRIMARY KEY (scope, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting_seq ON waiting (seq);
CREATE TABLE IF NOT EXISTS held (scope TEXT, seq INTEGER, expires INTEGER NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (scope, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_seq ON held (seq);
CREATE TABLE IF NOT EXISTS latest (scope TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS circuits (name TEXT PRIMARY KEY, state BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""

_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()
_opening = threading.Lock()
_inherited: list[sqlite3.Connection | None] = []


class SqliteStore(SharedBreaker):
    """Limits and circuits in a file; threads share it, and it is safe to use after a fork.

    Args:
        path: The file. It is created with mode 0600, its folder with mode 0700, when they are first used.
        clock: Unix time in seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._path = Path(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = -1
        self._swept = time.monotonic()
        self._looked: dict[str, float] = {}
        _stores.add(self)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r})"

    def acquire(self, scopes: Sequence[Scope], *, lease: float, ticket: str | None = None) -> Granted | Queued:
        """Take one request of all scopes or a place in line; see ``Limiter``."""
        with self._transaction() as (connection, now):
            seq = int(ticket) if ticket and ticket.isdecimal() else now
            opens = {scope.key: self._opens_at(connection, scope, seq, now) for scope in scopes}
            latest = max(opens.values(), default=now)
            if latest > now:
                for scope in scopes:
                    if opens[scope.key] > now:
                        row = (scope.key, seq, opens[scope.key])
                        connection.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", row)
                    elif ticket:
                        connection.execute("DELETE FROM waiting WHERE scope = ? AND seq = ?", (scope.key, seq))
                return Queued(str(seq), (latest - now) / 1e6)
            if ticket:
                connection.execute("DELETE FROM waiting WHERE seq = ?", (seq,))
            holds = False
            for scope in scopes:
                self._note(connection, scope, now)
                if scope.limit.concurrency is not None:
                    holds = True
                    slot = (scope.key, seq, now + max(1, round(lease * 1e6)), owner())
                    connection.execute("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)", slot)
                    connection.execute("INSERT OR REPLACE INTO latest VALUES (?, ?)", (scope.key, now))
            self._sweep(connection, now)
            return Granted(str(seq) if holds else "", now / 1e6)

    def release(self, ticket: str) -> None:
        """Free the slots of a ticket or leave the line; see ``Limiter``."""
        if ticket.isdecimal():
            with self._transaction() as (connection, _):
                connection.execute("DELETE FROM held WHERE seq = ?", (int(ticket),))
                connection.execute("DELETE FROM waiting WHERE seq = ?", (int(ticket),))

    def exchange(self, key: str, change: Change[T], keep: float) -> T:
        """Change a circuit in one step; see ``SharedBreaker``."""
        with self._reading() as (connection, now):
            circuit = _circuit(connection, key)
            changed, result = change(circuit, now / 1e6)
        if changed is circuit:
            return result
        with self._transaction() as (connection, now):
            circuit, result = change(_circuit(connection, key), now / 1e6)
            row = (key, msgspec.json.encode(circuit), now + round(keep * 1e6))
            connection.execute("INSERT OR REPLACE INTO circuits VALUES (?, ?, ?)", row)
            return result

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _opens_at(self, connection: sqlite3.Connection, scope: Scope, seq: int, now: int) -> int:
        key, limit = scope.key, scope.limit
        waiting = "SELECT count(*) FROM waiting WHERE scope = ? AND seq < ? AND due >= ?"
        (ahead,) = connection.execute(waiting, (key, seq, now - GRACE)).fetchone()
        (newest,) = connection.execute("SELECT max(n) FROM grants WHERE scope = ?", (key,)).fetchone()

        def grant(back: int) -> int | None:
            if newest is None:
                return None
            place = (key, newest + 1 - back)
            row = connection.execute("SELECT at FROM grants WHERE scope = ? AND n = ?", place).fetchone()
            return row[0] if row else None

        held, last = 0, now
        if limit.concurrency is not None:
            held = _held(connection, key, now)
            if held + ahead >= limit.concurrency and self._strike_off_the_dead(connection, key):
                held = _held(connection, key, now)
            row = connection.execute("SELECT at FROM latest WHERE scope = ?", (key,)).fetchone()
            last = row[0] if row else now
        return opens_at(limit, ahead, grant, held, last, now)

    def _strike_off_the_dead(self, connection: sqlite3.Connection, key: str) -> bool:
        """Free the slots of processes that have ended; asked at most every 20 ms, for it reads a file a holder."""
        moment = time.monotonic()
        if moment < self._looked.get(key, 0.0):
            return False
        self._looked[key] = moment + 0.02
        holders = connection.execute("SELECT DISTINCT owner FROM held WHERE scope = ?", (key,)).fetchall()
        gone = [holder for (holder,) in holders if is_gone(holder)]
        for holder in gone:
            connection.execute("DELETE FROM held WHERE owner = ?", (holder,))
        return bool(gone)

    def _note(self, connection: sqlite3.Connection, scope: Scope, now: int) -> None:
        limit: Limit = scope.limit
        if limit.windows:
            (newest,) = connection.execute("SELECT max(n) FROM grants WHERE scope = ?", (scope.key,)).fetchone()
            n = (newest or 0) + 1
            row = (scope.key, n, now, now + longest_window(limit) + 1)
            connection.execute("INSERT INTO grants VALUES (?, ?, ?, ?)", row)
            oldest = (scope.key, n - most_requests(limit))
            connection.execute("DELETE FROM grants WHERE scope = ? AND n <= ?", oldest)

    def _sweep(self, connection: sqlite3.Connection, now: int) -> None:
        if time.monotonic() - self._swept > SWEEP:
            self._swept = time.monotonic()
            connection.execute("DELETE FROM grants WHERE until < ?", (now,))
            connection.execute("DELETE FROM waiting WHERE due < ?", (now - FORGET,))
            connection.execute("DELETE FROM held WHERE expires < ?", (now,))
            connection.execute(
                "DELETE FROM latest WHERE at < ? AND scope NOT IN (SELECT scope FROM held)", (now - FORGET,)
            )
            connection.execute("DELETE FROM circuits WHERE until < ?", (now,))
            self._looked.clear()

    @contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """The write lock and the time in microseconds, later than that of every transaction before."""
        with self._lock, self._translated():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                last, shift = connection.execute("SELECT last, shift FROM clock").fetchone()
                now = int(self._clock() * 1e6) + shift
                if now <= last:
                    # Who asks within a microsecond stands one apart. A clock that was set back by more is shifted for
                    # good, so that it goes on from here instead of standing still until it catches up.
                    shift += 0 if now > last - 1000 else last - now
                    now = last + 1
                connection.execute("UPDATE clock SET last = ?, shift = ?", (now, shift))
                yield connection, now
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A look at what is there, without the write lock."""
        with self._lock, self._translated():
            connection = self._connect()
            last, shift = connection.execute("SELECT last, shift FROM clock").fetchone()
            yield connection, max(int(self._clock() * 1e6) + shift, last)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise StoreUnavailable(
                f"The limits store {self._path} cannot be used: {error}. Check that its folder is writable and its "
                "disk not full; a broken file may be deleted, which forgets the requests counted so far."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            with suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    return self._connection
            self._disconnect()  # deleted or replaced: everybody has to meet in the new file
        # Closing a file drops this process's locks on it (POSIX): nobody may open it while `prepare` creates it.
        with _opening:
            prepare(self._path)
            self._connection = _open(self._path)
            self._inode = self._path.stat().st_ino
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _open(path: Path) -> sqlite3.Connection:
    """Open the file and make its tables; as patient as a transaction is, for SQLite itself does not wait here."""
    deadline = time.monotonic() + BUSY
    while True:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            _make_ready(connection)
        except BaseException as error:
            connection.close()
            busy = isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return connection


def _make_ready(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it was written by another version of Airgate ({version})")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not version:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)


def _circuit(connection: sqlite3.Connection, key: str) -> Circuit:
    row = connection.execute("SELECT state FROM circuits WHERE name = ?", (key,)).fetchone()
    return read_circuit(row[0] if row else None)


def _held(connection: sqlite3.Connection, key: str, now: int) -> int:
    """Slots taken."""
    question = "SELECT count(*) FROM held WHERE scope = ? AND expires > ?"
    return int(connection.execute(question, (key, now)).fetchone()[0])


def _before_fork() -> None:
    # SQLite's own locks must not be held by a thread that the child does not have.
    _opening.acquire()
    for store in list(_stores):
        store._lock.acquire()


def _after_fork_in_parent() -> None:
    for store in list(_stores):
        store._lock.release()
    _opening.release()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        # The parent's connection must be neither used nor closed here.
        _inherited.append(store._connection)
        store._connection = None
        store._lock.release()
    _opening.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
