"""The edge in strict mode: each route has a handler of its own, made of only the policies that it needs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from msgspec import UnsetType

from airgate.edge.app import Edge, Scope
from airgate.edge.forwarding import Proxies
from airgate.edge.front import front_refusal
from airgate.edge.named_files import NamedFiles
from airgate.edge.passage import Passage, PolicyReply
from airgate.edge.prompt import Prompt
from airgate.edge.refusal import refusal
from airgate.edge.reply import Receive, Send, own_headers
from airgate.edge.route_handlers import RouteHandlers, is_fixed
from airgate.edge.route_policies import CannotServe, FilePlan, RoutePlan, plan
from airgate.edge.service_calls import ServiceCalls
from airgate.edge.service_loading import service_calls
from airgate.edge.settings import Settings
from airgate.edge.shared_state import SharedState
from airgate.edge.strict_forward import forwarded
from airgate.edge.visit import KEY
from airgate.spec.answer import NO_MATCH, Answer
from airgate.spec.config import Gateway, load
from airgate.spec.extension import FileLimits
from airgate.spec.extension_defaults import STRICT_CALLING, front_limits
from airgate.spec.gateway import Chosen, Claims, Forward, Outcome, act, choose
from airgate.spec.message import Request
from airgate.spec.routing import ANY_METHOD


def strict_edge(
    text: str,
    environment: Mapping[str, str],
    folder: Path | None,
    settings: Settings,
    files: NamedFiles | None = None,
    *,
    stand_ins: Path | None = None,
) -> "PolicedEdge":
    """The edge for a file that the strict checks have passed.

    Args:
        text: The file.
        environment: The variables.
        folder: Where the file stands, with the schemas and documents that it names.
        settings: Timeouts of calls whose route names none.
        files: Notes which of those files are read.
        stand_ins: Folder with the modules that run in place of services and hooks.

    Raises:
        CannotServe: a schema, document, operation or stand-in that a route names is not there.
    """
    default = replace(STRICT_CALLING, connect=settings.connect_timeout, total=settings.total_timeout)
    policies = plan(text, environment, folder, default, files)
    services = service_calls(text, environment, "strict", stand_ins)
    missing = services.problems()
    if missing:
        services.close()
        raise CannotServe(missing)
    return PolicedEdge(load(text, environment, "strict"), policies, settings, services)


class PolicedEdge(Edge):
    """An edge whose routes have policies."""

    def __init__(
        self,
        gateway: Gateway,
        policies: FilePlan,
        settings: Settings | None = None,
        services: ServiceCalls | None = None,
    ) -> None:
        super().__init__(gateway, settings, services)
        file = policies.file
        self.front = front_limits(FileLimits() if isinstance(file.limits, UnsetType) else file.limits)
        self._proxies = Proxies.of([] if isinstance(file.trusted_proxies, UnsetType) else file.trusted_proxies)
        self._methods = sorted({route.method for route in policies.routes} - {ANY_METHOD})
        self._plans = policies.routes
        self._shared = SharedState(policies)
        self._maker = RouteHandlers(
            gateway, policies, self._shared, self._services, self._connections, self._authorities
        )
        self._handlers = {route.position: self._maker.handler(route) for route in self._plans}
        self._prompts = dict(filter(None, map(self._fixed, self._plans)))

    def take_over(self, earlier: Edge) -> None:
        """Go on counting where the edge of an earlier file counts, also for its requests that are under way."""
        super().take_over(earlier)
        if isinstance(earlier, PolicedEdge):
            self._shared.take_over(earlier._shared)
            self._handlers = {route.position: self._maker.handler(route) for route in self._plans}

    def told(self, chosen: Chosen, request: Request, claims: Claims, client: str) -> Outcome:
        """What a route would do with the request of a caller who was let in, without doing it."""
        outcome = act(chosen, request, claims)
        if not isinstance(outcome, Forward):
            return outcome
        sender, route = self._proxies.sender(client, "http", request), self._plans[chosen.route.position]
        outcome = forwarded(outcome, sender, chosen, request, route)
        if route.speaker is None or not isinstance(outcome, Forward):
            return outcome
        caller = route.speaker.caller(claims)
        return caller if isinstance(caller, Answer) else route.speaker.shown(outcome, route.mapped)

    def prompt(self, request: Request) -> Prompt | None:
        """The answer of a route that gives everybody the same, where nothing about the request is in doubt."""
        known = self._prompts.get((request.method, request.raw_path))
        if known is None or front_refusal(request, self.front) is not None:
            return None
        if self._gateway.cors and request.header("origin") is not None:
            return None
        return known

    def address(self, scope: Scope, request: Request) -> str | None:
        """The client's address, as far as it can be known."""
        client = scope.get("client")
        return self._proxies.sender(client[0] if client else None, scope.get("scheme", "http"), request).address

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        reply = PolicyReply(self._gateway, request, send)
        refused = front_refusal(request, self.front)
        if refused is not None:
            await reply.whole(refused)
            return
        if not request.raw_path.startswith(b"/"):
            await reply.whole(refusal(400, "The request target must be a path."))
            return
        chosen = choose(self._gateway, request)
        if isinstance(chosen, Answer):
            await reply.whole(self._unmatched(request, chosen))
            return
        client = scope.get("client")
        sender = self._proxies.sender(client[0] if client else None, scope.get("scheme", "http"), request)
        visit = scope.get(KEY)
        if visit is not None:
            visit.route, visit.client = chosen.route.path, sender.address
        passage = Passage(request, chosen, sender, receive, reply, reply, visit=visit)
        await self._handlers[chosen.route.position](passage)

    def _fixed(self, route: RoutePlan) -> tuple[tuple[str, bytes], Prompt] | None:
        """The answer of a route that gives everybody the same, by the method and path that lead to it."""
        request = Request(route.method, route.path.encode(), b"", ())
        chosen = choose(self._gateway, request)
        if not is_fixed(route) or route.method in (ANY_METHOD, "HEAD") or isinstance(chosen, Answer):
            return None
        answer = chosen.route.action
        if chosen.route.position != route.position or not isinstance(answer, Answer):
            return None
        headers = PolicyReply(self._gateway, request, _nobody).complete(own_headers(answer))
        return (route.method, request.raw_path), Prompt.of(route.path, answer.status, headers, answer.body)

    def _unmatched(self, request: Request, answer: Answer) -> Answer:
        """404, or 405 with `Allow` where the path serves other methods (RFC 9110, 15.5.6); preflights as ever."""
        if answer is not NO_MATCH:
            return answer
        allowed = [each for each in self._methods if self._serves(replace(request, method=each))]
        if not allowed:
            return answer
        allow = (b"allow", ", ".join(allowed).encode())
        return refusal(405, f"The path does not serve {request.method}.", headers=(allow,))

    def _serves(self, request: Request) -> bool:
        return isinstance(choose(self._gateway, request), Chosen)

    async def close(self) -> None:
        """Close all connections to other servers."""
        await super().close()
        await self._maker.close()


async def _nobody(_: object) -> None:
    """Where answers go that are only looked at."""
