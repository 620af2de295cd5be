"""Watches a stream of server-sent events behind the gateway."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Literal

from airgate.client import clock
from airgate.hooks.call import Call
from airgate.hooks.listening import listen
from airgate.policy.errors import GatewayError
from airgate.policy.events.batch import slices
from airgate.policy.events.event_stream import EventStreamParser, Message
from airgate.policy.events.pauses import pause_after_failure, spread
from airgate.policy.events.records import EventFields
from airgate.policy.events.stored_arguments import refuse_secrets
from airgate.policy.events.stream_messages import read_messages
from airgate.triggers.acknowledged import AcknowledgedProducer, EventSource, Told
from airgate.triggers.gathering import gathered
from airgate.triggers.positions import Positions, StateOfAsset, name_of
from airgate.triggers.watch import watches

log = logging.getLogger(__name__)

_VERSION = 1
_ASKED = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
_MOST_RETRY = 300.0
"""Seconds; a server that asks for a longer way back is asked again all the same."""


class EventStreamTrigger(EventSource):
    """Listens to server-sent events and tells them as events, for an ``AssetWatcher``.

    After a break it asks for what came after the last id that Airflow has stored the message of (``Last-Event-ID``),
    so a server that keeps its messages for a while loses none. Where messages have no ids, those of a break are lost.
    Errors of the service are logged and waited out; a 204, by which a server says that the stream is over, is asked
    again every ``ended_pause`` seconds. Messages that are no events are told as unreadable.

    Args:
        path: Path of the stream below the gateway's address.
        gateway_conn_id: Connection of type ``gateway``.
        query: Query parameters.
        headers: Headers beside the connection's; none may be secret.
        types: Only messages of these types (their ``event`` field, ``message`` where it is missing); None for all.
        source: Whose events these are, where messages do not say so; by default connection and path.
        fields: Where the parts of an event stand in data that is no CloudEvent. Without them such a message is an event
            with the id and the type of the message.
        start: Where to begin without a position: ``latest``, or ``{"id": …}`` to be sent as ``Last-Event-ID``.
        heartbeat: Seconds without a byte after which the connection counts as dead: more than the server's own pause
            between comments.
        reconnect: Seconds before the next connection, unless the server names them with ``retry``.
        longest_pause: Seconds between tries, at most, when connections fail.
        ended_pause: Seconds between tries when the server has said that the stream is over.
        linger: Seconds that a message waits for others to share its asset event.

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
        types: Collection[str] | str | None = None,
        source: str = "",
        fields: EventFields | Mapping[str, str] | None = None,
        start: Literal["latest"] | Mapping[str, str] = "latest",
        heartbeat: float = 90.0,
        reconnect: float = 3.0,
        longest_pause: float = 300.0,
        ended_pause: float = 900.0,
        linger: float = 0.5,
    ) -> None:
        super().__init__()
        if not isinstance(path, str) or not path:
            raise ValueError(f"path must be a text that is not empty, not {path!r:.40}")
        if isinstance(types, str):
            types = [types]
        if isinstance(start, Mapping):
            if set(start) != {"id"} or not isinstance(start["id"], str):
                raise ValueError('start must be "latest" or {"id": a text}')
        elif start != "latest":
            raise ValueError(f'start must be "latest" or {{"id": …}}, not {start!r:.40}')
        for name, value in (("heartbeat", heartbeat), ("reconnect", reconnect), ("longest_pause", longest_pause)):
            if value <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {value:g}")
        if ended_pause <= 0 or linger < 0:
            raise ValueError("ended_pause must be more than 0 seconds, linger 0 or more")
        self.gateway_conn_id = gateway_conn_id
        self.path = path
        self.query = dict(query or {})
        self.headers = dict(headers or {})
        refuse_secrets(self.query, self.headers)
        self.types = None if types is None else sorted(types)
        self.source = source or f"/{gateway_conn_id}/{path.lstrip('/')}"
        self.fields = EventFields(**fields) if isinstance(fields, Mapping) else fields
        self.start: Literal["latest"] | dict[str, str] = dict(start) if isinstance(start, Mapping) else start
        self.heartbeat = heartbeat
        self.reconnect = reconnect
        self.longest_pause = longest_pause
        self.ended_pause = ended_pause
        self.linger = linger

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and what the trigger was made of; nothing secret."""
        return (
            "airgate.triggers.event_stream.EventStreamTrigger",
            {
                "path": self.path,
                "gateway_conn_id": self.gateway_conn_id,
                "query": self.query,
                "headers": self.headers,
                "types": self.types,
                "source": self.source,
                "fields": None if self.fields is None else asdict(self.fields),
                "start": self.start,
                "heartbeat": self.heartbeat,
                "reconnect": self.reconnect,
                "longest_pause": self.longest_pause,
                "ended_pause": self.ended_pause,
                "linger": self.linger,
            },
        )

    def producer(self, handed_over: asyncio.Future[list[StateOfAsset]]) -> AcknowledgedProducer:
        """What listens."""
        return _StreamProducer(self, handed_over)


class _StreamProducer(AcknowledgedProducer):
    """Listens to one stream."""

    def __init__(self, stream: EventStreamTrigger, handed_over: asyncio.Future[list[StateOfAsset]]) -> None:
        super().__init__(handed_over)
        self._stream = stream
        self._positions: Positions | None = None
        self._last_id = ""
        self._retry = stream.reconnect
        self._heard = False
        """Whether the connection of this moment has brought a byte."""
        self._warned = False

    async def read(self, states: list[StateOfAsset]) -> AsyncGenerator[Told, None]:
        """What the stream tells, connection after connection."""
        stream = self._stream
        self._positions = Positions(states, name_of("stream", stream.gateway_conn_id, stream.path, stream.query))
        self._last_id = await self._begin(self._positions)
        failures = 0
        while True:
            self._heard = False
            pause: float
            try:
                async with aclosing(self._listen()) as told:
                    async for each in told:
                        yield each
            except _Ended:
                failures, pause = 0, spread(stream.ended_pause, random.random())  # noqa: S311 - spreads connections
                log.info("stream %s of %s is over, asked again in %.0f s", stream.path, stream.gateway_conn_id, pause)
            except Exception as error:
                failures = 1 if self._heard else failures + 1
                asked = error.retry_after if isinstance(error, GatewayError) else None
                longest = max(stream.longest_pause, self._retry)
                pause = pause_after_failure(self._retry, longest, failures, asked, random.random())  # noqa: S311
                log.warning(
                    "stream %s of %s has broken off, again in %.1f s: %s",
                    *(stream.path, stream.gateway_conn_id, pause, error),
                )
            else:
                # The server has closed it; many do so every few minutes.
                failures, pause = 0, spread(self._retry, random.random())  # noqa: S311
            await clock.asleep(pause)

    async def settle(self, marks: list[Any]) -> None:
        """Remember the last of the ids."""
        assert self._positions is not None
        if marks[-1]:
            await self._positions.write({"version": _VERSION, "last_event_id": marks[-1]})

    async def aclose(self) -> None:
        """Close the gateway's connections; other sources there open them again."""
        await watches().gateways.close(self._stream.gateway_conn_id)

    async def _begin(self, positions: Positions) -> str:
        stream = self._stream
        stored = await positions.read()
        if stored is not None and stored.get("version") == _VERSION:
            log.info("stream %s of %s goes on after its last id", stream.path, stream.gateway_conn_id)
            return str(stored["last_event_id"])
        log.warning(
            "stream %s of %s has no position and begins with start=%s",
            *(stream.path, stream.gateway_conn_id, stream.start),
        )
        return stream.start["id"] if isinstance(stream.start, dict) else ""

    async def _listen(self) -> AsyncGenerator[Told, None]:
        """One connection.

        Raises:
            _Ended: The server says that the stream is over.
            GatewayError: The connection failed or broke off.
        """
        stream = self._stream
        headers = {**stream.headers, **_ASKED}
        if self._last_id.isascii() and self._last_id.isprintable():
            headers |= {"Last-Event-ID": self._last_id} if self._last_id else {}
        else:
            log.warning(
                "the last id of stream %s of %s has characters that cannot be sent: what came meanwhile is lost",
                *(stream.path, stream.gateway_conn_id),
            )
        async with watches().gateways.hook(stream.gateway_conn_id) as hook:
            request = hook.request(Call("GET", stream.path, params=stream.query, headers=headers))
            async with listen(hook, request, silence=stream.heartbeat, expect={200, 204}) as answer:
                if answer.status == 204:
                    raise _Ended
                kind = answer.headers.get("content-type", "")
                if kind.partition(";")[0].strip().lower() != "text/event-stream":
                    raise answer.head.invalid(f"the answer must be text/event-stream, not {kind!r:.80}")
                parser = EventStreamParser(self._last_id)
                async with aclosing(gathered(self._heeded(answer.aiter_bytes()), parser, stream.linger)) as parts:
                    async for messages in parts:
                        self._retry = min(max(parser.retry or self._retry, 0.1), _MOST_RETRY)
                        told = self._told(messages)
                        self._last_id = messages[-1].id
                        yield told
                self._retry = min(max(parser.retry or self._retry, 0.1), _MOST_RETRY)

    async def _heeded(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._heard = True
            yield piece

    def _told(self, messages: list[Message]) -> Told:
        stream = self._stream
        events, unreadable = read_messages(
            messages, types=stream.types, source=stream.source, fields=stream.fields, where=stream.path
        )
        if not messages[-1].id and not self._warned:
            self._warned = True
            log.warning(
                "the messages of stream %s of %s have no ids: what comes while the connection is broken is lost",
                *(stream.path, stream.gateway_conn_id),
            )
        return Told(list(slices(events, unreadable)), messages[-1].id)


class _Ended(Exception):
    """The server says that nothing more comes."""
