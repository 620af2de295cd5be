"""A service with a feed of events, behind a cursor, and the same events as a stream; also as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


def event(number: int) -> dict[str, Any]:
    """The event of that number, a CloudEvent."""
    return {"specversion": "1.0", "source": "/shop", "id": f"e{number}", "type": "order.placed", "data": {"n": number}}


@dataclass
class FeedService:
    """The events, the first of which are dropped if the test says so, and what was asked."""

    events: list[Any] = field(default_factory=list)
    dropped: int = 0
    """Cursors before this one are known no longer."""
    bad: list[web.Response] = field(default_factory=list)
    """Answers that come first, instead."""
    etags: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    connections: int = 0
    ids: bool = True
    """Whether messages of the stream have ids."""
    cut_after: int | None = None
    """Messages after which the stream breaks off."""
    silent: bool = False
    """Whether the stream says nothing any more."""
    over: bool = False
    """Whether the stream has nothing more to say for good."""
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, *records: Any) -> None:
        """Something happens."""
        self.events += records
        self.more.set()

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """One page."""
        self.asked.append({**request.query, "headers": dict(request.headers)})
        answer = self.bad.pop(0) if self.bad else self._page(request)
        self.statuses.append(answer.status)
        return answer

    def _page(self, request: web.Request) -> web.Response:
        start = int(request.query.get("cursor", "0"))
        if start < self.dropped:
            if "cursor" in request.query:
                return web.json_response({"detail": "the cursor has expired"}, status=410)
            start = self.dropped
        page = self.events[start : start + int(request.query.get("limit", "100"))]
        etag = f'"{start}-{len(page)}"'
        if self.etags and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        headers = {"ETag": etag} if self.etags else {}
        body = {"events": page, "next_cursor": str(start + len(page))}
        return web.json_response(body, headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The same as server-sent events."""
        self.connections += 1
        self.asked.append({"headers": dict(request.headers)})
        if self.over:
            return web.Response(status=204)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b": hello\nretry: 50\n\n")
        last = request.headers.get("Last-Event-ID")
        place = int(last) if last else 0
        sent = 0
        while True:
            while place < len(self.events) and not self.silent:
                record, place = self.events[place], place + 1
                text = record if isinstance(record, str) else json.dumps(record)
                name = f"id: {place}\n" if self.ids else ""
                await answer.write(f"{name}event: shop\ndata: {text}\n\n".encode())
                sent += 1
                if self.cut_after is not None and sent >= self.cut_after:
                    assert request.transport is not None
                    request.transport.abort()
                    return answer
            self.more.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.more.wait(), 0.2)
            if not self.silent:
                await answer.write(b": still here\n\n")

    async def add(self, request: web.Request) -> web.Response:
        """Something happens, as another process says."""
        numbers = (await request.json())["numbers"]
        self.tell(*(event(number) for number in numbers))
        return web.json_response({"events": len(self.events)})

    async def limits(self, _: web.Request) -> web.Response:
        """The sizes of pages that were asked for, in order, each time that another one was."""
        sizes = [asked["limit"] for asked in self.asked if "limit" in asked]
        return web.json_response([size for size, _ in itertools.groupby(sizes)])

    def app(self) -> web.Application:
        """Its endpoints."""
        app = web.Application()
        app.router.add_get("/feed", self.feed)
        app.router.add_get("/stream", self.stream)
        app.router.add_post("/-/events", self.add)
        app.router.add_get("/-/limits", self.limits)
        app.router.add_get("/-/health", _healthy)
        return app


async def _healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@asynccontextmanager
async def feed_service(service: FeedService) -> AsyncIterator[str]:
    """Serve it on this event loop; gives its address."""
    runner = web.AppRunner(service.app(), shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # asyncio's servers have them
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    web.run_app(FeedService().app(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
