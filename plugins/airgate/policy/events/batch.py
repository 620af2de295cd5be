"""Events on their way through Airflow: the payload of one asset event, which holds many of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from airgate.policy.events.event import LONGEST_NAME, SPEC_VERSION, Event, NotAnEvent
from airgate.policy.idempotency import digest

VERSION: Final = 1
MOST_EVENTS: Final = 500
"""Events of one asset event: what one dispatcher's answer, log line and page of Airflow can still hold."""
MOST_BYTES: Final = 256 * 1024
"""Bytes of one asset event, as Airflow's database stores them. An event that is larger travels alone."""
LARGEST_EVENT: Final = 1024 * 1024
"""Bytes of an event. One that is larger is unreadable: it should say where its data is, not carry it."""
LONGEST_EXCERPT: Final = 64 * 1024
"""Bytes of ``raw``."""
FOREIGN_TYPE: Final = "airflow.asset.event"
"""``type`` of an event that is made of an asset event of somebody else."""

_LONGEST_WHY: Final = 1000


class NotABatch(ValueError):
    """A payload holds no events in the form that airgate writes; the message says what it holds."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was told as an event, and is none: kept for a person, as nobody may know what it stood for."""

    where: str
    """Where it was told: a page of a feed, a message of a stream. Names no secret."""
    why: str
    """What is wrong with it."""
    raw: str
    """What was told, at most ``LONGEST_EXCERPT`` bytes of it."""

    @classmethod
    def of(cls, where: str, why: str, raw: object) -> Unreadable:
        """An entry of what was told, cut to what fits.

        Args:
            where: Where it was told.
            why: What is wrong with it.
            raw: What was told: text, bytes, or anything that JSON can hold.
        """
        return cls(_tidy(where, LONGEST_NAME), _tidy(why, _LONGEST_WHY), _excerpt(raw))

    def to_json(self) -> dict[str, str]:
        """As an object."""
        return {"where": self.where, "why": self.why, "raw": self.raw}


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events of one asset event."""

    events: tuple[Event, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.events or self.unreadable)

    def __len__(self) -> int:
        return len(self.events) + len(self.unreadable)

    @classmethod
    def read(cls, payload: object) -> EventBatch:
        """The events of a payload that ``to_json`` made.

        A single entry that is no event, because a person or a later version wrote it, is kept as unreadable.

        Raises:
            NotABatch: The payload is something else, or is of a version that this one does not know.
        """
        if not is_batch(payload):
            raise NotABatch(f"a payload of events is an object with `airgate` and `events`, not {_sketch(payload)}")
        assert isinstance(payload, Mapping)
        if payload["airgate"] != VERSION:
            raise NotABatch(
                f"a payload of version {payload['airgate']!r:.40} was written by another release of airgate than this "
                f"one, which reads version {VERSION}: update it"
            )
        told, kept = payload["events"], payload.get("unreadable") or []
        if not isinstance(told, list) or not isinstance(kept, list):
            raise NotABatch("events and unreadable of a payload are lists")
        events: list[Event] = []
        unreadable = [_read_unreadable(entry) for entry in kept]
        for number, one in enumerate(told):
            try:
                events.append(Event.read(one))
            except NotAnEvent as wrong:
                unreadable.append(Unreadable.of(f"event {number} of an asset event", str(wrong), one))
        return cls(tuple(events), tuple(unreadable))

    def to_json(self) -> dict[str, Any]:
        """As the payload of an asset event."""
        payload: dict[str, Any] = {"airgate": VERSION, "events": [event.to_json() for event in self.events]}
        if self.unreadable:
            payload["unreadable"] = [entry.to_json() for entry in self.unreadable]
        return payload


def slices(
    events: Iterable[Event],
    unreadable: Iterable[Unreadable] = (),
    *,
    most_events: int = MOST_EVENTS,
    most_bytes: int = MOST_BYTES,
) -> Iterator[EventBatch]:
    """The events, in their order, in as few batches as fit; no batch is empty.

    Args:
        events: Events. One that Airflow cannot store, or that is larger than ``LARGEST_EVENT``, becomes unreadable.
        unreadable: What was no event; comes last.
        most_events: Entries of a batch.
        most_bytes: Bytes of a batch, unless one entry alone has more.
    """
    taken: list[Event] = []
    kept: list[Unreadable] = []
    late = list(unreadable)
    filled = 0

    def full(size: int) -> bool:
        return bool(taken or kept) and (len(taken) + len(kept) >= most_events or filled + size > most_bytes)

    for event in events:
        size = _size_or_why(event.to_json())
        if isinstance(size, str) or size > LARGEST_EVENT:
            why = size if isinstance(size, str) else f"it has {size} bytes, and an event may have {LARGEST_EVENT}"
            late.append(Unreadable.of(f"event {event.id} of {event.source}", why, event.to_json()))
            continue
        if full(size):
            yield EventBatch(tuple(taken))
            taken, filled = [], 0
        taken.append(event)
        filled += size
    for entry in late:
        size = len(json.dumps(entry.to_json()))
        if full(size):
            yield EventBatch(tuple(taken), tuple(kept))
            taken, kept, filled = [], [], 0
        kept.append(entry)
        filled += size
    if taken or kept:
        yield EventBatch(tuple(taken), tuple(kept))


def is_batch(payload: object) -> bool:
    """Whether a payload is one of airgate's, of whatever version."""
    return (
        isinstance(payload, Mapping)
        and isinstance(payload.get("airgate"), int)
        and not isinstance(payload["airgate"], bool)
        and "events" in payload
    )


