"""The edge in strict mode: each route has a handler of its own, made of only the policies that it needs."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from airgate.edge.app import Edge, Scope
from airgate.edge.circuits import Circuits
from airgate.edge.client_headers import passed_on
from airgate.edge.forwarding import Proxies, Sender
from airgate.edge.front import front_refusal
from airgate.edge.named_files import NamedFiles
from airgate.edge.passage import Handler, Passage, PolicyReply, Stage
from airgate.edge.proxy import Upstreams
from airgate.edge.rates import MemoryRates, Rates, StoreRates
from airgate.edge.refusal import refusal
from airgate.edge.reply import Receive, Send
from airgate.edge.route_policies import CannotServe, FilePlan, RoutePlan, plan
from airgate.edge.service_calls import ServiceCalls
from airgate.edge.service_loading import service_calls
from airgate.edge.settings import Settings
from airgate.edge.slots import Slots
from airgate.edge.stage_body import bounded
from airgate.edge.stage_calls import called, with_body
from airgate.edge.stage_limits import Identity, by_address, by_header, by_token, limited, timed
from airgate.edge.stage_services import finished, hooked, served
from airgate.edge.stage_validation import validated
from airgate.edge.visit import KEY
from airgate.policy.budget import RetryBudget
from airgate.policy.store import open_store
from airgate.spec.answer import NO_MATCH, Answer
from airgate.spec.config import Gateway, load
from airgate.spec.extension import CacheMemory as CacheSettings
from airgate.spec.extension import ClientHeader, FileLimits
from airgate.spec.extension_defaults import STRICT_CALLING, front_limits
from airgate.spec.extension_paths import fill, parameters
from airgate.spec.gateway import Chosen, Claims, Forward, Outcome, act, admit, choose
from airgate.spec.message import Request
from airgate.spec.need import NeedKeys
from airgate.spec.routing import ANY_METHOD
from airgate.spec.sign_in import SignIn
from airgate.spec.target import upstream_path

if TYPE_CHECKING:
    from airgate.edge.caching import AnswerCache
    from airgate.edge.whole_call import HttpCalls


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
        shared = FileLimits() if isinstance(file.limits, UnsetType) else file.limits
        self.front = front_limits(shared)
        self._proxies = Proxies.of([] if isinstance(file.trusted_proxies, UnsetType) else file.trusted_proxies)
        self._rates: Rates = MemoryRates() if isinstance(shared.store, UnsetType) else _shared_rates(shared.store)
        self._slots = Slots()
        self._calls: HttpCalls | None = None
        self._methods = sorted({route.method for route in policies.routes} - {ANY_METHOD})
        self._origins = policies.origins
        self._cache = _answer_cache(policies)
        breaker = policies.protection.breaker
        self._circuits = None if breaker is None else Circuits(breaker)
        self._budget = RetryBudget(policies.protection.retry_budget)
        self._identity = _identity(file.client)
        self._after_auth = file.client == "token"
        self._policies = policies
        self._plans = policies.routes
        self._handlers = {route.position: self._handler(route) for route in policies.routes}

    def take_over(self, earlier: Edge) -> None:
        """Go on counting where the edge of an earlier file counts, also for its requests that are under way.

        What is counted are facts, such as when a client called: they hold under another limit as well. A circuit is
        kept where its server and the breaker are the same, answers where the memory of the cache is.
        """
        super().take_over(earlier)
        if not isinstance(earlier, PolicedEdge):
            return
        now, then = self._policies, earlier._policies
        self._slots = earlier._slots
        if isinstance(self._rates, MemoryRates) and isinstance(earlier._rates, MemoryRates):
            self._rates = earlier._rates
        if now.protection.retry_budget == then.protection.retry_budget:
            self._budget = earlier._budget
        if self._circuits is not None and earlier._circuits is not None:
            same = [server for server, origin in now.origins.items() if then.origins.get(server) == origin]
            self._circuits.take_over(earlier._circuits, same)
        if self._cache is not None and now.file.cache == then.file.cache:
            self._cache = earlier._cache or self._cache
        self._handlers = {route.position: self._handler(route) for route in self._plans}

    def told(self, chosen: Chosen, request: Request, claims: Claims, client: str) -> Outcome:
        """What a route would do with the request of a caller who was let in, without doing it."""
        outcome = act(chosen, request, claims)
        if not isinstance(outcome, Forward):
            return outcome
        sender = self._proxies.sender(client, "http", request)
        return _forwarded(outcome, sender, chosen, request, self._plans[chosen.route.position])

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

    def _handler(self, route: RoutePlan) -> Handler:
        """The stages of a route, outermost first, and what ends them."""
        stages: list[Stage] = []
        limits = route.limits
        asks = route.aggregate is not None or route.service is not None or route.hook is not None
        waits = route.proxied or route.signs_in or asks or route.rules is not None
        instant = not waits
        if limits.seconds is not None and not instant:
            stages.append(timed(limits.seconds))
        counted: list[Stage] = []
        rated = limits.all_clients.windows or limits.each_client.windows
        if rated or (not instant and (limits.all_clients or limits.each_client)):
            name = f"{route.method} {route.path}"
            counted.append(
                limited(name, limits.all_clients, limits.each_client, self._identity, self._rates, self._slots)
            )
        late = self._after_auth and route.guarded
        stages += [] if late else counted
        if not instant and (limits.body is not None or limits.body_seconds is not None):
            stages.append(bounded(limits.body, limits.body_seconds))
        goes_on = asks or route.rules is not None or (late and bool(counted))
        stages.append(self._decided(goes_on=goes_on, route=route))
        stages += counted if late else []
        if route.hook is not None:
            stages.append(hooked(route.hook, self._services))
        if route.rules is not None:
            stages.append(validated(route.rules))
        if route.body is not UNSET:
            stages.append(with_body(route.body, route.variables))
        stages += self._cache_stages(route)
        return reduce(lambda handler, stage: stage(handler), reversed(stages), self._end(route))

    def _decided(self, *, goes_on: bool, route: RoutePlan) -> Stage:
        """Check the token, and make known what the route does.

        Args:
            goes_on: Whether later stages have a say although no other server is called; else the answer is sent here.
            route: The route.
        """

        def stage(handler: Handler) -> Handler:
            async def handle(passage: Passage) -> None:
                chosen = passage.chosen
                admitted = admit(self._gateway, chosen.route, passage.request, time.time())
                if isinstance(admitted, NeedKeys):
                    admitted = await self._authorities.settle(admitted)
                if isinstance(admitted, Answer):
                    await passage.reply.whole(admitted)
                    return
                passage.claims = admitted
                outcome = act(chosen, passage.request, admitted)
                if isinstance(outcome, Forward):
                    passage.forward = _forwarded(outcome, passage.sender, chosen, passage.request, route)
                    if passage.visit is not None:
                        passage.visit.server = outcome.server
                elif isinstance(outcome, Answer) and (not goes_on or outcome.status >= 400):
                    await passage.reply.whole(outcome)
                    return
                else:
                    passage.own = outcome
                await handler(passage)

            return handle

        return stage

    def _cache_stages(self, route: RoutePlan) -> list[Stage]:
        if self._cache is None or not route.proxied:
            return []
        from airgate.edge.stage_cache import cached, noticed

        stages = [noticed(self._cache)]
        if route.cache is not None:
            ttl = None if isinstance(route.cache.ttl, UnsetType) else route.cache.ttl
            stages.append(cached(self._cache, ttl, route.mapped))
        return stages

    def _end(self, route: RoutePlan) -> Handler:
        if route.aggregate is not None:
            from airgate.edge.aggregation_plan import plan as branches
            from airgate.edge.stage_aggregate import aggregated

            return aggregated(branches(route.aggregate, self._origins), route.variables, self._whole_calls())
        if route.service is not None:
            return served(route.service, self._services)
        if route.proxied:
            calling = route.calling
            upstreams = Upstreams(Settings(calling.connect, calling.total, calling.read), self._connections)
            return called(upstreams.forward, self._circuits, self._budget, calling.retries)
        return self._own

    async def _own(self, passage: Passage) -> None:
        """Send the edge's own answer, or let a user sign in."""
        answer = passage.own
        if isinstance(answer, SignIn):
            after = partial(finished, passage=passage, services=self._services)
            answer = await self._authorities.sign_in(answer, passage.request, passage.receive, after)
        assert isinstance(answer, Answer)
        await passage.reply.whole(answer)

    def _whole_calls(self) -> "HttpCalls":
        if self._calls is None:
            from airgate.edge.whole_call import HttpCalls

            self._calls = HttpCalls()
        return self._calls

    async def close(self) -> None:
        """Close all connections to other servers."""
        await super().close()
        if self._calls is not None:
            await self._calls.close()


