"""Watches a Redis stream as a consumer group."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airgate.client import clock
from airgate.hooks.redis_url import redis_url
from airgate.policy.events.batch import slices
from airgate.policy.events.pauses import pause_after_failure
from airgate.policy.events.records import EventFields
from airgate.policy.events.redis_entries import Entry, read_entries
from airgate.triggers.acknowledged import AcknowledgedProducer, EventSource, Told
from airgate.triggers.positions import StateOfAsset
from airgate.triggers.redis_group import RedisGroup

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_ACK_TRIES = 4


class RedisStreamTrigger(EventSource):
    """Reads a Redis stream as one consumer of a group and tells its entries as events, for an ``AssetWatcher``.

    An entry is acknowledged (XACK) once Airflow has stored it, so the position is the group's, in Redis. What was
    handed out and not acknowledged is told again: the consumer's own after a restart at once, that of a consumer that
    is gone after ``claim_after`` seconds (XAUTOCLAIM). What is no event, and what was handed out too often, is told as
    unreadable and acknowledged, so that nothing is handed out for ever. Needs Redis 6.2 and ``airgate[redis]``.

    Args:
        stream: The stream's key.
        group: The consumer group, one for each asset; it is created where there is none.
        redis_conn_id: Connection of type ``redis``.
        consumer: Name of the consumer within the group. Airflow runs a trigger once, so one name does.
        field: Field of an entry with the event as JSON. An entry without it is a record of all its fields.
        source: Whose events these are, where entries do not say so; by default connection and stream.
        fields: Where the parts of an event stand in a record that is no CloudEvent. Without them it is an event with
            the entry's id.
        start: Where a new group begins: ``earliest``, ``latest``, or the id of the entry before.
        limit: Entries that are read at once.
        claim_after: Seconds after which an entry that another consumer was handed, and has not acknowledged, is taken
            over; more than such a consumer ever needs for one.
        most_deliveries: How often an entry is handed out before it counts as unreadable.

    Raises:
        ValueError: An argument is wrong; named.
    """

    def __init__(
        self,
        stream: str,
        group: str,
        *,
        redis_conn_id: str = "redis_default",
        consumer: str = "airgate",
        field: str = "event",
        source: str = "",
        fields: EventFields | Mapping[str, str] | None = None,
        start: str = "earliest",
        limit: int = 500,
        claim_after: float = 300.0,
        most_deliveries: int = 20,
    ) -> None:
        super().__init__()
        texts = {"stream": stream, "group": group, "consumer": consumer, "redis_conn_id": redis_conn_id, "start": start}
        for name, value in texts.items():
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} must be a text that is not empty, not {value!r:.40}")
        if limit < 1 or most_deliveries < 1:
            raise ValueError("limit and most_deliveries must be 1 or more")
        if claim_after < 1:
            raise ValueError(f"claim_after must be 1 or more seconds, not {claim_after:g}")
        self.stream = stream
        self.group = group
        self.redis_conn_id = redis_conn_id
        self.consumer = consumer
        self.field = field
        self.source = source or f"/{redis_conn_id}/{stream}"
        self.fields = EventFields(**fields) if isinstance(fields, Mapping) else fields
        self.start = start
        self.limit = limit
        self.claim_after = claim_after
        self.most_deliveries = most_deliveries

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and what the trigger was made of; nothing secret."""
        return (
            "airgate.triggers.redis_stream.RedisStreamTrigger",
            {
                "stream": self.stream,
                "group": self.group,
                "redis_conn_id": self.redis_conn_id,
                "consumer": self.consumer,
                "field": self.field,
                "source": self.source,
                "fields": None if self.fields is None else asdict(self.fields),
                "start": self.start,
                "limit": self.limit,
                "claim_after": self.claim_after,
                "most_deliveries": self.most_deliveries,
            },
        )

    def producer(self, handed_over: asyncio.Future[list[StateOfAsset]]) -> AcknowledgedProducer:
        """What reads the stream."""
        return _RedisProducer(self, handed_over)


class _RedisProducer(AcknowledgedProducer):
    """Reads one stream."""

    def __init__(self, trigger: RedisStreamTrigger, handed_over: asyncio.Future[list[StateOfAsset]]) -> None:
        super().__init__(handed_over)
        self._trigger = trigger
        self._client: Redis | None = None
        self._under_way: set[str] = set()
        """Entries that were told and are not acknowledged yet."""

    async def read(self, states: list[StateOfAsset]) -> AsyncGenerator[Told, None]:
        """What the stream has, the entries that were handed out before first."""
        trigger = self._trigger
        failures = 0
        while True:
            began = clock.now()
            try:
                group = RedisGroup(await self._connect(), trigger.stream, trigger.group, trigger.consumer)
                await group.create(trigger.start)
                async with aclosing(group.entries(trigger.limit, trigger.claim_after)) as handed:
                    async for entries in handed:
                        if (told := self._told(entries)) is not None:
                            yield told
            except Exception as error:
                failures = failures + 1 if clock.now() - began < _LONGEST_PAUSE else 1
                pause = pause_after_failure(1.0, _LONGEST_PAUSE, failures, None, random.random())  # noqa: S311
                log.warning(
                    "stream %s of %s cannot be read, again in %.0f s: %s",
                    *(trigger.stream, trigger.redis_conn_id, pause, _said(error)),
                )
                await self._disconnect()
                await clock.asleep(pause)

    async def settle(self, marks: list[Any]) -> None:
        """Acknowledge the entries."""
        ids = [entry for mark in marks for entry in mark]
        for tried in range(1, _ACK_TRIES + 1):
            try:
                client = await self._connect()
                await client.xack(self._trigger.stream, self._trigger.group, *ids)
            except Exception as error:
                if tried == _ACK_TRIES:
                    log.warning(
                        "%d entries of stream %s were kept and cannot be acknowledged, so they will be told twice: %s",
                        *(len(ids), self._trigger.stream, _said(error)),
                    )
                else:
                    await clock.asleep(0.2 * 2**tried)
            else:
                break
        self._under_way.difference_update(ids)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._disconnect()

    def _told(self, entries: Iterable[Entry]) -> Told | None:
        trigger = self._trigger
        fresh = [entry for entry in entries if entry.id not in self._under_way]
        if not fresh:
            return None
        events, unreadable = read_entries(
            fresh,
            stream=trigger.stream,
            source=trigger.source,
            field=trigger.field,
            fields=trigger.fields,
            most_deliveries=trigger.most_deliveries,
        )
        ids = [entry.id for entry in fresh]
        self._under_way.update(ids)
        return Told(list(slices(events, unreadable)), ids)

    async def _connect(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis

            # The connection is looked up in a way that blocks; anew each time, as its password may be another by now.
            url = await asyncio.to_thread(redis_url, self._trigger.redis_conn_id, "RedisStreamTrigger")
            if self._client is None:
                self._client = Redis.from_url(
                    url, socket_connect_timeout=5, socket_timeout=30, health_check_interval=30
                )
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.aclose()
            except Exception as error:
                log.debug("a connection to Redis was not closed well: %s", type(error).__name__)


def _said(error: Exception) -> str:
    """What went wrong; what the client says of a connection may name the address and the user."""
    if isinstance(error, ImportError):
        return "the extra airgate[redis] is not installed"
    # What the server says itself begins with a word such as WRONGTYPE or NOPERM.
    told = isinstance(error, ValueError) or type(error).__name__ == "ResponseError"
    return f"{type(error).__name__}: {error}" if told else type(error).__name__
