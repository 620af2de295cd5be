"""A request to a route that signs users in at Auth0: what both modes read from it, ask the tenant, and check."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from airgate.edge.jwks import Keys, verified
from airgate.edge.whole_call import Call, HttpCalls, WholeAnswer
from airgate.spec.answer import Answer, json_answer
from airgate.spec.auth0_routes import Auth0Kind, Tenant
from airgate.spec.authorizer import bearer_token
from airgate.spec.javascript import parse
from airgate.spec.message import Request
from airgate.spec.refused import EXPIRED, NoToken, Refused, malformed
from airgate.spec.url import parse_form

_SECONDS = 10.0
"""Of a call of Auth0."""
_SENT_JSON = [("content-type", "application/json"), ("accept", "application/json")]

STILL_VALID = json_answer(200, {"message": "Token is still valid", "code": "token_still_valid"})

Finish = Callable[[Mapping[str, object]], Awaitable[Answer | None]]
"""Calls the hook at the end of a sign-in with the claims of the ID token; an answer stands in for the tokens."""


@dataclass(frozen=True, slots=True)
class Auth0SignIn(ABC):
    """The request, with what it takes to answer it. A mode says with which answers.

    `now` are seconds since 1970; `finish` is called before tokens are given out.
    """

    no_tenant: ClassVar[Answer]
    """The answer of a route whose tenant is not there."""

    tenant: Tenant
    request: Request
    body: bytes
    calls: HttpCalls
    keys: Keys
    now: float
    finish: Finish

    async def answer(self, kind: Auth0Kind) -> Answer:
        """The answer of a route of a kind.

        Raises:
            CallFailed: Auth0 cannot be asked.
            Refused: a token is missing or does not pass.
        """
        match kind:
            case "auth0_callback_redirect":
                return self.redirect()
            case "auth0_userinfo":
                return await self.userinfo()
            case "auth0_refresh":
                return await self.refresh()
            case "auth0_callback":
                return await self.callback()

    @abstractmethod
    def redirect(self) -> Answer:
        """Send the user to Auth0."""

    @abstractmethod
    async def userinfo(self) -> Answer:
        """Tell what Auth0 knows about the user of an access token."""

    @abstractmethod
    async def refresh(self) -> Answer:
        """Give out new tokens when the access token is out of date."""

    @abstractmethod
    async def callback(self) -> Answer:
        """Give out tokens for the code that the user came back with."""

    def query(self, name: str) -> str | None:
        """The first value of a name of the query, decoded; None when it is not there."""
        return next((value for found, value in parse_form(self.request.query) if found == name), None)

    @property
    def access_token(self) -> str | None:
        """A header of its own, else the bearer token."""
        return self.request.header("x-access-token") or bearer_token(self.request.header("authorization"))

    @property
    def refresh_token(self) -> object:
        """A header of its own, else a member of a posted JSON object."""
        sent = self.request.header("x-refresh-token")
        if sent or self.request.method != "POST":
            return sent
        posted = json_value(self.body)
        return posted.get("refresh_token") if isinstance(posted, dict) else None

    async def is_up_to_date(self) -> bool:
        """Whether the bearer token is valid still; False when it is, but for its age.

        Raises:
            Refused: it is missing or does not pass.
        """
        token = bearer_token(self.request.header("authorization"))
        if token is None:
            raise NoToken
        try:
            await verified(self.tenant.access_tokens, token, self.keys, self.now)
        except Refused as refused:
            if refused.code != EXPIRED:
                raise
            return False
        return True

    async def asked_for_user(self, token: str) -> WholeAnswer:
        """What Auth0 says about the user of an access token."""
        headers = [("authorization", f"Bearer {token}"), ("accept", "application/json")]
        return await self.calls.call(Call.to("GET", self.tenant.userinfo_url, headers, None, _SECONDS))

    async def asked_for_tokens(self, body: bytes) -> WholeAnswer:
        """What Auth0 says to a request for tokens."""
        return await self.calls.call(Call.to("POST", self.tenant.token_url, _SENT_JSON, body, _SECONDS))

    async def id_claims(self, answer: WholeAnswer) -> dict[str, object]:
        """The claims of the ID token among the tokens that Auth0 gave out.

        Raises:
            Refused: it is missing or does not pass.
        """
        tokens = json_value(answer.body)
        token = tokens.get("id_token") if isinstance(tokens, dict) else None
        if not isinstance(token, str):
            raise malformed()
        return await verified(self.tenant.id_tokens, token, self.keys, self.now)


def json_value(body: bytes) -> object:
    """The value of a JSON text; None for null, and for what is none."""
    try:
        return parse(body.decode("utf-8", "replace"))
    except ValueError:
        return None
