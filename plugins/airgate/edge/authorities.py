"""The services that know who a caller is: the keys of token issuers, and the routes that sign users in."""

import time
from typing import TypeVar

from airgate.edge.fetching import Fetching, HttpFetching
from airgate.edge.jwks import FetchedKeys, KeptKeys, Keys
from airgate.edge.posted_body import posted_body
from airgate.edge.reply import Receive
from airgate.spec.answer import Answer
from airgate.spec.auth0_routes import Auth0Route
from airgate.spec.config import Mode
from airgate.spec.message import Request
from airgate.spec.need import NeedKeys
from airgate.spec.sign_in import SignIn

T = TypeVar("T")


class Authorities:
    """Carries out what decisions need from such services.

    Args:
        mode: Whether keys are kept, and which answers routes give.
    """

    def __init__(self, mode: Mode) -> None:
        self._http = HttpFetching()
        self._fetching: Fetching = self._http
        self._keys: Keys = KeptKeys(self._fetching) if mode == "strict" else FetchedKeys(self._fetching)

    async def settle(self, need: NeedKeys[T]) -> T:
        """Get the keys that a decision waits for, and let it go on."""
        return need.resume(await self._keys.keys(need))

    async def sign_in(self, route: SignIn, request: Request, receive: Receive) -> Answer:
        """The answer to a request to a route that signs users in.

        Raises:
            ClientLeft: the client left before it had sent its body.
        """
        body = await posted_body(request, receive)
        if isinstance(body, Answer):
            return body
        if not isinstance(route, Auth0Route):
            from airgate.edge.supabase import one_time_password

            return await one_time_password(route, body, self._fetching)
        if route.strict:
            from airgate.edge.auth0_strict import sign_in
        else:
            from airgate.edge.auth0 import sign_in
        return await sign_in(route, request, body, self._fetching, self._keys, time.time())

    def take_over(self, earlier: "Authorities") -> None:
        """Keep what those of an earlier file have learned."""
        if isinstance(self._keys, KeptKeys) and isinstance(earlier._keys, KeptKeys):
            self._keys.take_over(earlier._keys)

    async def close(self) -> None:
        """End what is under way, and close all connections."""
        await self._keys.close()
        await self._http.close()
