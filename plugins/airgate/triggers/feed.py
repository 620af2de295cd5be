"""Watches a feed behind the gateway: polled by its cursor, its records become events."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any

from airgate.client import clock
from airgate.client.message import Response
from airgate.hooks.call import Call
from airgate.policy.errors import GatewayError
from airgate.policy.events.batch import slices
from airgate.policy.events.feed import (
    Cursor,
    Feed,
    FeedPosition,
    Start,
    first_position,
    is_expired,
    query_and_headers,
)
from airgate.policy.events.feed_answer import ANSWERS, Turn, pause_after, read_answer
from airgate.policy.events.pauses import pause_after_failure
from airgate.policy.events.records import EventFields
from airgate.triggers.acknowledged import AcknowledgedProducer, EventSource, Told
from airgate.triggers.positions import Positions, StateOfAsset, name_of
from airgate.triggers.watch import watches

log = logging.getLogger(__name__)

_CALL_SECONDS = 120.0
"""For one poll with all its retries."""


class FeedTrigger(EventSource):
    """Polls a feed and tells its records as events, for an ``AssetWatcher``.

    The position stands in the asset's state store and moves once Airflow has stored the events, so an event is told at
    least once, whatever dies. Errors of the service are logged and waited out. Records that are no events are told as
    unreadable.

    Args:
        path: Path of the feed below the gateway's address.
        gateway_conn_id: Connection of type ``gateway``.
        query: Query parameters beside the cursor.
        headers: Headers beside the connection's; none may be secret.
        items: Place of the list of records in the body, such as ``data.events``; empty for a bare list.
        cursor_param: Query parameter that the cursor is sent as.
        cursor_field: Place of the next cursor in the body.
        cursor_header: Response header with the next cursor, instead.
        cursor_item: Place of the cursor in the last record, instead: for feeds that are asked for what came after a
            record.
        more_field: Place of a boolean that says whether more is there at once.
        limit_param: Query parameter for the page size; empty to send none.
        limit: Records a page.
        source: Whose events these are, where records do not say so; by default connection and path.
        fields: Where the parts of an event stand in records that are no CloudEvents.
        start: Where to begin without a position: ``earliest``, ``latest``, or ``{"cursor": …}``.
        expired: Statuses by which the service says that it does not know a cursor any longer.
        on_expired: Where to begin then.
        interval: Seconds between polls. The service's ``Retry-After`` counts where it is longer.
        longest_pause: Seconds between tries, at most, when polls fail.

    Raises:
        ValueError: An argument is wrong; named.
    """

    def __init__(
        self,
        path: str,
        *,
        gateway_conn_id: str = "gateway_default",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        items: str = "events",
        cursor_param: str = "cursor",
        cursor_field: str = "next_cursor",
        cursor_header: str = "",
        cursor_item: str = "",
        more_field: str = "",
        limit_param: str = "limit",
        limit: int = 500,
        source: str = "",
        fields: EventFields | Mapping[str, str] | None = None,
        start: Start | Mapping[str, Cursor] = "earliest",
        expired: tuple[int, ...] | list[int] = (400, 410),
        on_expired: Start = "earliest",
        interval: float = 30.0,
        longest_pause: float = 900.0,
    ) -> None:
        super().__init__()
        self.gateway_conn_id = gateway_conn_id
        self.feed = Feed(
            path=path,
            query=dict(query or {}),
            headers=dict(headers or {}),
            items=items,
            cursor_param=cursor_param,
            cursor_field=cursor_field,
            cursor_header=cursor_header,
            cursor_item=cursor_item,
            more_field=more_field,
            limit_param=limit_param,
            limit=limit,
            source=source or f"/{gateway_conn_id}/{str(path).lstrip('/')}",
            fields=EventFields(**fields) if isinstance(fields, Mapping) else fields,
            start=dict(start) if isinstance(start, Mapping) else start,
            expired=tuple(expired),
            on_expired=on_expired,
            interval=interval,
            longest_pause=longest_pause,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class, the connection's id and the feed; nothing secret."""
        feed = asdict(self.feed)
        return (
            "airgate.triggers.feed.FeedTrigger",
            {**feed, "expired": list(self.feed.expired), "gateway_conn_id": self.gateway_conn_id},
        )

    def producer(self, handed_over: asyncio.Future[list[StateOfAsset]]) -> AcknowledgedProducer:
        """What polls the feed."""
        return _FeedProducer(self.gateway_conn_id, self.feed, handed_over)


