"""Where a service keeps its effects: an SQLite file in which an effect, its key and its ledger line come together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from include.services.effects import Collection, Effect, Wanted
from include.services.effects_ledger import Ledger
from include.services.parameters import Refused
from include.services.work_orders import digest

_TABLES: Final = """
create table if not exists effects (
    number integer primary key autoincrement,
    collection text not null,
    order_name text not null,
    key text,
    fingerprint text not null,
    shown blob not null,
    state text not null,
    unique (collection, key)
);
create index if not exists effects_by_order on effects (order_name);
create table if not exists tombstones (collection text not null, key text not null, primary key (collection, key));
"""


class Store:
    """The effects of one service.

    Args:
        path: The file; ``:memory:`` for none.
        collections: All kinds of effects that the service has.
    """

    def __init__(self, path: str, collections: Sequence[Collection[Any]]) -> None:
        self.db = sqlite3.connect(path, timeout=10, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = full")
        self.db.executescript(_TABLES)
        self.ledger = Ledger(self.db)
        self._collections = collections
        with self._transaction():
            for collection in collections:
                collection.prepare(self.db)

    def perform(self, of: Collection[Any], want: Wanted, key: str | None) -> tuple[Effect, bool]:
        """Do what is wanted, once for each key; gives the effect, and whether an earlier request had done it.

        Raises:
            Refused: The business will not, or the key is no longer good for this. Only the ledger says so then.
        """
        body = digest(of.name, msgspec.json.encode(want).decode())
        with self._judged(of, want.order, key):
            known = self._under(of, key, body)
            if known is not None:
                self.ledger.note("replay", of.name, order=known.order, key=key, id_=known.id)
                return known, True
            effect = self._insert(of, want, key, body, of.perform(self.db, want))
            self.ledger.note("effect", of.name, order=effect.order, key=key, id_=effect.id)
        return effect, False

    def undo(self, of: Collection[Any], effect: Effect) -> Effect:
        """Take an effect back; one that is taken back already stays as it is.

        Raises:
            Refused: 409, there is no way back.
        """
        with self._judged(of, effect.order, effect.key):
            [current] = self._effects(of, "number = ?", effect.number)
            return self._taken_back(of, current)

    def cancel(self, of: Collection[Any], key: str) -> Effect | None:
        """Take back what was done under a key. None: nothing was, and from now on nothing will be.

        Raises:
            Refused: 409, there is no way back.
        """
        known = self.by_key(of, key)
        with self._judged(of, known.order if known else None, key):
            known = self.by_key(of, key)
            if known is not None:
                return self._taken_back(of, known)
            if not self._cancelled(of, key):
                self.db.execute("insert into tombstones values (?, ?)", (of.name, key))
                self.ledger.note("tombstone", of.name, order=None, key=key)
        return None

    def by_id(self, of: Collection[Any], id_: str) -> Effect | None:
        """The effect of that name."""
        _, _, number = id_.rpartition("-")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            return None
        return next((each for each in self._effects(of, "number = ?", int(number)) if each.id == id_), None)

    def by_key(self, of: Collection[Any], key: str) -> Effect | None:
        """The effect that was done under that key."""
        return next(iter(self._effects(of, "key = ?", key)), None)

    def by_order(self, of: Collection[Any], order: str) -> list[Effect]:
        """All effects for an order, oldest first."""
        return self._effects(of, "order_name = ?", order)

    def truth(self) -> dict[str, Any]:
        """What came of each order that was ever asked for, and how much that is altogether."""
        back = {collection.name: collection.undone for collection in self._collections}
        orders = {order: _Sum(list(back)) for order in self.ledger.orders()}
        whole = _Sum(list(back))
        for row in self.db.execute("select order_name, collection, state from effects order by number"):
            for each in (orders[row["order_name"]], whole):
                each.add(row["collection"], row["state"], undone=row["state"] == back[row["collection"]])
        totals = {name: value for name, value in whole.shown().items() if name != "states"}
        return {"orders": {order: each.shown() for order, each in orders.items()}, **totals, **self.ledger.totals()}

    def reset(self) -> None:
        """Forget everything; numbers go on, so that an old name never means another effect."""
        with self._transaction():
            self.db.execute("delete from effects")
            self.db.execute("delete from tombstones")
            self.ledger.forget()
            for collection in self._collections:
                collection.forget(self.db)

    def _under(self, of: Collection[Any], key: str | None, body: str) -> Effect | None:
        """What this body has done under this key, None where it may be done.

        Raises:
            Refused: 422, another body has gone with the key; 409, it was cancelled or its effect was taken back.
        """
        if key is None:
            return None
        known = self.by_key(of, key)
        if known is None and self._cancelled(of, key):
            raise Refused(409, f"this key is cancelled: no {of.singular} is made under it", "Idempotency-Key")
        if known is not None and known.fingerprint != body:
            raise Refused(422, "this key has gone with another body", "Idempotency-Key")
        if known is not None and known.state != of.done:
            raise Refused(409, f"{known.id}, made under this key, is {known.state}", "Idempotency-Key")
        return known

    def _insert(self, of: Collection[Any], want: Wanted, key: str | None, body: str, shown: dict[str, Any]) -> Effect:
        number = self.db.execute(
            "insert into effects (collection, order_name, key, fingerprint, shown, state) values (?, ?, ?, ?, ?, ?)",
            (of.name, want.order, key, body, msgspec.json.encode(shown), of.done),
        ).lastrowid
        [effect] = self._effects(of, "number = ?", number)
        return effect

    def _taken_back(self, of: Collection[Any], effect: Effect) -> Effect:
        if effect.state == of.undone:
            return effect
        if of.undone is None:
            raise Refused(409, f"{effect.id} is {effect.state}: there is no way back")
        of.undo(self.db, effect.shown)
        self.db.execute("update effects set state = ? where number = ?", (of.undone, effect.number))
        self.ledger.note("undo", of.name, order=effect.order, key=effect.key, id_=effect.id)
        [effect] = self._effects(of, "number = ?", effect.number)
        return effect

    def _cancelled(self, of: Collection[Any], key: str) -> bool:
        found = self.db.execute("select 1 from tombstones where collection = ? and key = ?", (of.name, key))
        return found.fetchone() is not None

    def _effects(self, of: Collection[Any], condition: str, value: Any) -> list[Effect]:
        rows = self.db.execute(
            f"select * from effects where collection = ? and {condition} order by number",  # noqa: S608 - our own
            (of.name, value),
        )
        return [
            Effect(
                row["number"],
                f"{of.singular}-{row['number']}",
                row["order_name"],
                row["key"],
                row["fingerprint"],
                msgspec.json.decode(row["shown"]),
                row["state"],
            )
            for row in rows
        ]

    @contextmanager
    def _judged(self, of: Collection[Any], order: str | None, key: str | None) -> Iterator[None]:
        """A transaction. What is refused within it leaves nothing but a line in the ledger."""
        try:
            with self._transaction():
                yield
        except Refused as refusal:
            self.ledger.note("refusal", of.name, order=order, key=key, reason=str(refusal))
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("begin immediate")
        try:
            yield
            self.db.execute("commit")
        finally:
            if self.db.in_transaction:
                self.db.execute("rollback")


class _Sum:
    """Effects, counted."""

    def __init__(self, collections: Sequence[str]) -> None:
        self._effects = self._undone = 0
        self._states: list[str] = []
        self._net = dict.fromkeys(collections, 0)

    def add(self, collection: str, state: str, *, undone: bool) -> None:
        self._effects += 1
        self._undone += undone
        self._net[collection] += not undone
        self._states.append(state)

    def shown(self) -> dict[str, Any]:
        net = self._effects - self._undone
        return {
            "effects": self._effects,
            "undone": self._undone,
            "net": net,
            "collections": self._net,
            "states": self._states,
        }
