"""The shipping service: parcels that cannot be called back, and notices to who waits for them."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from starlette.applications import Starlette

from include.services.effects import Collection, Items, Text, Wanted
from include.services.effects_service import Service, app
from include.services.faults import FaultSettings
from include.services.parameters import Refused

NOWHERE: Final = "XX"


class Address(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a parcel goes."""

    name: Text
    street: Text
    city: Text
    postcode: Text
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]


class Shipment(Wanted):
    """What is to be sent."""

    items: Items
    address: Address


class Notice(Wanted):
    """What is to be written to whom."""

    email: Annotated[str, Meta(min_length=3, max_length=200, pattern=r"^[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+\Z")]
    text: Annotated[str, Meta(min_length=1, max_length=2000)]


class Shipments(Collection[Shipment]):
    """Parcels that left."""

    name = "shipments"
    singular = "shipment"
    done = "dispatched"
    wants = Shipment

    def perform(self, db: sqlite3.Connection, want: Shipment) -> dict[str, Any]:
        """Send it, unless nobody goes there."""
        if want.address.country == NOWHERE:
            raise Refused(422, f"the service does not deliver there: {NOWHERE}", "address.country")
        return {"tracking": f"AG{secrets.token_hex(6).upper()}"}


class Notices(Collection[Notice]):
    """Letters that were sent."""

    name = "notices"
    singular = "notice"
    done = "sent"
    wants = Notice

    def perform(self, db: sqlite3.Connection, want: Notice) -> dict[str, Any]:
        """Send it."""
        return {"email": want.email, "text": want.text}


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps shipments and notices; None to keep them in memory.
    """
    return app(Service("shipping", [Shipments(), Notices()], settings, store))
