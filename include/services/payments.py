"""The payments service: charges that are captured at once and can be refunded."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta
from starlette.applications import Starlette

from include.services.effects import Collection, Wanted
from include.services.effects_service import Service, app
from include.services.faults import FaultSettings
from include.services.parameters import Refused

DECLINED: Final = "tok_declined"


class Charge(Wanted):
    """What is to be taken from a card."""

    amount: Annotated[float, Meta(ge=1, le=100_000_000, multiple_of=1)]  # JSON knows 3.0 for an integer, too
    """Cents."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    card: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+\Z")]
    """A token of the card; answers do not repeat it."""


class Charges(Collection[Charge]):
    """Money that was taken."""

    name = "charges"
    singular = "charge"
    done = "captured"
    undone: ClassVar[str | None] = "refunded"
    undo_by = ("POST", "/refund")
    wants = Charge

    def perform(self, db: sqlite3.Connection, want: Charge) -> dict[str, Any]:
        """Take it, unless the card is declined."""
        if want.card == DECLINED:
            raise Refused(402, "the card is declined", "card")
        return {"amount": int(want.amount), "currency": want.currency}


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps the charges; None to keep them in memory.
    """
    return app(Service("payments", [Charges()], settings, store))
