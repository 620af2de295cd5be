"""The loyalty service: points that customers get for what they bought, and that can be revoked."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta
from starlette.applications import Starlette

from include.services.effects import Collection, Wanted
from include.services.effects_service import Service, app
from include.services.faults import FaultSettings
from include.services.parameters import Refused

STRANGERS: Final = ".invalid"


class Grant(Wanted):
    """What is to be given to whom."""

    member: Annotated[
        str, Meta(min_length=3, max_length=200, pattern=r"^[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+\Z")
    ]
    """The e-mail address that a customer is known by."""
    points: Annotated[float, Meta(ge=1, le=1_000_000, multiple_of=1)]  # JSON knows 3.0 for an integer, too


class Grants(Collection[Grant]):
    """Points that were given."""

    name = "grants"
    singular = "grant"
    done = "granted"
    undone: ClassVar[str | None] = "revoked"
    undo_by = ("DELETE", "")
    wants = Grant

    def perform(self, db: sqlite3.Connection, want: Grant) -> dict[str, Any]:
        """Give them, unless the customer is no member."""
        if want.member.endswith(STRANGERS):
            raise Refused(422, f"no member has an address that ends with {STRANGERS}", "member")
        return {"member": want.member, "points": int(want.points)}


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps the grants; None to keep them in memory.
    """
    return app(Service("loyalty", [Grants()], settings, store))
