"""Gathers messages that come one by one, so that many share an asset event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from airgate.policy.events.batch import MOST_BYTES, MOST_EVENTS
from airgate.policy.events.event_stream import EventStreamParser, Message

_AHEAD = 16
"""Pieces that are read before they are looked at; what is beyond waits in the connection."""


async def gathered(
    pieces: AsyncIterator[bytes], parser: EventStreamParser, linger: float
) -> AsyncGenerator[list[Message], None]:
    """The messages of a stream, several at once: none waits longer than it lingers.

    Args:
        pieces: Of the stream, as they come.
        parser: Makes messages of them.
        linger: Seconds that a message waits for others.

    Raises:
        Exception: What reading the pieces raised, after the messages that had come before it.
    """
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(_AHEAD)
    reading = asyncio.create_task(_read(pieces, came))
    waiting: list[Message] = []
    size, ends = 0, 0.0
    try:
        while True:
            try:
                patience = max(0.0, ends - loop.time()) if waiting else None
                piece = await asyncio.wait_for(came.get(), patience)
            except TimeoutError:
                yield waiting
                waiting, size = [], 0
                continue
            if not isinstance(piece, bytes):
                break
            for message in parser.feed(piece):
                if not waiting:
                    ends = loop.time() + linger
                waiting.append(message)
                size += len(message.data)
                if len(waiting) >= MOST_EVENTS or size >= MOST_BYTES:
                    yield waiting
                    waiting, size = [], 0
        if waiting:
            yield waiting
        if isinstance(piece, Exception):
            raise piece
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(pieces: AsyncIterator[bytes], came: asyncio.Queue[bytes | Exception | None]) -> None:
    """Put what comes into the queue, and how it ended last."""
    try:
        async for piece in pieces:
            await came.put(piece)
    except Exception as error:
        await came.put(error)
    else:
        await came.put(None)
