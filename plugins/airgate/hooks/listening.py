"""Opens an answer that has no end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from airgate.client.message import Request

if TYPE_CHECKING:
    from airgate.client.streamed import AsyncStreamedResponse
    from airgate.hooks.gateway import GatewayHook


@asynccontextmanager
async def listen(
    hook: GatewayHook, request: Request, *, silence: float, expect: Collection[int] | None = None
) -> AsyncIterator[AsyncStreamedResponse]:
    """Send a request whose answer goes on for as long as both sides want.

    Token, limits and pace are those of the hook's other calls; the connection is one of its own.

    Args:
        hook: Whose gateway; its connection was looked up already.
        request: What is sent.
        silence: Seconds without a byte after which the answer counts as broken off.
        expect: Statuses that count as success; None means 200 to 299.

    Raises:
        GatewayError: The typed error of what came instead.
    """
    from airgate.client.async_session import AsyncGatewaySession

    gateway = hook.gateway
    patient = replace(gateway, read_timeout=silence, retry=replace(gateway.retry, deadline=0.0))
    async with AsyncGatewaySession(patient, shared=hook._shared) as session:
        answer = await session.call(request, expect=expect, stream=True)
        async with answer:
            yield answer
