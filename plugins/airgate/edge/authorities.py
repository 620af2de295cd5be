"""The services that know who a caller is: the keys of token issuers, and the routes that sign users in."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from airgate.edge.jwks import FetchedKeys, KeptKeys, Keys
from airgate.edge.posted_body import posted_body
from airgate.edge.reply import Receive
from airgate.edge.whole_call import HttpCalls
from airgate.spec.answer import Answer
from airgate.spec.auth0_routes import Auth0Route
from airgate.spec.config import Mode
from airgate.spec.message import Request
from airgate.spec.need import NeedKeys
from airgate.spec.services import Function
from airgate.spec.sign_in import SignIn

if TYPE_CHECKING:
    from airgate.edge.auth0_sign_in import Auth0SignIn

T = TypeVar("T")
After = Callable[[Function, bytes, Mapping[str, object]], Awaitable[Answer | None]]
"""Calls a hook with a request's body and the claims of an ID token; an answer stands in for the tokens."""


class Authorities:
    """Carries out what decisions need from such services.

    Args:
        mode: Whether keys are kept, and which answers routes give.
    """

    def __init__(self, mode: Mode) -> None:
        self._calls = HttpCalls()
        self._keys: Keys = KeptKeys(self._calls) if mode == "strict" else FetchedKeys(self._calls)

    async def settle(self, need: NeedKeys[T]) -> T:
        """Get the keys that a decision waits for, and let it go on."""
        return need.resume(await self._keys.keys(need))

    async def sign_in(self, route: SignIn, request: Request, receive: Receive, after: After) -> Answer:
        """The answer to a request to a route that signs users in.

        Args:
            route: What the route does.
            request: The request.
            receive: Gives its body.
            after: Calls a hook at the end of a sign-in.

        Raises:
            ClientLeft: the client left before it had sent its body.
        """
        body = await posted_body(request, receive)
        if isinstance(body, Answer):
            return body
        if not isinstance(route, Auth0Route):
            from airgate.edge.supabase import one_time_password

            return await one_time_password(route, body, self._calls)
        mode = _auth0(strict=route.strict)
        if route.tenant is None:
            return mode.no_tenant
        hook = route.post_process

        async def finish(claims: Mapping[str, object]) -> Answer | None:
            return None if hook is None else await after(hook, body, claims)

        sign_in = mode(route.tenant, request, body, self._calls, self._keys, time.time(), finish)
        return await sign_in.answer(route.kind)

    def take_over(self, earlier: "Authorities") -> None:
        """Keep what those of an earlier file have learned."""
        if isinstance(self._keys, KeptKeys) and isinstance(earlier._keys, KeptKeys):
            self._keys.take_over(earlier._keys)

    async def close(self) -> None:
        """End what is under way, and close all connections."""
        await self._keys.close()
        await self._calls.close()


def _auth0(*, strict: bool) -> "type[Auth0SignIn]":
    if strict:
        from airgate.edge.auth0_strict import StrictSignIn

        return StrictSignIn
    from airgate.edge.auth0 import CompatibleSignIn

    return CompatibleSignIn
