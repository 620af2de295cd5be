"""The inventory service: stock that is reserved for an order and released again."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from include.services.effects import Collection, Item, Items, Wanted
from include.services.effects_service import Service, app
from include.services.faults import FaultSettings
from include.services.parameters import Refused
from include.services.upstream import answer

CURRENCY: Final = "EUR"
PRICES: Final = {
    "boarding-pass": 450,
    "cabin-bag": 8900,
    "ear-plugs": 350,
    "eye-mask": 790,
    "luggage-tag": 620,
    "neck-pillow": 2490,
    "power-bank": 3490,
    "sold-out": 1990,
    "travel-adapter": 1590,
    "water-bottle": 1290,
}
"""The catalogue: cents by sku."""
STOCK: Final = {sku: 0 if sku == "sold-out" else 1_000_000 for sku in PRICES}

_TABLE: Final = """
create table if not exists stock (
    sku text primary key, price integer not null, available integer not null, reserved integer not null
)
"""


class Reservation(Wanted):
    """What is to be held for an order."""

    items: Items


class Reservations(Collection[Reservation]):
    """Stock that is held."""

    name = "reservations"
    singular = "reservation"
    done = "held"
    undone: ClassVar[str | None] = "released"
    undo_by = ("DELETE", "")
    wants = Reservation

    def prepare(self, db: sqlite3.Connection) -> None:
        """Put the catalogue on the shelves."""
        db.execute(_TABLE)
        full = [(sku, price, STOCK[sku]) for sku, price in PRICES.items()]
        db.executemany("insert or ignore into stock values (?, ?, ?, 0)", full)

    def forget(self, db: sqlite3.Connection) -> None:
        """Fill the shelves again."""
        db.execute("delete from stock")
        self.prepare(db)

    def perform(self, db: sqlite3.Connection, want: Reservation) -> dict[str, Any]:
        """Take all items from the shelves, or none of them."""
        total = sum(_take(db, item, f"items[{place}]") for place, item in enumerate(want.items))
        items = [{"sku": item.sku, "quantity": int(item.quantity)} for item in want.items]
        return {"items": items, "total": total, "currency": CURRENCY}

    def undo(self, db: sqlite3.Connection, shown: dict[str, Any]) -> None:
        """Put them back."""
        back = [(item["quantity"], item["sku"]) for item in shown["items"]]
        db.executemany("update stock set available = available + ?1, reserved = reserved - ?1 where sku = ?2", back)


class Inventory(Service):
    """Reservations and the stock they are made from."""

    def routes(self) -> list[Route]:
        """The stock, besides what every service has."""
        return [
            *super().routes(),
            Route("/stock", self._served(self._stock)),
            Route("/stock/{sku}", self._served(self._stock_of)),
        ]

    def _stock(self, request: Request, body: bytes) -> Response:
        rows = self.store.db.execute("select * from stock order by sku")
        return answer({"stock": [dict(row) for row in rows]})

    def _stock_of(self, request: Request, body: bytes) -> Response:
        return answer(dict(_found(self.store.db, request.path_params["sku"], 404, "sku")))


def _take(db: sqlite3.Connection, item: Item, place: str) -> int:
    """Take an item from its shelf; gives what it costs in cents.

    Raises:
        Refused: 422, there is no such item, or not enough of it.
    """
    quantity, stock = int(item.quantity), _found(db, item.sku, 422, f"{place}.sku")
    if stock["available"] < quantity:
        left = f"only {stock['available']} of {item.sku!r} are left"
        raise Refused(422, f"{quantity} are not in stock: {left}", f"{place}.quantity")
    db.execute(
        "update stock set available = available - ?1, reserved = reserved + ?1 where sku = ?2", (quantity, item.sku)
    )
    return quantity * int(stock["price"])


def _found(db: sqlite3.Connection, sku: str, status: int, parameter: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("select * from stock where sku = ?", (sku,)).fetchone()
    if row is None:
        raise Refused(status, f"there is no sku {sku!r}", parameter)
    return row


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps reservations and stock; None to keep them in memory.
    """
    return app(Inventory("inventory", [Reservations()], settings, store))
