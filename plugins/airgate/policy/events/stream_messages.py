"""Messages of a stream as events."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from airgate.policy.events.batch import LARGEST_EVENT, Unreadable
from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.events.event_stream import Message
from airgate.policy.events.records import EventFields, event_of, read_json

DEFAULT_TYPE = "message"
"""Of a message that names none, by the standard."""


def read_messages(
    messages: Iterable[Message],
    *,
    source: str,
    where: str,
    types: Collection[str] | None = None,
    fields: EventFields | None = None,
) -> tuple[list[Event], list[Unreadable]]:
    """The events of messages, and what is none.

    Data that is no JSON is text. An id that came with an earlier message is not this one's.

    Args:
        messages: In their order.
        source: Whose events these are, where data does not say so.
        where: What the stream is called where something is unreadable.
        types: Only messages of these types; None for all.
        fields: Where the parts of an event stand in data that is no CloudEvent.
    """
    events: list[Event] = []
    unreadable: list[Unreadable] = []
    for message in messages:
        kind = message.event or DEFAULT_TYPE
        if types is not None and kind not in types:
            continue
        place = f"a message of {where}" + (f" with the id {message.id}" if message.own_id else "")
        if message.too_large:
            why = f"it has more than {LARGEST_EVENT} bytes"
            unreadable.append(Unreadable.of(place, why, message.data))
            continue
        try:
            events.append(
                event_of(
                    _data(message.data),
                    source=source,
                    fields=fields,
                    told_id=message.id if message.own_id else None,
                    told_type=kind,
                )
            )
        except NotAnEvent as wrong:
            unreadable.append(Unreadable.of(place, str(wrong), message.data))
    return events, unreadable


def _data(text: str) -> object:
    try:
        return read_json(text)
    except ValueError:
        return text
