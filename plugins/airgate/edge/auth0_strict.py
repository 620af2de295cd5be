"""Routes that sign users in at Auth0, in strict mode: a sign-in ends in the browser in which it began.

The redirect leaves a random verifier in a cookie that only this host gets, and sends its hash to Auth0 (RFC 7636). The
callback sends the verifier with the code: a code that was got elsewhere, as in a forged sign-in, is worth nothing
(RFC 9700, 4.7). The cookie also holds the hash of the state, which must come back unchanged.
"""

import hmac
import re
import secrets
from dataclasses import replace

from airgate.edge.auth0_sign_in import STILL_VALID, Auth0SignIn, json_value
from airgate.edge.connection import CallFailed
from airgate.edge.whole_call import WholeAnswer
from airgate.spec.answer import JSON_TYPE, Answer, problem
from airgate.spec.auth0_routes import Auth0Kind, digest
from airgate.spec.authorizer import refusal
from airgate.spec.refused import NoToken, Refused, unverifiable

_COOKIE = "__Host-airgate-sign-in"
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
_SIGN_IN_SECONDS = 600
_VERIFIER_BYTES = 32
_SANE_STATE = re.compile(r"[\x21-\x7e]{1,512}")
_SANE_CODE = re.compile(r"[\x21-\x7e]{1,2048}")
_NOT_KEPT = (b"cache-control", b"no-store")  # RFC 6749, 5.1


class StrictSignIn(Auth0SignIn):
    """What strict mode answers."""

    __slots__ = ()
    no_tenant = problem(500, "The gateway has no application at Auth0.", with_cors=True)  # checks refuse such a file

    async def answer(self, kind: Auth0Kind) -> Answer:
        """The answer of a route of a kind."""
        try:
            return await Auth0SignIn.answer(self, kind)
        except Refused as refused:
            return refusal(refused, strict=True)
        except CallFailed as failed:
            return _problem(failed.status, f"Auth0 {failed.what}.")

    def redirect(self) -> Answer:
        """Send the user to Auth0, with a cookie that binds what comes back to this browser."""
        state = self.query("state")
        if state is not None and not _SANE_STATE.fullmatch(state):
            return _problem(400, "The state must be 1 to 512 visible ASCII characters.")
        state = state or secrets.token_urlsafe(_VERIFIER_BYTES)
        verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
        cookie = f"{_COOKIE}={verifier}.{digest(state)}; Max-Age={_SIGN_IN_SECONDS}; {_ATTRIBUTES}"
        headers = (
            (b"location", self.tenant.sign_in_url(state, verifier).encode()),
            (b"set-cookie", cookie.encode()),
            _NOT_KEPT,
        )
        return Answer(302, headers)

    async def callback(self) -> Answer:
        """Give out tokens for the code that the user came back with, in the browser that was sent to Auth0."""
        verifier = self._verifier()
        if verifier is None:
            return _problem(403, "This sign-in did not begin in this browser, or too long ago; begin again.")
        if self.query("error") is not None:
            return _ended(_problem(403, "Auth0 did not sign the user in."))
        code = self.query("code")
        if code is None or not _SANE_CODE.fullmatch(code):
            return _problem(400, "The request needs the code that Auth0 gave to the browser.")
        answer = await self.asked_for_tokens(self.tenant.exchange(code, verifier))
        if 400 <= answer.status < 500:
            return _ended(_problem(403, "Auth0 did not accept the code of this sign-in."))
        given = _given(answer)
        if given.status == 200:
            given = await self.finish(await self.id_claims(answer)) or given
        return _ended(given)

    async def userinfo(self) -> Answer:
        """Tell what Auth0 knows about the user of an access token."""
        if not self.access_token:
            raise NoToken
        answer = await self.asked_for_user(self.access_token)
        if answer.status in (400, 401, 403):
            raise unverifiable()
        return _given(answer)

    async def refresh(self) -> Answer:
        """Give out new tokens when the access token is out of date."""
        token = self.refresh_token
        if not isinstance(token, str) or not token:
            return _problem(400, "The request needs a refresh token: X-Refresh-Token, or refresh_token in a JSON body.")
        if await self.is_up_to_date():
            return STILL_VALID
        answer = await self.asked_for_tokens(self.tenant.refresh(token))
        if 400 <= answer.status < 500:
            raise unverifiable()
        return _given(answer)

    def _verifier(self) -> str | None:
        """The verifier of the sign-in that comes back, when its state is the one that went out."""
        state = self.query("state")
        for part in (self.request.header("cookie") or "").split(";"):
            name, _, value = part.strip().partition("=")
            verifier, dot, hashed = value.partition(".")
            if name == _COOKIE and dot and verifier and state:
                matches = hmac.compare_digest(digest(state).encode(), hashed.encode("utf-8", "replace"))
                return verifier if matches else None
        return None


def _given(answer: WholeAnswer) -> Answer:
    """What Auth0 gave, for the client alone."""
    if not answer.succeeded or not isinstance(json_value(answer.body), dict):
        return _problem(502, f"Auth0 answered with the status {answer.status} and nothing that can be passed on.")
    return Answer(200, (JSON_TYPE, _NOT_KEPT), answer.body)


def _ended(answer: Answer) -> Answer:
    """The answer with which a sign-in is over: its cookie goes."""
    cookie = f"{_COOKIE}=; Max-Age=0; {_ATTRIBUTES}"
    return replace(answer, headers=(*answer.headers, (b"set-cookie", cookie.encode())))


def _problem(status: int, detail: str) -> Answer:
    return problem(status, detail, with_cors=True)
