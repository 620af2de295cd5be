"""The edge of one file: reads a request, has it decided, and sends the answer or passes the request on."""

import asyncio
import contextlib
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from airgate.edge.authorities import Authorities
from airgate.edge.pool import Pool
from airgate.edge.prompt import Prompt
from airgate.edge.proxy import Upstreams
from airgate.edge.reply import Receive, Reply, Send
from airgate.edge.service_asking import Asking
from airgate.edge.service_calls import ServiceCalls
from airgate.edge.service_loading import service_calls
from airgate.edge.settings import Settings
from airgate.edge.upload import ClientLeft
from airgate.edge.visit import KEY, LEFT
from airgate.spec.answer import INTERNAL_ERROR, Answer, problem
from airgate.spec.config import Gateway
from airgate.spec.extension_defaults import FrontLimits
from airgate.spec.gateway import Chosen, Claims, Forward, Outcome, act, admit, choose
from airgate.spec.message import Request
from airgate.spec.need import NeedKeys
from airgate.spec.services import ServiceCall
from airgate.spec.sign_in import SignIn

Scope = MutableMapping[str, Any]

_log = logging.getLogger("airgate.edge")
_ENDING = problem(503, "The edge is shutting down and waits no longer.", with_cors=True)
_NOT_A_PATH = problem(400, "The request target must be a path.", with_cors=False)


class Edge:
    """A compiled gateway file as an ASGI application.

    Runs under a server that gives `raw_path` and cancels the application when the client leaves, as
    `airgate.edge.server` does. Connections to upstreams close at the `lifespan` shutdown.
    """

    def __init__(
        self, gateway: Gateway, settings: Settings | None = None, services: ServiceCalls | None = None
    ) -> None:
        self._gateway = gateway
        self._services = services or service_calls("", {}, gateway.mode, None)
        self._connections = Pool()
        self._upstreams = Upstreams(settings or Settings.of(gateway.mode), self._connections)
        self._authorities = Authorities(gateway.mode)
        self.front = FrontLimits()
        """What holds before a route is known; the server's protocol bounds unfinished heads by it."""

    @property
    def gateway(self) -> Gateway:
        """The compiled file."""
        return self._gateway

    @property
    def services(self) -> ServiceCalls:
        """The stand-ins of services and hooks."""
        return self._services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "http":
            await self.serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"the edge serves no {scope['type']} connections")

    def take_over(self, earlier: "Edge") -> None:
        """Keep what the edge of an earlier file has learned: the keys of token issuers."""
        self._authorities.take_over(earlier._authorities)

    async def close(self) -> None:
        """Close all connections to other servers."""
        self._connections.close()
        self._services.close()
        await self._authorities.close()

    def told(self, chosen: Chosen, request: Request, claims: Claims, client: str) -> Outcome:
        """What a route would do with the request of a caller who was let in, without doing it."""
        return act(chosen, request, claims)

    def prompt(self, request: Request) -> Prompt | None:
        """The answer to a request without a body, where it is known at once."""
        return None

    def address(self, scope: Scope, request: Request) -> str | None:
        """The client's address, for whoever is told of the request."""
        client = scope.get("client")
        return client[0] if client else None

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._serve(scope, receive, send)
        except ClientLeft:
            return
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (LEFT,):
                await self._give_up(scope, send, _ENDING)
        except Exception:
            _log.exception("a request failed within the edge")
            await self._give_up(scope, send, INTERNAL_ERROR)

    async def _give_up(self, scope: Scope, send: Send, answer: Answer) -> None:
        request = Request(scope["method"], b"", b"", scope["headers"])
        with contextlib.suppress(RuntimeError):  # an answer that has begun stays as it is, cut short
            await Reply(self._gateway, request, send).whole(answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        reply = Reply(self._gateway, request, send)
        if not request.raw_path.startswith(b"/"):
            await reply.whole(_NOT_A_PATH)
            return
        chosen = choose(self._gateway, request)
        if isinstance(chosen, Answer):
            await reply.whole(chosen)
            return
        visit = scope.get(KEY)
        if visit is not None:
            visit.route = chosen.route.path
        admitted = admit(self._gateway, chosen.route, request, time.time())
        if isinstance(admitted, NeedKeys):
            admitted = await self._authorities.settle(admitted)
        if isinstance(admitted, Answer):
            await reply.whole(admitted)
            return
        if chosen.route.hook is not None:
            asking = Asking(self._services, scope, request, chosen, admitted, receive)
            stopped = await asking.before(chosen.route.hook)
            if stopped is not None:
                await reply.whole(stopped)
                return
            receive = asking.receive
        outcome = act(chosen, request, admitted)
        if isinstance(outcome, Answer):
            await reply.whole(outcome)
            return
        if not isinstance(outcome, Forward):
            asking = Asking(self._services, scope, request, chosen, admitted, receive)
            await reply.whole(await self._asked(outcome, request, asking))
            return
        if visit is not None:
            visit.server = outcome.server
        await self._upstreams.forward(outcome, request, receive, reply)

    async def _asked(self, outcome: SignIn | ServiceCall, request: Request, asking: Asking) -> Answer:
        """The answer of a service, or to a user who signs in."""
        if isinstance(outcome, ServiceCall):
            return await asking.answer(outcome)
        return await self._authorities.sign_in(outcome, request, asking.receive, asking.after)
