"""The notices service: what airports tell, page by page behind a cursor or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from hashlib import blake2b
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from include.services.acting import Acting
from include.services.bodies import read
from include.services.faults import FaultSettings, Kind
from include.services.notices_store import Notice, Store, Told
from include.services.parameters import Refused, idempotency_key, page_size
from include.services.severed import TRANSPORT
from include.services.upstream import Page, answer, http_error, refused

HEARTBEAT: Final = 2.0
"""Seconds of silence after which a stream says that it is still there."""
RECONNECT: Final = 1000
"""Milliseconds that a stream's client is asked to wait before it comes back."""
_BATCH: Final = 100


class Notices(Acting):
    """The service's state in its process; the notices are in the store."""

    store: Store

    def routes(self) -> list[Route]:
        """What is served."""
        self.news = asyncio.Event()
        return [
            Route("/notices", self._served(self._page)),
            Route("/notices", self._served(self._publish, self._notice_luck), methods=["POST"]),
            Route("/notices/stream", self._stream),
            Route("/-/health", self._health),
            Route("/-/truth", self._truth),
            Route("/-/faults", self._show_settings),
            Route("/-/faults", self._switch, methods=["POST"]),
            Route("/-/reset", self._reset, methods=["POST"]),
        ]

    # -- what it tells --------------------------------------------------------------------------------------------

    def _page(self, request: Request, body: bytes) -> Response:
        limit = page_size(request, "limit")
        position = self.store.number(request.query_params.get("after"), "after")
        found = self.store.after(position, limit + 1)
        page, more = found[:limit], len(found) > limit
        told = [*self._again(position), *page] if page else []
        whole = {
            "notices": [self.store.event(each) for each in told],
            "next": self.store.cursor(page[-1].number if page else position),
            "more": more,
        }
        response = answer(whole, headers={"Cache-Control": "no-cache"})
        etag = f'"{blake2b(bytes(response.body), digest_size=12).hexdigest()}"'
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": etag, "Cache-Control": "no-cache"})
        response.headers["ETag"] = etag
        return response

    def _again(self, position: int) -> list[Told]:
        """What was told before and is told once more, as by a feed that keeps no book of its clients."""
        return self.store.before(position, self.settings.repeated) if self.settings.repeated else []

    async def _stream(self, request: Request) -> Response:
        self.counts.requests += 1
        cursor = request.headers.get("last-event-id") or request.query_params.get("after")
        position = self.store.number(cursor, "after")
        decision = self._decided(request, None)
        if delay := decision.delay + self.settings.latency:
            await asyncio.sleep(delay)
        if decision.kind not in {Kind.SERVED, Kind.CUT}:
            return self._carried_out(decision, Page({}, 0))
        if decision.kind is Kind.CUT:
            self.counts.dropped += 1
        else:
            self.counts.pages += 1
            self.counts.slow += bool(decision.delay)
        messages = self._messages(request, position, cut=decision.kind is Kind.CUT)
        return StreamingResponse(messages, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _messages(self, request: Request, position: int, *, cut: bool) -> AsyncIterator[bytes]:
        yield f"retry: {RECONNECT}\n\n".encode()
        waiting = self._again(position)
        while True:
            news = self.news  # before the look, so that what is published after it is not missed
            waiting += self.store.after(position, _BATCH)
            for told in waiting:
                message = self._message(told)
                if cut:
                    yield message[: len(message) // 2]
                    await _hang_up(request)
                yield message
                position = max(position, told.number)
            full, waiting = len(waiting) >= _BATCH, []
            if full:
                continue
            try:
                await asyncio.wait_for(news.wait(), HEARTBEAT)
            except TimeoutError:
                yield b": still here\n\n"

    def _message(self, told: Told) -> bytes:
        event = msgspec.json.encode(self.store.event(told))
        return f"id: {self.store.cursor(told.number)}\nevent: notice\ndata: ".encode() + event + b"\n\n"

    # -- what it takes --------------------------------------------------------------------------------------------

    def _publish(self, request: Request, body: bytes) -> Response:
        key = idempotency_key(request) if self.settings.honours_keys else None
        told, again = self.store.publish(read(body, Notice), key)
        if not again:
            self.news.set()
            self.news = asyncio.Event()
        return answer(self.store.event(told), 201, {"Idempotent-Replayed": "true"} if again else {})

    def _notice_luck(self, request: Request, body: bytes) -> str:
        """A notice's luck is its own: it goes by what it says, not by keys, which are drawn."""
        return f"POST /notices?notice={blake2b(body, digest_size=8).hexdigest()}"

    # -- switches -------------------------------------------------------------------------------------------------

    async def _truth(self, request: Request) -> Response:
        return answer({"service": self.name, **self.store.truth(), "served_counts": asdict(self.counts)})

    async def _reset(self, request: Request) -> Response:
        self.store.reset()
        return await super()._reset(request)


async def _hang_up(request: Request) -> None:
    """End the connection, and wait to be ended with it."""
    request.scope[TRANSPORT].close()
    await asyncio.Event().wait()


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps the notices; None to keep them in memory.
    """
    notices = Notices("notices", settings)
    notices.store = Store(store or ":memory:")
    app = Starlette(routes=notices.routes(), exception_handlers={Refused: refused, HTTPException: http_error})
    app.router.redirect_slashes = False  # a redirection would name this process's own address
    return app
