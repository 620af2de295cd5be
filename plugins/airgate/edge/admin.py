"""Pages about the edge, on a listener of their own: the gateway's port belongs to the routes of the file."""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import uvicorn

from airgate.edge.app import Scope
from airgate.edge.listing import Listed
from airgate.edge.metrics import CONTENT_TYPE, MetricsMissing
from airgate.edge.reply import Receive, Send

_log = logging.getLogger("airgate.edge")

_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class State:
    """What the pages tell, asked for with each request."""

    ready: Callable[[], bool]
    """Whether new requests are taken: not before all workers serve, and not in a drain."""
    routes: Callable[[], list[Listed]]
    metrics: Callable[[], bytes]


class Admin:
    """`/-/health`, `/-/ready`, `/-/routes` and `/-/metrics`, for GET and HEAD."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        status, kind, body = self._page(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _page(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, b'{"error":"only GET and HEAD"}'
        match path:
            case "/-/health":
                return 200, _JSON, b'{"healthy":true}'
            case "/-/ready":
                ready = self._state.ready()
                return (200 if ready else 503), _JSON, msgspec.json.encode({"ready": ready})
            case "/-/routes":
                return 200, _JSON, msgspec.json.encode(self._state.routes())
            case "/-/metrics":
                try:
                    return 200, CONTENT_TYPE, self._state.metrics()
                except MetricsMissing as missing:
                    return 501, _JSON, msgspec.json.encode({"error": str(missing)})
        return 404, _JSON, b'{"error":"pages are /-/health, /-/ready, /-/routes, /-/metrics"}'


async def administer(listener: socket.socket, state: State) -> None:
    """Serve the pages until cancelled."""
    config = uvicorn.Config(
        Admin(state), ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    try:
        await asyncio.Event().wait()
    finally:
        for each in server.servers:
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