def _forwarded(call: Forward, sender: Sender, chosen: Chosen, request: Request, route: RoutePlan) -> Forward:
    """The call with what the edge tells about the sender, without what the sender cannot tell, to the path meant."""
    told = [header for header in sender.headers if header[0] not in route.mapped]
    headers = passed_on(call.headers, request.header("connection"), route.mapped) + told
    path = call.path
    if route.rewrite is not None:
        path = upstream_path(call.origin, None, fill(route.rewrite, parameters(chosen.route.path, chosen.path)))
    return Forward(call.server, call.origin, path, call.query, headers)


def _identity(client: str | ClientHeader | UnsetType) -> Identity:
    if isinstance(client, ClientHeader):
        return by_header(client)
    return by_token if client == "token" else by_address


def _shared_rates(location: str) -> Rates:
    return StoreRates(open_store(location))


def _answer_cache(policies: FilePlan) -> "AnswerCache | None":
    """The cache of this process, where a route has one; its library is not loaded otherwise."""
    if not any(route.cache for route in policies.routes):
        return None
    from airgate.edge.cache_memory import CacheMemory
    from airgate.edge.caching import AnswerCache

    memory = CacheSettings() if isinstance(policies.file.cache, UnsetType) else policies.file.cache
    return AnswerCache(CacheMemory(memory.bytes), memory.entry)
