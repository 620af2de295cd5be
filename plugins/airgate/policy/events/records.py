"""What a service or a broker tells, as events: CloudEvents as they are, other records by where their parts stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from airgate.policy.events.event import Event, NotAnEvent

_MILLISECONDS = 1e11
"""Numbers beyond this are times in milliseconds: in seconds they would be in the year 5138."""


@dataclass(frozen=True, slots=True)
class EventFields:
    """Where the parts of an event stand in a record that is no CloudEvent.

    A place is a dotted name such as ``order.id``, or with a leading slash a JSON Pointer (RFC 6901) such as
    ``/lines/0/id``; an empty one stands for a part that the records have not.

    Args:
        id: What no other record of the source has: text or a whole number.
        type: What kind of thing happened; empty takes ``default_type``.
        time: When: RFC 3339 with an offset, or seconds or milliseconds since 1970.
        subject: To what.
        data: What there is to know of it; empty for the whole record.
        default_type: The type where a record has none.
    """

    id: str = "id"
    type: str = ""
    time: str = ""
    subject: str = ""
    data: str = ""
    default_type: str = ""

    def __post_init__(self) -> None:
        texts = (self.id, self.type, self.time, self.subject, self.data, self.default_type)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("fields: each of them is a text, the place of a part of an event")
        if not self.id:
            raise ValueError("fields: id is empty: an event without a name of its own cannot be known again")
        if not self.type and not self.default_type:
            raise ValueError("fields: give type, the place of an event's type, or default_type, one for all of them")


def event_of(
    record: object,
    *,
    source: str,
    fields: EventFields | None = None,
    told_id: str | None = None,
    told_type: str | None = None,
) -> Event:
    """The event of a record.

    Args:
        record: Anything JSON can hold. A CloudEvent, known by ``specversion``, stays as it is.
        source: Whose events these are, for a record that does not say so itself.
        fields: Where the parts of another record stand.
        told_id: The name that whoever brought the record gives it, such as a broker's; for one without ``fields``.
        told_type: The type that goes with it.

    Raises:
        NotAnEvent: It is none; the message says what is missing.
    """
    if isinstance(record, Mapping) and "specversion" in record:
        return Event.read(record)
    if fields is not None:
        if not isinstance(record, Mapping):
            raise NotAnEvent(f"a record must be an object, not {type(record).__name__}")
        return _mapped(record, fields, source)
    if told_id and told_type:
        return Event(source, told_id, told_type, data=record)
    raise NotAnEvent("it has no specversion, so it is no CloudEvent: say with fields where its id and its type stand")


def value_at(record: object, place: str) -> Any:
    """The value at a dotted name or a JSON Pointer, None when nothing stands there."""
    if place.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in place[1:].split("/")]
    else:
        parts = place.split(".") if place else []
    value: Any = record
    for part in parts:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isascii() and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value


def read_json(body: bytes | str) -> Any:
    """JSON, read as generously as what is told by strangers needs it.

    One record with what JSON allows and few programs can store, such as half a surrogate pair, must not make all the
    others of its page unreadable; whether it can be stored is decided record by record.

    Raises:
        ValueError: It is not JSON.
    """
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):  # what it says of bytes that are no UTF-8 is not its own error
        pass
    try:
        return json.loads(raw.decode(errors="replace"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None


def _mapped(record: Mapping[str, Any], fields: EventFields, source: str) -> Event:
    found = value_at(record, fields.id)
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise NotAnEvent(f"id, at {fields.id!r}, must be a text or a whole number, not {found!r:.40}")
    kind = value_at(record, fields.type) if fields.type else None
    subject = value_at(record, fields.subject) if fields.subject else None
    return Event(
        source,
        str(found),
        kind if kind is not None else fields.default_type,
        time=_time(value_at(record, fields.time)) if fields.time else None,
        subject=str(subject) if isinstance(subject, int) else subject,
        data=value_at(record, fields.data) if fields.data else record,
    )


def _time(value: Any) -> Any:
    """A number as RFC 3339; anything else is left to the event, which refuses what it does not know."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    seconds = value / 1000 if abs(value) > _MILLISECONDS else value
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise NotAnEvent(f"time must be seconds or milliseconds since 1970, not {value!r:.40}") from None
