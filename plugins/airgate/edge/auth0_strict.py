"""Routes that sign users in at Auth0, in strict mode: a sign-in ends in the browser in which it began.

The redirect leaves a random verifier in a cookie that only this host gets, and sends its hash to Auth0 (RFC 7636). The
callback sends the verifier with the code: a code that was got elsewhere, as in a forged sign-in, is worth nothing
(RFC 9700, 4.7). The cookie also holds the hash of the state, which must come back unchanged.
"""

import hmac
import re
import secrets
from dataclasses import replace

from airgate.edge.auth0 import (
    FETCH_SECONDS,
    SENT_JSON,
    STILL_VALID,
    access_token,
    check_id_token,
    json_value,
    posted_refresh_token,
    query_value,
)
from airgate.edge.fetching import Fetched, FetchFailed, Fetching
from airgate.edge.jwks import Keys, verified
from airgate.spec.answer import JSON_TYPE, Answer, problem
from airgate.spec.auth0_routes import Auth0Route, Tenant, digest
from airgate.spec.authorizer import bearer_token, refusal
from airgate.spec.message import Request
from airgate.spec.refused import EXPIRED, NoToken, Refused, unverifiable

_COOKIE = "__Host-airgate-sign-in"
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
_SIGN_IN_SECONDS = 600
_VERIFIER_BYTES = 32
_SANE_STATE = re.compile(r"[\x21-\x7e]{1,512}")
_SANE_CODE = re.compile(r"[\x21-\x7e]{1,2048}")
_NOT_KEPT = (b"cache-control", b"no-store")  # RFC 6749, 5.1


async def sign_in(
    route: Auth0Route, request: Request, body: bytes, fetching: Fetching, keys: Keys, now: float
) -> Answer:
    """The answer to a request to such a route; arguments as for `airgate.edge.auth0.sign_in`."""
    tenant = route.tenant
    if tenant is None:  # the checks refuse such a file
        return _problem(500, "The gateway has no application at Auth0.")
    try:
        match route.kind:
            case "auth0_callback_redirect":
                return _redirect(tenant, request)
            case "auth0_userinfo":
                return await _userinfo(tenant, request, fetching)
            case "auth0_refresh":
                return await _refresh(tenant, request, body, fetching, keys, now)
            case "auth0_callback":
                return await _callback(tenant, request, fetching, keys, now)
    except Refused as refused:
        return refusal(refused, strict=True)
    except FetchFailed as failed:
        return _problem(failed.status, f"Auth0 {failed.what}.")


def _redirect(tenant: Tenant, request: Request) -> Answer:
    state = query_value(request, "state")
    if state is not None and not _SANE_STATE.fullmatch(state):
        return _problem(400, "The state must be 1 to 512 visible ASCII characters.")
    state = state or secrets.token_urlsafe(_VERIFIER_BYTES)
    verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
    cookie = f"{_COOKIE}={verifier}.{digest(state)}; Max-Age={_SIGN_IN_SECONDS}; {_ATTRIBUTES}"
    headers = (
        (b"location", tenant.sign_in_url(state, verifier).encode()),
        (b"set-cookie", cookie.encode()),
        _NOT_KEPT,
    )
    return Answer(302, headers)


async def _callback(tenant: Tenant, request: Request, fetching: Fetching, keys: Keys, now: float) -> Answer:
    verifier = _verifier(request)
    if verifier is None:
        return _problem(403, "This sign-in did not begin in this browser, or too long ago; begin again.")
    if query_value(request, "error") is not None:
        return _ended(_problem(403, "Auth0 did not sign the user in."))
    code = query_value(request, "code")
    if code is None or not _SANE_CODE.fullmatch(code):
        return _problem(400, "The request needs the code that Auth0 gave to the browser.")
    asked = tenant.exchange(code, verifier)
    answer = await fetching.fetch("POST", tenant.token_url, SENT_JSON, asked, FETCH_SECONDS)
    if 400 <= answer.status < 500:
        return _ended(_problem(403, "Auth0 did not accept the code of this sign-in."))
    given = _given(answer)
    if given.status == 200:
        await check_id_token(tenant, answer, keys, now)
    return _ended(given)


async def _userinfo(tenant: Tenant, request: Request, fetching: Fetching) -> Answer:
    token = access_token(request)
    if not token:
        raise NoToken
    headers = [("authorization", f"Bearer {token}"), ("accept", "application/json")]
    answer = await fetching.fetch("GET", tenant.userinfo_url, headers, None, FETCH_SECONDS)
    if answer.status in (400, 401, 403):
        raise unverifiable()
    return _given(answer)


async def _refresh(tenant: Tenant, request: Request, body: bytes, fetching: Fetching, keys: Keys, now: float) -> Answer:
    refresh_token = posted_refresh_token(request, body)
    if not isinstance(refresh_token, str) or not refresh_token:
        return _problem(400, "The request needs a refresh token: X-Refresh-Token, or refresh_token in a JSON body.")
    token = bearer_token(request.header("authorization"))
    if token is None:
        raise NoToken
    try:
        await verified(tenant.access_tokens, token, keys, now)
    except Refused as refused:
        if refused.code != EXPIRED:
            raise
    else:
        return STILL_VALID
    asked = tenant.refresh(refresh_token)
    answer = await fetching.fetch("POST", tenant.token_url, SENT_JSON, asked, FETCH_SECONDS)
    if 400 <= answer.status < 500:
        raise unverifiable()
    return _given(answer)


def _verifier(request: Request) -> str | None:
    """The verifier of the sign-in that comes back, when its state is the one that went out."""
    state = query_value(request, "state")
    for part in (request.header("cookie") or "").split(";"):
        name, _, value = part.strip().partition("=")
        verifier, dot, hashed = value.partition(".")
        if name == _COOKIE and dot and verifier and state:
            matches = hmac.compare_digest(digest(state).encode(), hashed.encode("utf-8", "replace"))
            return verifier if matches else None
    return None


def _given(answer: Fetched) -> Answer:
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
