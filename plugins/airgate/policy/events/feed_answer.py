"""What an answer of a feed means: where to go on, and what was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from airgate.policy.events.batch import Unreadable
from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.events.feed import Cursor, Feed, FeedPosition
from airgate.policy.events.pauses import spread
from airgate.policy.events.records import event_of, read_json, value_at
from airgate.policy.idempotency import digest, json_digest
from airgate.policy.retry import retry_after

MOST_SEEN: Final = 1000
"""Records that are remembered by a digest, so that a page asked for again is not told again."""
ANSWERS: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
"""Statuses that a feed answers well with."""


class FeedBroken(ValueError):
    """An answer of a feed that nothing can be read from; asked for again later, and the position stays."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What an answer of the feed means."""

    position: FeedPosition
    """Where to go on, once what was told is kept."""
    events: tuple[Event, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    again: bool = False
    """Whether more is there at once."""
    asked: float | None = None
    """Seconds that the service asks to wait."""


def read_answer(
    feed: Feed, position: FeedPosition, status: int, headers: Mapping[str, str], body: bytes, now: float
) -> Turn:
    """What a good answer, one of ``ANSWERS``, means.

    Args:
        feed: Whose.
        position: What was asked for.
        status: The answer's.
        headers: The answer's, looked up by lower-case names.
        body: The answer's.
        now: Unix time, to read a ``Retry-After`` that is a date.

    Raises:
        FeedBroken: Nothing can be read from it.
    """
    asked = retry_after(headers, now)
    if status != HTTPStatus.OK:
        return Turn(replace(position, passing=False), asked=asked)
    records, told = _page(feed, body)
    cursor = _next_cursor(feed, records, told, headers)
    events, unreadable, digests = _read_records(feed, records, frozenset(position.seen))
    moved = cursor is not None and cursor != position.cursor
    if moved:
        # A feed may give the record at the cursor once more; one whose page is empty may give those before it.
        seen = tuple(digests) or position.seen
        after = FeedPosition(cursor, None, seen[-MOST_SEEN:], position.passing)
    else:
        # The same page comes again and again: all of it is remembered, and of those before it what there is room for.
        page = frozenset(digests)
        known = (*(one for one in position.seen if one not in page), *digests)
        kept = known[-max(MOST_SEEN, len(digests)) :]
        after = FeedPosition(position.cursor, headers.get("etag"), kept, position.passing)
    more = value_at(told, feed.more_field) if feed.more_field else None
    again = moved and (bool(records) if more is None else more is True)
    if position.passing:
        return Turn(after if again else replace(after, passing=False), again=again, asked=asked)
    return Turn(after, tuple(events), tuple(unreadable), again, asked)


def pause_after(feed: Feed, turn: Turn, chance: float) -> float:
    """Seconds until the next poll.

    Args:
        feed: Whose.
        turn: What the last answer meant.
        chance: A random number from 0 to 1.
    """
    asked = turn.asked or 0.0
    return asked if turn.again else max(asked, spread(feed.interval, chance))


def _page(feed: Feed, body: bytes) -> tuple[list[Any], Any]:
    try:
        told = read_json(body)
    except ValueError as error:
        raise FeedBroken(f"the body cannot be read: {error}") from None
    records = value_at(told, feed.items)
    if records is None and isinstance(told, Mapping) and feed.items:
        # Many services leave an empty list out, or write null; the cursor beside it says that this is a page.
        if feed.cursor_field and not feed.cursor_item and value_at(told, feed.cursor_field) is not None:
            return [], told
        raise FeedBroken(f"the body has no list at {feed.items!r}, the feed's `items`; it has {_names(told)}")
    if not isinstance(records, list):
        where = f"at {feed.items!r}, the feed's `items`," if feed.items else "in the body"
        raise FeedBroken(f"{where} there must be a list, not {type(records).__name__}")
    return records, told


def _names(told: Mapping[str, Any]) -> str:
    return ", ".join(sorted(str(name)[:40] for name in told)[:10]) or "nothing"


def _next_cursor(feed: Feed, records: list[Any], told: Any, headers: Mapping[str, str]) -> Cursor | None:
    if feed.cursor_header:
        found: Any = headers.get(feed.cursor_header.lower())
    elif feed.cursor_item:
        found = value_at(records[-1], feed.cursor_item) if records else None
    else:
        found = value_at(told, feed.cursor_field)
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise FeedBroken(f"the next cursor must be a text or a whole number, not {type(found).__name__}")
    return found


def _read_records(
    feed: Feed, records: list[Any], seen: frozenset[str]
) -> tuple[list[Event], list[Unreadable], list[str]]:
    """The events that were not told yet, what is none, and the digests of all of the page."""
    events: list[Event] = []
    unreadable: list[Unreadable] = []
    digests: list[str] = []
    for number, record in enumerate(records):
        try:
            event = event_of(record, source=feed.source, fields=feed.fields)
        except NotAnEvent as wrong:
            mark = _mark("unreadable", _digest(record))
            if mark not in seen:
                unreadable.append(Unreadable.of(f"record {number} of a page of {feed.path}", str(wrong), record))
        else:
            mark = _mark(event.source, event.id)
            if mark not in seen:
                events.append(event)
        digests.append(mark)
    return events, unreadable, digests


def _mark(*parts: str) -> str:
    return digest(parts)[:16]


def _digest(record: Any) -> str:
    try:
        return json_digest(record)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return digest((repr(record).encode(errors="replace").decode(),))
