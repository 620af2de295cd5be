"""The asynchronous driver: carries calls out with aiohttp, for triggers and other code on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from types import TracebackType
from typing import Any, Literal, overload

from airgate.client import clock
from airgate.client.async_wire import AsyncWire
from airgate.client.effects import Ask, Event, Reply, Send, Wait
from airgate.client.flow import Flow, Shared, call_flow
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.outgoing import for_gateway, refuse_spent, without_secrets
from airgate.client.stand_in import stand_in_for
from airgate.client.streamed import AsyncStreamedResponse, is_success


class AsyncGatewaySession:
    """One gateway, one pool of connections for each event loop it is used on.

    It does what ``GatewaySession`` does, by the same rules, without holding up the loop.

    Args:
        gateway: Where and how to call.
        shared: What this session's calls know together with others; None for a start of its own.

    Raises:
        ValueError: When a file that TLS needs does not exist or cannot be read.
    """

    def __init__(self, gateway: Gateway, *, shared: Shared | None = None) -> None:
        self.gateway = gateway
        self._shared = shared or Shared.of(gateway)
        self._wire = AsyncWire(gateway)

    async def __aenter__(self) -> AsyncGatewaySession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._wire.close()

    @overload
    async def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = ...,
        deadline: float | None = ...,
        stream: Literal[True],
    ) -> AsyncStreamedResponse: ...

    @overload
    async def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = ...,
        deadline: float | None = ...,
        stream: bool = ...,
    ) -> Response: ...

    async def call(
        self,
        request: Request,
        *,
        expect: Collection[int] | None = None,
        deadline: float | None = None,
        stream: bool = False,
    ) -> Response:
        """Send the request until its answer is final.

        Args:
            request: What to send, unsigned.
            expect: Statuses that count as success; None means 200 to 299.
            deadline: Unix time by which the call must be over; None takes the gateway's setting.
            stream: Give an ``AsyncStreamedResponse`` as soon as the headers of the final answer are here. From then
                on nothing is repeated: a body that breaks off is an error where it is read.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        request = for_gateway(request, self.gateway)
        flow = call_flow(request, self.gateway, expect=expect, deadline=deadline, shared=self._shared)
        return await self._drive(flow, request, expect, stream)

    async def _drive(self, flow: Flow, request: Request, expect: Collection[int] | None, stream: bool) -> Response:
        event: Event = None
        opened: AsyncStreamedResponse | None = None
        ended = False
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Send):
                    if opened is not None:
                        await opened.aclose()
                    event = await self._send(effect, request, expect, stream)
                    opened = event if isinstance(event, AsyncStreamedResponse) else None
                    if opened is not None:
                        event = opened.head
                elif isinstance(effect, Wait):
                    await clock.asleep(effect.seconds)
                    event = None
                else:
                    assert isinstance(effect, Ask)
                    event = await _ask(effect, flow)
                effect = flow.send(event)
        except StopIteration as stop:
            response: Response = without_secrets(stop.value, self.gateway)
            streamed, opened, ended = opened, None, True
            return AsyncStreamedResponse.of(response, streamed) if stream else response
        finally:
            if opened is not None:
                await opened.aclose()
            if not ended:
                # Whatever the call holds at this moment, a slot for one, is given back: a question to the store again.
                await asyncio.shield(asyncio.to_thread(flow.close))

    async def _send(self, effect: Send, request: Request, expect: Collection[int] | None, stream: bool) -> Reply:
        refuse_spent(effect.request)
        stand_in = stand_in_for(self.gateway)
        if stand_in is not None:
            return stand_in.answer(effect, self.gateway)
        # What auth sends for a token is read whole.
        streams = stream and effect.request.method == request.method and effect.request.body is request.body
        return await self._wire.exchange(
            effect, stream=(lambda status: is_success(status, expect)) if streams else None
        )


async def _ask(effect: Ask, flow: Flow) -> Any:
    """Ask in a thread; the flow hears an answer that comes after a cancellation, too: it may be a slot to give back."""
    asking = asyncio.ensure_future(asyncio.to_thread(effect.question))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            flow.send(await asking)
        raise
