"""Stages that bound a request's body while it is streamed, or read it whole."""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from airgate.edge.front import declared_refusal, too_large, too_slow
from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.read_again import replayed
from airgate.edge.request_head import has_body
from airgate.spec.answer import Answer

Message = MutableMapping[str, Any]


class BodyRefused(Exception):
    """The body is too large, too slow, or the client is gone while sending it.

    Args:
        answer: For the client; None when it is gone.
    """

    def __init__(self, answer: Answer | None) -> None:
        super().__init__("the body was refused")
        self.answer = answer


def bounded(limit: int | None, seconds: float | None) -> Stage:
    """Refuse bodies that are too large (413) or that arrive too slowly (408), while they are streamed."""

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            if has_body(passage.request):
                declared = declared_refusal(passage.request, limit)
                if declared is not None:
                    await passage.reply.whole(declared)
                    return
                passage.receive = _Bounded(passage, limit, seconds).receive
            try:
                await handler(passage)
            except BodyRefused as refused:
                if refused.answer is not None and not passage.begun.started:
                    await passage.begun.whole(refused.answer)

        return handle

    return stage


class _Bounded:
    """The body of a passage, counted."""

    def __init__(self, passage: Passage, limit: int | None, seconds: float | None) -> None:
        self._passage = passage
        self._receive = passage.receive
        self._left = limit
        self._limit = limit
        self._seconds = seconds
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._complete = False

    async def receive(self) -> Message:
        """The next message.

        Raises:
            BodyRefused: too many bytes came, or they took too long.
        """
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(None if self._ends is None else self._ends - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise self._refused(too_slow(self._seconds or 0.0)) from None
        if message["type"] == "http.request":
            if self._left is not None:
                self._left -= len(message.get("body", b""))
                if self._left < 0:
                    raise self._refused(too_large(self._limit or 0))
            self._complete = not message.get("more_body", False)
        return message

    def _refused(self, answer: Answer) -> BodyRefused:
        self._passage.refusal = answer
        return BodyRefused(answer)


async def whole_body(passage: Passage) -> bytes:
    """The whole body of a passage; whoever receives after it gets it again.

    Raises:
        BodyRefused: it is too large or too slow, or the client is gone.
    """
    if passage.body is None:
        pieces: list[bytes] = []
        more = has_body(passage.request)
        while more:
            message = await passage.receive()
            if message["type"] == "http.disconnect":
                raise BodyRefused(None)
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        passage.body = b"".join(pieces)
        passage.receive = replayed(passage.body, passage.receive)
    return passage.body