class _FeedProducer(AcknowledgedProducer):
    """Polls one feed."""

    def __init__(self, gateway_conn_id: str, feed: Feed, handed_over: asyncio.Future[list[StateOfAsset]]) -> None:
        super().__init__(handed_over)
        self._conn_id = gateway_conn_id
        self._feed = feed
        self._positions: Positions | None = None

    async def read(self, states: list[StateOfAsset]) -> AsyncGenerator[Told, None]:
        """What the feed tells, page by page."""
        feed = self._feed
        self._positions = Positions(states, name_of("feed", self._conn_id, feed.path, dict(feed.query)))
        position = await self._begin(self._positions)
        failures = 0
        while True:
            try:
                response = await self._ask(position)
                turn = read_answer(feed, position, response.status, response.headers, response.bytes, clock.now())
            except Exception as error:
                if isinstance(error, GatewayError) and is_expired(feed, position, error.status):
                    log.warning(
                        "feed %s of %s does not know the cursor any longer (status %s): it is read from the %s on, and "
                        "what it has dropped meanwhile is lost",
                        *(feed.path, self._conn_id, error.status, feed.on_expired),
                    )
                    position = first_position(feed, feed.on_expired)
                    continue
                failures += 1
                await self._wait_out(error, failures)
                continue
            failures = 0
            batches = list(slices(turn.events, turn.unreadable))
            if batches or _matters(position, turn):
                yield Told(batches, turn.position.to_json())
            position = turn.position
            await clock.asleep(pause_after(feed, turn, random.random()))  # noqa: S311 - spreads polls

    async def settle(self, marks: list[Any]) -> None:
        """Remember the last of the positions."""
        assert self._positions is not None
        await self._positions.write(marks[-1])

    async def aclose(self) -> None:
        """Close the gateway's connections; other sources there open them again with their next poll."""
        await watches().gateways.close(self._conn_id)

    async def _begin(self, positions: Positions) -> FeedPosition:
        feed = self._feed
        stored = await positions.read()
        position = FeedPosition.read(stored)
        if position is not None:
            log.info("feed %s of %s goes on at its position", feed.path, self._conn_id)
            return position
        # One cannot tell a source that is new from one whose asset was gone from all DAGs for a while.
        log.warning(
            "feed %s of %s has no position%s and begins with start=%s",
            *(feed.path, self._conn_id, "" if stored is None else " that this release can read", feed.start),
        )
        return first_position(feed)

    async def _ask(self, position: FeedPosition) -> Response:
        query, headers = query_and_headers(self._feed, position)
        async with watches().gateways.hook(self._conn_id) as hook:
            request = hook.request(Call("GET", self._feed.path, params=query, headers=headers))
            return await hook.asend(request, expect=ANSWERS, deadline=clock.now() + _CALL_SECONDS)

    async def _wait_out(self, error: Exception, failures: int) -> None:
        feed = self._feed
        asked = error.retry_after if isinstance(error, GatewayError) else None
        pause = pause_after_failure(feed.interval, feed.longest_pause, failures, asked, random.random())  # noqa: S311
        log.warning("feed %s of %s cannot be read, again in %.0f s: %s", feed.path, self._conn_id, pause, error)
        await clock.asleep(pause)


def _matters(position: FeedPosition, turn: Turn) -> bool:
    """Whether a position is worth remembering although nothing was told: an ETag alone is not."""
    before, after = position, turn.position
    moved = (before.cursor, before.passing) != (after.cursor, after.passing)
    return moved or not set(after.seen) <= set(before.seen)
