"""Routes that sign users in at Auth0: the gateway's own answers in compatible mode.

What strict mode does instead stands in `airgate.edge.auth0_strict`.
"""

from airgate.edge.auth0_sign_in import STILL_VALID, Auth0SignIn, json_value
from airgate.edge.connection import CallFailed
from airgate.edge.whole_call import WholeAnswer
from airgate.spec.answer import INTERNAL_ERROR, JSON_TYPE, Answer, json_answer
from airgate.spec.auth0_routes import Auth0Kind
from airgate.spec.authorizer import refusal
from airgate.spec.refused import Refused

_UNREACHABLE = json_answer(500, {"error": "Internal Server Error", "code": "AUTH0_ERROR"})
_NO_ACCESS_TOKEN = json_answer(401, {"error": "Missing bearer token", "code": "missing_access_token"})
_NO_REFRESH_TOKEN = json_answer(400, {"error": "Missing refresh token", "code": "missing_refresh_token"})


class CompatibleSignIn(Auth0SignIn):
    """What the gateway answers."""

    __slots__ = ()
    no_tenant = INTERNAL_ERROR

    async def answer(self, kind: Auth0Kind) -> Answer:
        """The answer of a route of a kind."""
        try:
            return await Auth0SignIn.answer(self, kind)
        except Refused as refused:
            return refusal(refused, strict=False)
        except CallFailed:
            return _UNREACHABLE

    def redirect(self) -> Answer:
        """Send the user to Auth0."""
        try:
            url = self.tenant.recorded_sign_in_url(self.query("state"))
        except ValueError:
            return INTERNAL_ERROR
        return Answer(302, ((b"location", url.encode()),), with_cors=False)

    async def userinfo(self) -> Answer:
        """Tell what Auth0 knows about the user of an access token."""
        if not self.access_token:
            return _NO_ACCESS_TOKEN
        return _passed_on(await self.asked_for_user(self.access_token), "userinfo")

    async def refresh(self) -> Answer:
        """Give out new tokens when the access token is out of date."""
        if not self.refresh_token:
            return _NO_REFRESH_TOKEN
        if await self.is_up_to_date():
            return STILL_VALID
        return _passed_on(await self.asked_for_tokens(self.tenant.refresh(self.refresh_token)), "refresh token")

    async def callback(self) -> Answer:
        """Give out tokens for the code that the user came back with."""
        answer = await self.asked_for_tokens(self.tenant.exchange(self.query("code"), None))
        instead = await self.finish(await self.id_claims(answer)) if answer.succeeded else None
        return instead or _passed_on(answer, "token exchange")


def _passed_on(answer: WholeAnswer, what: str) -> Answer:
    """Auth0's JSON, or its status with the gateway's words."""
    if not answer.succeeded:
        return json_answer(answer.status, {"error": f"Auth0 {what} failed", "code": "AUTH0_UPSTREAM_ERROR"})
    return _UNREACHABLE if json_value(answer.body) is None else Answer(200, (JSON_TYPE,), answer.body)
