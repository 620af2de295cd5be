"""Entries of a Redis stream as events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airgate.policy.events.batch import Unreadable
from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.events.records import EventFields, event_of, read_json

DEFAULT_TYPE = "redis.stream.entry"
"""Of an entry that is no CloudEvent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream."""

    id: str
    fields: Mapping[str, str] | None
    """None where it was deleted from the stream before anybody had read it."""
    deliveries: int = 1
    """How often it was handed out, this time included."""


def read_entries(
    entries: Iterable[Entry],
    *,
    stream: str,
    source: str,
    field: str,
    fields: EventFields | None,
    most_deliveries: int,
) -> tuple[list[Event], list[Unreadable]]:
    """The events of entries, and what is none.

    Args:
        entries: In their order.
        stream: The stream's name, for what is unreadable.
        source: Whose events these are, where entries do not say so.
        field: The field with an event as JSON. An entry without it is a record of all its fields, as text.
        fields: Where the parts of an event stand in a record that is no CloudEvent. Without them it is an event with
            the entry's id.
        most_deliveries: One that was handed out more often is not tried again: whoever tried may have died of it.
    """
    events: list[Event] = []
    unreadable: list[Unreadable] = []
    for entry in entries:
        where = f"entry {entry.id} of stream {stream}"
        if entry.fields is None:
            why = "it was deleted from the stream, by MAXLEN perhaps, before it was read"
            unreadable.append(Unreadable.of(where, why, ""))
            continue
        if entry.deliveries > most_deliveries:
            why = f"it was handed out {entry.deliveries} times and never kept"
            unreadable.append(Unreadable.of(where, why, dict(entry.fields)))
            continue
        try:
            record = read_json(entry.fields[field]) if field in entry.fields else dict(entry.fields)
            event = event_of(record, source=source, fields=fields, told_id=entry.id, told_type=DEFAULT_TYPE)
        except (NotAnEvent, ValueError) as wrong:
            unreadable.append(Unreadable.of(where, str(wrong), entry.fields.get(field) or dict(entry.fields)))
        else:
            events.append(event)
    return events, unreadable
