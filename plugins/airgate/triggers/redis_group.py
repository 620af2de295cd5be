"""One consumer of a consumer group of a Redis stream."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Any

from airgate.client import clock
from airgate.policy.events.redis_entries import Entry

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_BLOCK = 5.0
"""Seconds that a read waits for new entries."""


class RedisGroup:
    """Reads a stream as a consumer.

    Args:
        client: A client that gives bytes.
        stream: The stream's key.
        group: The group.
        consumer: The consumer.
    """

    def __init__(self, client: Redis, stream: str, group: str, consumer: str) -> None:
        self._client: Any = client  # its stubs type what may be awaited as what may be either
        self._stream = stream
        self._group = group
        self._consumer = consumer

    async def create(self, start: str) -> None:
        """Create the group unless it is there.

        Args:
            start: ``earliest``, ``latest``, or the id of the entry that stands before the first one to read.
        """
        from redis.exceptions import ResponseError

        place = {"earliest": "0", "latest": "$"}.get(start, start)
        try:
            await self._client.xgroup_create(self._stream, self._group, id=place, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        else:
            log.warning("stream %s had no group %s: it begins with start=%s", self._stream, self._group, start)

    async def entries(self, limit: int, claim_after: float) -> AsyncGenerator[list[Entry], None]:
        """Entries as they come, without an end: first those that this consumer was handed before.

        Args:
            limit: Entries at once.
            claim_after: Seconds after which those of other consumers are taken over.
        """
        last = "0"
        while handed := await self._read(last, limit):
            last = handed[-1].id
            yield await self._counted(handed)
        claims = 0.0
        while True:
            if clock.now() >= claims:
                async for claimed in self._claimed(limit, claim_after):
                    yield claimed
                claims = clock.now() + claim_after / 2
            if new := await self._read(">", limit):
                yield new

    async def _read(self, after: str, limit: int) -> list[Entry]:
        answer = await self._client.xreadgroup(
            self._group,
            self._consumer,
            {self._stream: after},
            count=limit,
            # What was handed out before is there or not: nothing to wait for.
            block=int(_BLOCK * 1000) if after == ">" else None,
        )
        return _entries(answer[0][1]) if answer else []

    async def _claimed(self, limit: int, idle: float) -> AsyncGenerator[list[Entry], None]:
        start = "0-0"
        while True:
            answer = await self._client.xautoclaim(
                self._stream, self._group, self._consumer, int(idle * 1000), start, count=limit
            )
            # Redis 7 says which of them were deleted meanwhile; it has taken those off the list itself.
            start, taken = _text(answer[0]), _entries(answer[1])
            if taken:
                yield await self._counted(taken)
            if start == "0-0":
                return

    async def _counted(self, entries: list[Entry]) -> list[Entry]:
        """The entries with how often they were handed out."""
        pending = await self._client.xpending_range(
            self._stream, self._group, min=entries[0].id, max=entries[-1].id, count=100_000, consumername=self._consumer
        )
        times = {_text(one["message_id"]): int(one["times_delivered"]) for one in pending}
        return [Entry(entry.id, entry.fields, times.get(entry.id, 1)) for entry in entries]


def _entries(pairs: Iterable[Any]) -> list[Entry]:
    found = []
    for pair in pairs:
        if not pair or pair[0] is None:
            continue
        entry, fields = pair
        # A consumer's own entry that was deleted from the stream comes without fields.
        known = {_text(name): _text(value) for name, value in fields.items()} if fields else None
        found.append(Entry(_text(entry), known))
    return found


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
