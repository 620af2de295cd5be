"""The ASGI app: reads a request, has it decided, and sends the answer or passes the request on."""

import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from airgate.edge.reply import Receive, Reply, Send
from airgate.edge.settings import Settings
from airgate.spec.answer import Answer, problem
from airgate.spec.config import Gateway
from airgate.spec.gateway import decide
from airgate.spec.message import Request

if TYPE_CHECKING:
    from airgate.edge.proxy import Upstreams

Scope = MutableMapping[str, Any]

_NOT_A_PATH = problem(400, "The request target must be a path.", with_cors=False)


class Edge:
    """A compiled gateway file as an ASGI application.

    Runs under any ASGI server that gives `raw_path`. Connections to upstreams close at the `lifespan` shutdown.
    """

    def __init__(self, gateway: Gateway, settings: Settings | None = None) -> None:
        self._gateway = gateway
        self._settings = settings or Settings.of(gateway.mode)
        self._upstreams: Upstreams | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"the edge serves no {scope['type']} connections")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if self._gateway.calls_upstreams:
            self._connected()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._upstreams is not None:
            await self._upstreams.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        reply = Reply(self._gateway, request, send)
        if not request.raw_path.startswith(b"/"):
            await reply.whole(_NOT_A_PATH)
            return
        outcome = decide(self._gateway, request, time.time())
        if isinstance(outcome, Answer):
            await reply.whole(outcome)
        else:
            await self._connected().forward(outcome, request, receive, reply)

    def _connected(self) -> "Upstreams":
        """The way to the upstreams. Its HTTP client is half of the start-up time; static answers do without."""
        if self._upstreams is None:
            from airgate.edge.proxy import Upstreams

            self._upstreams = Upstreams(self._settings)
        return self._upstreams
