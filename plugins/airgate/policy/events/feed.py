"""A feed, and how far it was read.

A feed is a collection that only grows, read by a cursor that the service hands out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from airgate.policy.events.records import EventFields
from airgate.policy.events.stored_arguments import refuse_secrets

Start = Literal["earliest", "latest"]
Cursor = str | int

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed. Times are seconds; nothing in it is secret."""

    path: str
    """Path below the gateway's address."""
    query: Mapping[str, Any] = field(default_factory=dict)
    """Query parameters beside the cursor."""
    headers: Mapping[str, str] = field(default_factory=dict)
    items: str = "events"
    """Place of the list of records in the body; empty for a bare list."""
    cursor_param: str = "cursor"
    """Query parameter that the cursor is sent as."""
    cursor_field: str = "next_cursor"
    """Place of the next cursor in the body."""
    cursor_header: str = ""
    """Response header with the next cursor, instead."""
    cursor_item: str = ""
    """Place of the cursor in the last record, instead: for feeds that are asked for what came after a record."""
    more_field: str = ""
    """Place of a boolean that says whether more is there at once; without it, records and another cursor say so."""
    limit_param: str = "limit"
    """Query parameter for the page size; empty to send none."""
    limit: int = 500
    source: str = ""
    """Whose events these are, where records do not say so."""
    fields: EventFields | None = None
    start: Start | Mapping[str, Cursor] = "earliest"
    """Where to begin without a position: ``{"cursor": …}`` names a place. ``latest`` reads the whole feed to its end
    without telling anything."""
    expired: tuple[int, ...] = (400, 410)
    """Statuses that say that the feed does not know the cursor any longer."""
    on_expired: Start = "earliest"
    """Where to begin then."""
    interval: float = 30.0
    """Between polls, once there is no more at once."""
    longest_pause: float = 900.0
    """After failures, between which the pause doubles. What the service asks for with ``Retry-After`` is not capped."""

    def __post_init__(self) -> None:
        _check_text("path", self.path)
        ways = [name for name in ("cursor_header", "cursor_item") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError("cursor_header and cursor_item are two places of the next cursor: give one")
        if not ways:
            _check_text("cursor_field", self.cursor_field)
        _check_text("cursor_param", self.cursor_param)
        refuse_secrets(self.query, self.headers)
        if self.limit < 1:
            raise ValueError(f"limit must be 1 or more records a page, not {self.limit}")
        if not 0.1 <= self.interval <= 86_400:
            raise ValueError(f"interval must be 0.1 to 86400 seconds, not {self.interval:g}")
        if self.longest_pause < self.interval:
            raise ValueError(f"longest_pause must be at least the interval of {self.interval:g} s")
        if self.on_expired not in ("earliest", "latest"):
            raise ValueError(f"on_expired must be 'earliest' or 'latest', not {self.on_expired!r}")
        if isinstance(self.start, Mapping):
            cursor = self.start.get("cursor")
            if set(self.start) != {"cursor"} or isinstance(cursor, bool) or not isinstance(cursor, str | int):
                raise ValueError('start must be "earliest", "latest" or {"cursor": a text or a number}')
        elif self.start not in ("earliest", "latest"):
            raise ValueError(f'start must be "earliest", "latest" or {{"cursor": …}}, not {self.start!r:.40}')


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far a feed was read."""

    cursor: Cursor | None = None
    etag: str | None = None
    """Of the last page, as long as it is the same page."""
    seen: tuple[str, ...] = ()
    """Digests of the last page's records."""
    passing: bool = False
    """Whether what is read is not told: on the way to the latest."""

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        stored = {"version": VERSION, "cursor": self.cursor, "etag": self.etag, "seen": list(self.seen)}
        return stored | {"passing": True} if self.passing else stored

    @classmethod
    def read(cls, stored: object) -> FeedPosition | None:
        """The position that was stored; None where there is none that this release can read."""
        if not isinstance(stored, Mapping) or stored.get("version") != VERSION:
            return None
        seen = stored.get("seen")
        return cls(
            stored.get("cursor"),
            stored.get("etag"),
            tuple(seen) if isinstance(seen, list) else (),
            stored.get("passing") is True,
        )


def first_position(feed: Feed, start: Start | Mapping[str, Cursor] | None = None) -> FeedPosition:
    """Where to begin without a position."""
    start = feed.start if start is None else start
    if isinstance(start, Mapping):
        return FeedPosition(start["cursor"])
    return FeedPosition(passing=start == "latest")


def query_and_headers(feed: Feed, position: FeedPosition) -> tuple[dict[str, Any], dict[str, str]]:
    """What asks for the page at a position."""
    query = dict(feed.query)
    if feed.limit_param:
        query[feed.limit_param] = feed.limit
    if position.cursor is not None:
        query[feed.cursor_param] = position.cursor
    headers = dict(feed.headers)
    if position.etag:
        headers["If-None-Match"] = position.etag
    return query, headers


def is_expired(feed: Feed, position: FeedPosition, status: int | None) -> bool:
    """Whether a refusal means that the feed does not know the cursor any longer."""
    return status in feed.expired and position.cursor is not None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text that is not empty, not {value!r:.40}")
