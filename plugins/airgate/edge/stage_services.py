"""The stage that calls the hook of a route, and the end of a route that a service answers."""

from collections.abc import Mapping, Set

from airgate.edge.client_headers import passed_on
from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.service_asking import url_of
from airgate.edge.service_calls import Asked, ServiceCalls
from airgate.edge.stage_body import whole_body
from airgate.spec.answer import Answer
from airgate.spec.config import Proxy
from airgate.spec.gateway import HOP_BY_HOP
from airgate.spec.message import header_text
from airgate.spec.services import Function, ServiceCall


def hooked(hook: Function, services: ServiceCalls) -> Stage:
    """Let a request go on only when the hook returns true."""

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            stopped = await services.before(hook, _asked(passage, await whole_body(passage), passage.claims))
            if stopped is None:
                await handler(passage)
            else:
                await passage.reply.whole(stopped)

        return handle

    return stage


def served(call: ServiceCall, services: ServiceCalls) -> Handler:
    """Answer with what the service of a route returns."""

    async def handle(passage: Passage) -> None:
        if passage.visit is not None:
            passage.visit.server = call.alias
        answer = await services.answer(call, _asked(passage, await whole_body(passage), passage.claims))
        await passage.reply.whole(answer)

    return handle


async def finished(
    hook: Function, body: bytes, claims: Mapping[str, object], passage: Passage, services: ServiceCalls
) -> Answer | None:
    """The answer when the hook at the end of a sign-in fails."""
    return await services.after(hook, _asked(passage, body, claims))


def _asked(passage: Passage, body: bytes, claims: Mapping[str, object] | None) -> Asked:
    """A request as servers get it: without what its sender cannot tell, with what the edge tells about the sender.

    Nor does it have a client's copies of headers that the route's server gets from the file: a hook trusts them, too.
    """
    request, told = passage.request, dict(passage.sender.headers)
    action = passage.chosen.route.action
    claimed = _spelt(action.headers.claimed) if isinstance(action, Proxy) else frozenset()
    came = [(name.decode(), header_text(value)) for name, value in request.headers if name not in HOP_BY_HOP]
    kept = [header for header in came if header[0].replace("_", "-") not in claimed]
    headers = [*passed_on(kept, request.header("connection"), frozenset()), *told.items()]
    url = url_of(told["x-forwarded-proto"], told.get("x-forwarded-host", "localhost"), request, passage.chosen)
    return Asked(request.method, url, headers, body, passage.chosen, claims)


def _spelt(names: Set[str]) -> frozenset[str]:
    """Names in the one spelling that CGI and WSGI know."""
    return frozenset(name.replace("_", "-") for name in names)
