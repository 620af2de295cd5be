"""Compatible mode: a request on its way to hooks and services, its body read once and given to all of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airgate.edge.read_again import replayed
from airgate.edge.reply import Receive
from airgate.edge.request_head import has_body
from airgate.edge.service_calls import Asked, ServiceCalls
from airgate.edge.upload import ClientLeft
from airgate.edge.visit import KEY
from airgate.spec.answer import Answer
from airgate.spec.gateway import Chosen, Claims
from airgate.spec.mapping import forwarded_query
from airgate.spec.message import Request, header_text
from airgate.spec.services import Function, ServiceCall


class Asking:
    """One request.

    Args:
        services: The stand-ins.
        scope: The request's ASGI scope.
        request: The request.
        chosen: Its route.
        claims: Of its token.
        receive: Gives its body.
    """

    def __init__(
        self,
        services: ServiceCalls,
        scope: Mapping[str, Any],
        request: Request,
        chosen: Chosen,
        claims: Claims,
        receive: Receive,
    ) -> None:
        self._services = services
        self._scope = scope
        self._request = request
        self._chosen = chosen
        self._claims = claims
        self.receive = receive
        """Gives the body to whoever comes next, also when it has been read."""

    async def before(self, hook: Function) -> Answer | None:
        """The answer with which the hook of the route stops the request; None when it goes on."""
        return await self._services.before(hook, await self._asked())

    async def answer(self, call: ServiceCall) -> Answer:
        """The answer of the route's service."""
        visit = self._scope.get(KEY)
        if visit is not None:
            visit.server = call.alias
        return await self._services.answer(call, await self._asked())

    async def after(self, hook: Function, body: bytes, claims: Mapping[str, object]) -> Answer | None:
        """The answer when the hook at the end of a sign-in fails."""
        asked = request_of(self._request, self._chosen, self._scope.get("scheme", "http"), body)
        return await self._services.after(hook, replace(asked, claims=claims))

    async def _asked(self) -> Asked:
        body = await self._whole_body() if has_body(self._request) else b""
        asked = request_of(self._request, self._chosen, self._scope.get("scheme", "http"), body)
        return replace(asked, claims=self._claims)

    async def _whole_body(self) -> bytes:
        pieces: list[bytes] = []
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientLeft
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(pieces)
        self.receive = replayed(body, self.receive)
        return body


def request_of(request: Request, chosen: Chosen, scheme: str, body: bytes) -> Asked:
    """A request as it came, for stand-ins; the claims are still to be put in."""
    headers = [(name.decode(), header_text(value)) for name, value in request.headers]
    url = url_of(scheme, request.header("host") or "localhost", request, chosen)
    return Asked(request.method, url, headers, body, chosen, None)


def url_of(scheme: str, host: str, request: Request, chosen: Chosen) -> str:
    """The absolute URL of a request: its path as routing saw it, its query as it goes to servers."""
    query = forwarded_query(None, request, None)
    return f"{scheme}://{host}{chosen.path}{'?' if query else ''}{query}"
