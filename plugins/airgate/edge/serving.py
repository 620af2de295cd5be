"""The ASGI app that is served: passes requests to the edge of the current file, and tells about them."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from airgate.edge.app import Edge, Scope
from airgate.edge.reply import Message, Receive, Send
from airgate.edge.visit import KEY, REQUEST_ID, Visit, named, request_id
from airgate.spec.message import Request


class Listener(Protocol):
    """Hears of every request that is over."""

    def tell(self, visit: Visit) -> None:
        """Take what is told about a request."""

    def flush(self) -> None:
        """Write what waits to be written; called at the end."""


@dataclass(slots=True)
class Site:
    """An edge and the requests that are under way in it."""

    edge: Edge
    running: int = 0
    retired: bool = False


class Serving:
    """Serves one edge at a time. Another one can take over between two requests; those under way end on the old one.

    Args:
        edge: The edge of the first file.
        listeners: Who hears of requests.
        ids: Whether requests get an id and a trace, which upstream and client see.
    """

    def __init__(self, edge: Edge, listeners: Sequence[Listener] = (), *, ids: bool = True) -> None:
        self._site = Site(edge)
        self._listeners = listeners
        self._ids = ids
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def edge(self) -> Edge:
        """The edge that takes new requests."""
        return self._site.edge

    def replace(self, edge: Edge) -> None:
        """Let another edge take over; the old one closes its connections when its last request is over."""
        edge.take_over(self._site.edge)
        old, self._site = self._site, Site(edge)
        old.retired = True
        if not old.running:
            self._end(old)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "http":
            site = self._site
            site.running += 1
            try:
                if self._ids or self._listeners:
                    await self._told(site.edge, scope, receive, send)
                else:
                    await site.edge.serve(scope, receive, send)
            finally:
                site.running -= 1
                if site.retired and not site.running:
                    self._end(site)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"the edge serves no {scope['type']} connections")

    def at_once(self, scope: Scope, *, keep_alive: bool) -> bytes | None:
        """The whole answer to a request without a body, where it is known without asking anybody: a short cut.

        Args:
            scope: As for a call.
            keep_alive: Whether the connection stays.
        """
        edge = self._site.edge
        request = Request(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        prompt = edge.prompt(request)
        if prompt is None:
            return None
        own = request_id(request.headers) if self._ids else None
        if self._listeners:
            own_id, trace_id, _ = named(request.headers)
            visit = Visit(request.method, edge.address(scope, request), own_id, trace_id, prompt.route)
            visit.status, visit.sent, visit.complete = prompt.status, len(prompt.body), True
            own = own_id.encode() if self._ids else None
            for listener in self._listeners:
                listener.tell(visit)
        return prompt.written(own, keep_alive=keep_alive)

    async def _told(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, name it, and tell of it."""
        request_id, trace_id, headers = named(scope["headers"])
        client = scope.get("client")
        visit = Visit(scope["method"], client[0] if client else None, request_id, trace_id)
        scope[KEY] = visit
        shown = (REQUEST_ID, request_id.encode()) if self._ids else None
        if shown:
            scope["headers"] = headers

        def noted(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                visit.status = visit.status or message["status"]
                if shown:
                    told = [each for each in message["headers"] if each[0] != REQUEST_ID]
                    told.append(shown)
                    message["headers"] = told
            else:
                visit.sent += len(message["body"])
                visit.complete = not message.get("more_body", False)
            return send(message)

        try:
            await edge.serve(scope, receive, noted)
        finally:
            for listener in self._listeners:
                listener.tell(visit)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.gather(self._site.edge.close(), *self._ending)
        for listener in self._listeners:
            listener.flush()
        await send({"type": "lifespan.shutdown.complete"})

    def _end(self, site: Site) -> None:
        task = asyncio.create_task(site.edge.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
