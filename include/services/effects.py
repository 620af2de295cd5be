"""Kinds of effects: what is asked for, what is done, and whether there is a way back."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Meta, Struct

OrderName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Wanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every request for an effect says."""

    order: OrderName
    """The caller's order, to find the effect by."""


class Item(Struct, kw_only=True, forbid_unknown_fields=True):
    """A line of an order."""

    sku: Text
    quantity: Annotated[float, Meta(ge=1, le=1000, multiple_of=1)]  # JSON knows 3.0 for an integer, too


Items = Annotated[list[Item], Meta(min_length=1, max_length=100)]
Want = TypeVar("Want", bound=Wanted)


class Collection(Generic[Want]):
    """Effects of one kind and the business behind them.

    `perform` and `undo` run within the transaction that writes the effect: what they change in the database they are
    given stands or falls with it.
    """

    name: ClassVar[str]
    """The path that takes the request."""
    singular: ClassVar[str]
    done: ClassVar[str]
    """The state of an effect."""
    undone: ClassVar[str | None] = None
    """Its state once it is taken back; None where there is no way back."""
    undo_by: ClassVar[tuple[str, str] | None] = None
    """The method and the path, below the effect's own, that take it back; None where only its key does."""
    wants: type[Want]

    def prepare(self, db: sqlite3.Connection) -> None:
        """Make what the business keeps besides the effects, where it is not there yet."""

    def forget(self, db: sqlite3.Connection) -> None:
        """Have all of it as if nothing had ever been done."""

    def perform(self, db: sqlite3.Connection, want: Want) -> dict[str, Any]:
        """Do it; gives what answers show besides id, order, state and key.

        Raises:
            Refused: It cannot be done.
        """
        raise NotImplementedError

    def undo(self, db: sqlite3.Connection, shown: dict[str, Any]) -> None:
        """Take back what `perform` changed; ``shown`` is what that gave."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that was done."""

    number: int
    id: str
    order: str
    key: str | None
    fingerprint: str
    """Of the body that asked for it."""
    shown: dict[str, Any]
    state: str

    def document(self) -> dict[str, Any]:
        """What answers say of it."""
        return {"id": self.id, "order": self.order, **self.shown, "state": self.state, "key": self.key}
