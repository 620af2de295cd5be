"""Stages that bound what a route and a client may take: time, rate, requests at once."""

import asyncio
import ipaddress
from collections.abc import Callable
from functools import lru_cache

from airgate.edge.deadlines import Deadlines
from airgate.edge.passage import Handler, Passage, Stage
from airgate.edge.rate_headers import policy_header, standing_header
from airgate.edge.rates import Rates
from airgate.edge.refusal import refusal, retry_after
from airgate.edge.slots import Slots
from airgate.policy.limits import Limit, Scope
from airgate.policy.store import StoreUnavailable
from airgate.spec.answer import Answer
from airgate.spec.extension import ClientHeader

Identity = Callable[[Passage], str]

_BUSY_SECONDS = 1.0
_IPV6_NETWORK = 64
"""Bits of an IPv6 address that count: whoever has one address has all of its network."""


def timed(seconds: float) -> Stage:
    """End a request that takes longer: with 504 while nothing has been sent, else by cutting the answer short."""
    deadlines = Deadlines(seconds)

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            task = asyncio.current_task()
            assert task is not None
            before = task.cancelling()
            deadlines.begin(task)
            late = False
            try:
                try:
                    await handler(passage)
                finally:
                    late = deadlines.end(task)
                    others = late and task.uncancel() > before
            except asyncio.CancelledError:
                if not late or others:  # somebody else wants it to end, such as a client that has left
                    raise
                if not passage.begun.started:
                    await passage.begun.whole(refusal(504, f"The request took longer than {seconds:g} s."))

        return handle

    return stage


def limited(
    route: str, all_clients: Limit, each_client: Limit, identity: Identity, rates: Rates, slots: Slots
) -> Stage:
    """Turn away what is beyond a route's limits: 503 and 429 for too many at once, 429 for too many in a window.

    Args:
        route: Names the route among all that share the counts.
        all_clients: What all clients may do together.
        each_client: What one client may do.
        identity: Who a client is.
        rates: Where requests are counted.
        slots: Where requests under way are counted.
    """
    names = [name for name, limit in (("route", all_clients), ("client", each_client)) if limit.windows]
    policy = policy_header([("route", all_clients), ("client", each_client)])
    whole_route = Scope(route, all_clients)

    @lru_cache(maxsize=1024)
    def scope_of(client: str) -> Scope:
        return Scope(f"{route} {client}", each_client)

    def stage(handler: Handler) -> Handler:
        async def handle(passage: Passage) -> None:
            scopes = [whole_route, scope_of(identity(passage))]
            full = slots.enter(scopes)
            if full is not None:
                await passage.reply.whole(_busy(full is whole_route))
                return
            try:
                if not names or await _admitted(passage, [scope for scope in scopes if scope.limit.windows]):
                    await handler(passage)
            finally:
                slots.leave(scopes)

        async def _admitted(passage: Passage, counted: list[Scope]) -> bool:
            try:
                turn = await rates.take(counted)
            except StoreUnavailable:
                answer = refusal(503, "The limits cannot be counted now.", headers=(retry_after(_BUSY_SECONDS),))
                await passage.reply.whole(answer)
                return False
            told = [policy, standing_header(names, turn.standing)] if turn.standing else [policy]
            if turn.granted:
                passage.begun.added += told
                return True
            detail = f"Too many requests; the next one may come in {turn.wait:.3g} s."
            await passage.reply.whole(refusal(429, detail, headers=(retry_after(turn.wait), *told)))
            return False

        return handle

    return stage


def _busy(whole_route: bool) -> Answer:
    if whole_route:
        detail = "The route has as many requests under way as it may."
        return refusal(503, detail, headers=(retry_after(_BUSY_SECONDS),))
    return refusal(429, "You have as many requests under way as you may.", headers=(retry_after(_BUSY_SECONDS),))


def by_address(passage: Passage) -> str:
    """A client is its address, or the network of an IPv6 address."""
    address = passage.sender.address
    if ":" not in address:
        return f"address {address}"
    try:
        network = ipaddress.ip_network((address.partition("%")[0], _IPV6_NETWORK), strict=False)
    except ValueError:
        return f"address {address}"
    return f"address {network}"


def by_token(passage: Passage) -> str:
    """A client is the subject of its token, or its address without one."""
    subject = (passage.claims or {}).get("sub")
    return f"subject {subject}" if isinstance(subject, str) and subject else by_address(passage)


def by_header(settings: ClientHeader) -> Identity:
    """A client is what a trusted proxy says, or its address where none does."""

    def identity(passage: Passage) -> str:
        named = passage.request.header(settings.header) if passage.sender.trusted else None
        return f"name {named}" if named else by_address(passage)

    return identity
