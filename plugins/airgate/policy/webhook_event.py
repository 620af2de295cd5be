"""What a webhook's delivery is called, and the event that it tells of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.webhook_signature import is_id

BODY: Final = "body"
"""Instead of a place: the digest of the whole body."""
_HEADER = "header:"
_POINTER = "#/"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_CLOUD_EVENT = "specversion"
"""A name that every CloudEvents object has."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came, and is believed."""

    headers: Mapping[str, str]
    """Those that came once, by their names in lower case."""
    raw: bytes
    body: Mapping[str, Any]
    """What the raw body says."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text is found: a JSON pointer into the body such as ``#/order/id``, or ``header:X-Order``.

    A number that is found counts as its digits.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith(_HEADER):
            if not _HEADER_NAME.fullmatch(self.text.removeprefix(_HEADER)):
                raise ValueError(f"{self.text!r:.80} names no header")
        elif not self.text.startswith(_POINTER):
            raise ValueError(f"{self.text!r:.80} must be a JSON pointer such as #/order/id, or header:NAME")

    @classmethod
    def is_meant(cls, text: str) -> bool:
        """Whether a text is to be read as a place, rather than for itself."""
        return text.startswith((_HEADER, _POINTER))

    def find(self, delivery: Delivery) -> str | None:
        """The text there; None where there is none."""
        if self.text.startswith(_HEADER):
            return delivery.headers.get(self.text.removeprefix(_HEADER).lower()) or None
        found: Any = delivery.body
        for escaped in unquote(self.text.removeprefix(_POINTER)).split("/"):
            name = escaped.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and _ARRAY_INDEX.fullmatch(name) and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        return found if isinstance(found, str) and found else None


@dataclass(frozen=True, slots=True)
class Reading:
    """How deliveries are read."""

    id: Place | None
    """Where the delivery's name is; None for the digest of the body."""
    type: Place | str
    """Where the event's type is, or the type itself."""
    usual_type: str | None = None
    """The type of a delivery that has none in that place; None where it must have one."""
    source: str | None = None
    """The event's source; what calls itself an event already must have this one. None for what it says itself."""

    def id_of(self, delivery: Delivery) -> str:
        """What the delivery is called.

        Raises:
            NotAnEvent: It has no name where it should, or one that is too long.
        """
        if self.id is None:
            return hashlib.sha256(delivery.raw).hexdigest()
        if (found := self.id.find(delivery)) is None or not is_id(found):
            raise NotAnEvent(f"the delivery must have an id of 1 to 255 visible ASCII characters at {self.id.text}")
        return found

    def event_of(self, delivery: Delivery, name: str, delivery_id: str) -> Event:
        """The event that a delivery tells of.

        It is the same whenever the delivery is sent: neither the time of sending nor its signature is part of it.

        Args:
            delivery: The delivery.
            name: The webhook's; ``/webhooks/NAME`` is the source of what has no other.
            delivery_id: What the delivery is called, the event's id unless it is one already.

        Raises:
            NotAnEvent: It tells of none.
        """
        if _CLOUD_EVENT in delivery.body:
            event = Event.read(delivery.body)
            if self.source is not None and event.source != self.source:
                raise NotAnEvent(f"source must be {self.source}, not {event.source!r:.80}")
            return event
        return Event(
            source=self.source or f"/webhooks/{name}",
            id=delivery_id,
            type=self._type(delivery),
            data=delivery.body,
        )

    def _type(self, delivery: Delivery) -> str:
        if isinstance(self.type, str):
            return self.type
        found = self.type.find(delivery) or self.usual_type
        if found is None:
            raise NotAnEvent(f"the delivery must name the event's type at {self.type.text}")
        return found
