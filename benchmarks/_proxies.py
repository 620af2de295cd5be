"""Plain proxies on the usual libraries, for comparison: `python benchmarks/_proxies.py NAME PORT UPSTREAM`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


def starlette_aiohttp(upstream: str) -> Starlette:
    """Starlette in front of an aiohttp session, bodies streamed."""
    import aiohttp
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as app.state.session:
            yield

    async def pass_on(request: Request) -> Response:
        session: aiohttp.ClientSession = request.app.state.session
        response = await session.get(f"{upstream}{request.url.path}", headers=dict(request.headers))

        async def body() -> AsyncIterator[bytes]:
            async with response:
                async for piece in response.content.iter_any():
                    yield piece

        return StreamingResponse(body(), response.status, dict(response.headers))

    return Starlette(routes=[Route("/{path:path}", pass_on)], lifespan=lifespan)


def starlette_httpx(upstream: str) -> Starlette:
    """Starlette in front of an httpx client, bodies streamed."""
    import httpx
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=upstream, limits=limits, trust_env=False) as app.state.client:
            yield

    async def pass_on(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        response = await client.send(
            client.build_request("GET", request.url.path, headers=request.headers), stream=True
        )
        headers = dict(response.headers)
        return StreamingResponse(
            response.aiter_raw(), response.status_code, headers, background=BackgroundTask(response.aclose)
        )

    return Starlette(routes=[Route("/{path:path}", pass_on)], lifespan=lifespan)


def main() -> None:
    """Serve until a signal comes."""
    name, port, upstream = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    import uvicorn

    app = {"starlette_aiohttp": starlette_aiohttp, "starlette_httpx": starlette_httpx}[name](upstream)
    uvicorn.run(app, port=port, access_log=False, log_level="error")


if __name__ == "__main__":
    main()
