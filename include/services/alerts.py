"""The alerts service: what is said to whoever watches an airport or an airline."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Final, Literal

from msgspec import Meta
from starlette.applications import Starlette

from include.services.effects import Collection, Wanted
from include.services.effects_service import Service, app
from include.services.faults import FaultSettings
from include.services.parameters import Refused

NOBODY: Final = "XXX"


class Alert(Wanted):
    """What is to be said."""

    topic: Annotated[str, Meta(pattern=r"^[A-Z0-9]{2,3}\Z")]
    """The code of an airport or of an airline; who watches it gets the alert."""
    severity: Literal["info", "warning", "critical"]
    text: Annotated[str, Meta(min_length=1, max_length=2000)]


class Alerts(Collection[Alert]):
    """What was said."""

    name = "alerts"
    singular = "alert"
    done = "sent"
    wants = Alert

    def perform(self, db: sqlite3.Connection, want: Alert) -> dict[str, Any]:
        """Say it, unless nobody watches."""
        if want.topic == NOBODY:
            raise Refused(422, f"nobody watches {NOBODY}", "topic")
        return {"topic": want.topic, "severity": want.severity, "text": want.text}


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps the alerts; None to keep them in memory.
    """
    return app(Service("alerts", [Alerts()], settings, store))
