"""The handler of a route in strict mode, made of only the policies that it needs."""

import time
from functools import partial, reduce
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from airgate.edge.authorities import Authorities
from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.pool import Pool
from airgate.edge.proxy import Upstreams
from airgate.edge.route_policies import FilePlan, RoutePlan
from airgate.edge.service_calls import ServiceCalls
from airgate.edge.settings import Settings
from airgate.edge.shared_state import SharedState
from airgate.edge.stage_body import bounded
from airgate.edge.stage_calls import called, with_body
from airgate.edge.stage_identity import told
from airgate.edge.stage_limits import Identity, by_address, by_header, by_token, limited, timed
from airgate.edge.stage_services import finished, hooked, served
from airgate.edge.stage_validation import validated
from airgate.edge.strict_forward import forwarded
from airgate.spec.answer import Answer
from airgate.spec.config import Gateway
from airgate.spec.extension import ClientHeader
from airgate.spec.gateway import Forward, act, admit
from airgate.spec.need import NeedKeys
from airgate.spec.sign_in import SignIn

if TYPE_CHECKING:
    from airgate.edge.whole_call import HttpCalls


def asks_nobody(route: RoutePlan) -> bool:
    """Whether a route's answer is known without any other server or service, or the client's body."""
    asks = route.aggregate is not None or route.service is not None or route.hook is not None
    return not (route.proxied or route.signs_in or asks or route.rules is not None)


def is_fixed(route: RoutePlan) -> bool:
    """Whether a route gives everybody the same answer, at any time and as often as they ask."""
    windows = route.limits.all_clients.windows or route.limits.each_client.windows
    return asks_nobody(route) and not route.guarded and not windows and route.body is UNSET


class RouteHandlers:
    """Makes the handlers of a file's routes, and owns what some of them need beyond what is given.

    Args:
        gateway: The file.
        policies: What holds for it.
        shared: What its requests share.
        services: The stand-ins of services and hooks.
        connections: To upstreams.
        authorities: Who knows the keys of tokens.
    """

    def __init__(
        self,
        gateway: Gateway,
        policies: FilePlan,
        shared: SharedState,
        services: ServiceCalls,
        connections: Pool,
        authorities: Authorities,
    ) -> None:
        self._gateway = gateway
        self._policies = policies
        self._shared = shared
        self._services = services
        self._connections = connections
        self._authorities = authorities
        self._identity = _identity(policies.file.client)
        self._after_auth = policies.file.client == "token"
        self._calls: HttpCalls | None = None

    async def close(self) -> None:
        """Close all connections that are not given."""
        if self._calls is not None:
            await self._calls.close()

    def handler(self, route: RoutePlan) -> Handler:
        """The stages of a route, outermost first, and what ends them."""
        stages: list[Stage] = []
        limits = route.limits
        instant = asks_nobody(route)
        if limits.seconds is not None and not instant:
            stages.append(timed(limits.seconds))
        counted = self._counted(route, instant=instant)
        late = self._after_auth and route.guarded
        stages += [] if late else counted
        if not instant and (limits.body is not None or limits.body_seconds is not None):
            stages.append(bounded(limits.body, limits.body_seconds))
        asks = route.aggregate is not None or route.service is not None or route.hook is not None
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
        if route.speaker is not None:
            stages.append(told(route.speaker, route.mapped))
        return reduce(lambda handler, stage: stage(handler), reversed(stages), self._end(route))

    def _counted(self, route: RoutePlan, *, instant: bool) -> list[Stage]:
        everybody, each = route.limits.all_clients, route.limits.each_client
        rated = everybody.windows or each.windows
        if not rated and (instant or not (everybody or each)):
            return []
        name = f"{route.method} {route.path}"
        return [limited(name, everybody, each, self._identity, self._shared.rates, self._shared.slots)]

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
                    outcome = forwarded(outcome, passage.sender, chosen, passage.request, route)
                if isinstance(outcome, Forward):
                    passage.forward = outcome
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
        if self._shared.cache is None or not route.proxied:
            return []
        from airgate.edge.stage_cache import cached, noticed

        stages = [noticed(self._shared.cache)]
        if route.cache is not None:
            ttl = None if isinstance(route.cache.ttl, UnsetType) else route.cache.ttl
            stages.append(cached(self._shared.cache, ttl, route.mapped))
        return stages

    def _end(self, route: RoutePlan) -> Handler:
        if route.aggregate is not None:
            from airgate.edge.aggregation_plan import plan as branches
            from airgate.edge.stage_aggregate import aggregated

            return aggregated(branches(route.aggregate, self._policies.origins), route.variables, self._whole_calls())
        if route.service is not None:
            return served(route.service, self._services)
        if route.proxied:
            calling = route.calling
            upstreams = Upstreams(Settings(calling.connect, calling.total, calling.read), self._connections)
            return called(upstreams.forward, self._shared.circuits, self._shared.budget, calling.retries)
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


def _identity(client: str | ClientHeader | UnsetType) -> Identity:
    if isinstance(client, ClientHeader):
        return by_header(client)
    return by_token if client == "token" else by_address