def batch_of(extra: object, *, asset: str, asset_event_id: int, time: str | None = None) -> EventBatch:
    """The events of any asset event: those of a source of airgate's, or the asset event itself as one event.

    So a dispatcher takes what every watcher of Airflow brings, such as a ``MessageQueueTrigger`` of another provider.
    A payload that is a CloudEvent stays the event that it is. Nothing raises: what cannot be read comes as unreadable,
    as a dispatcher that fails on an asset event would never get past it.

    Args:
        extra: The asset event's extra. ``payload`` in it, where a trigger or a webhook put it there, or all of it.
        asset: The asset's URI, or its name: the source of what is told by nobody else.
        asset_event_id: The asset event's id in Airflow's database, the id of that event.
        time: When the asset event was stored, RFC 3339 with an offset: the time of that event.
    """
    payload = _payload(extra)
    where = f"asset event {asset_event_id} of {asset}"
    if is_batch(payload):
        try:
            return EventBatch.read(payload)
        except NotABatch as wrong:
            return EventBatch(unreadable=(Unreadable.of(where, str(wrong), payload),))
    if isinstance(payload, Mapping) and payload.get("specversion") == SPEC_VERSION:
        try:
            return EventBatch((Event.read(payload),))
        except NotAnEvent as wrong:
            return EventBatch(unreadable=(Unreadable.of(where, str(wrong), payload),))
    try:
        event = Event(
            source=_source(asset),
            id=str(asset_event_id),
            type=FOREIGN_TYPE,
            time=time,
            data=payload,
        )
    except NotAnEvent as wrong:
        return EventBatch(unreadable=(Unreadable.of(where, str(wrong), payload),))
    return EventBatch((event,))


def _payload(extra: object) -> object:
    if isinstance(extra, Mapping) and "payload" in extra:
        payload: object = extra["payload"]
        if "from_trigger" in extra or "from_webhook" in extra or is_batch(payload):  # a saga's step tells one as well
            return payload
    return extra or None


def _source(asset: str) -> str:
    """The asset's URI or name as a source; a name may have what a source may not."""
    if asset and len(asset) <= LONGEST_NAME and asset.isprintable():
        return asset
    return f"asset:{digest((asset,))[:32]}"


def _read_unreadable(entry: object) -> Unreadable:
    if isinstance(entry, Mapping) and all(isinstance(entry.get(name), str) for name in ("where", "why", "raw")):
        return Unreadable(entry["where"], entry["why"], entry["raw"])
    return Unreadable.of("unreadable of an asset event", "an entry has where, why and raw", entry)


def _size_or_why(told: Mapping[str, Any]) -> int | str:
    """Bytes of an event in Airflow's database, or why it cannot get there.

    A triggerer hands events on as MessagePack and a database stores them as JSON; what either refuses would take down
    the triggerer, or its asset event, each time that it comes.
    """
    try:
        msgspec.msgpack.encode(told)
        return len(json.dumps(told, allow_nan=False))
    except (ValueError, TypeError, OverflowError, RecursionError) as wrong:
        return f"Airflow cannot store it: {wrong}"


def _excerpt(raw: object) -> str:
    if isinstance(raw, bytes | bytearray):
        text = bytes(raw[:LONGEST_EXCERPT]).decode(errors="replace")
    elif isinstance(raw, str):
        text = raw[:LONGEST_EXCERPT]
    else:
        try:
            text = json.dumps(raw, ensure_ascii=False, default=repr)[:LONGEST_EXCERPT]
        except (ValueError, RecursionError):
            text = f"<{type(raw).__name__} that JSON cannot hold>"
    return text.encode(errors="replace")[:LONGEST_EXCERPT].decode(errors="ignore")


def _tidy(text: str, longest: int) -> str:
    return text.encode(errors="replace").decode()[:longest]


def _sketch(payload: object) -> str:
    """What a payload is, without what it holds."""
    if isinstance(payload, Mapping):
        return f"an object with {', '.join(sorted(str(name)[:40] for name in payload)[:8]) or 'nothing'}"
    return type(payload).__name__
