"""Routes that sign users in at Auth0: the gateway's own answers in compatible mode.

What strict mode does instead stands in `airgate.edge.auth0_strict`.
"""

from airgate.edge.fetching import Fetched, FetchFailed, Fetching
from airgate.edge.jwks import Keys, verified
from airgate.spec.answer import INTERNAL_ERROR, JSON_TYPE, Answer, json_answer
from airgate.spec.auth0_routes import Auth0Route, Tenant
from airgate.spec.authorizer import bearer_token, refusal
from airgate.spec.javascript import parse
from airgate.spec.message import Request
from airgate.spec.refused import EXPIRED, NoToken, Refused, malformed
from airgate.spec.url import parse_form

FETCH_SECONDS = 10.0
"""Of a request to Auth0."""
SENT_JSON = [("content-type", "application/json"), ("accept", "application/json")]
_UNREACHABLE = json_answer(500, {"error": "Internal Server Error", "code": "AUTH0_ERROR"})
_NO_ACCESS_TOKEN = json_answer(401, {"error": "Missing bearer token", "code": "missing_access_token"})
_NO_REFRESH_TOKEN = json_answer(400, {"error": "Missing refresh token", "code": "missing_refresh_token"})
STILL_VALID = json_answer(200, {"message": "Token is still valid", "code": "token_still_valid"})


async def sign_in(
    route: Auth0Route, request: Request, body: bytes, fetching: Fetching, keys: Keys, now: float
) -> Answer:
    """The answer to a request to such a route.

    Args:
        route: What the route does.
        request: The request.
        body: Its body.
        fetching: Makes the requests to Auth0.
        keys: The key sets of the tenant.
        now: Seconds since 1970.
    """
    tenant = route.tenant
    if tenant is None:
        return INTERNAL_ERROR
    try:
        match route.kind:
            case "auth0_callback_redirect":
                return _redirect(tenant, request)
            case "auth0_userinfo":
                return await _userinfo(tenant, request, fetching)
            case "auth0_refresh":
                return await _refresh(tenant, request, body, fetching, keys, now)
            case "auth0_callback":
                answer = await _callback(tenant, request, fetching, keys, now)
                return INTERNAL_ERROR if route.fails and answer.status == 200 else answer
    except FetchFailed:
        return _UNREACHABLE


def _redirect(tenant: Tenant, request: Request) -> Answer:
    try:
        url = tenant.recorded_sign_in_url(query_value(request, "state"))
    except ValueError:
        return INTERNAL_ERROR
    return Answer(302, ((b"location", url.encode()),), with_cors=False)


async def _userinfo(tenant: Tenant, request: Request, fetching: Fetching) -> Answer:
    token = access_token(request)
    if not token:
        return _NO_ACCESS_TOKEN
    headers = [("authorization", f"Bearer {token}"), ("accept", "application/json")]
    return _passed_on(await fetching.fetch("GET", tenant.userinfo_url, headers, None, FETCH_SECONDS), "userinfo")


async def _refresh(tenant: Tenant, request: Request, body: bytes, fetching: Fetching, keys: Keys, now: float) -> Answer:
    refresh_token = posted_refresh_token(request, body)
    if not refresh_token:
        return _NO_REFRESH_TOKEN
    token = bearer_token(request.header("authorization"))
    try:
        if token is None:
            raise NoToken
        await verified(tenant.access_tokens, token, keys, now)
    except Refused as refused:
        if refused.code != EXPIRED:
            return refusal(refused, strict=False)
    else:
        return STILL_VALID
    asked = tenant.refresh(refresh_token)
    return _passed_on(await fetching.fetch("POST", tenant.token_url, SENT_JSON, asked, FETCH_SECONDS), "refresh token")


async def _callback(tenant: Tenant, request: Request, fetching: Fetching, keys: Keys, now: float) -> Answer:
    asked = tenant.exchange(query_value(request, "code"), None)
    answer = await fetching.fetch("POST", tenant.token_url, SENT_JSON, asked, FETCH_SECONDS)
    if not answer.succeeded:
        return _passed_on(answer, "token exchange")
    try:
        await check_id_token(tenant, answer, keys, now)
    except Refused as refused:
        return refusal(refused, strict=False)
    return _passed_on(answer, "token exchange")


def _passed_on(answer: Fetched, what: str) -> Answer:
    """Auth0's JSON, or its status with the gateway's words."""
    if not answer.succeeded:
        return json_answer(answer.status, {"error": f"Auth0 {what} failed", "code": "AUTH0_UPSTREAM_ERROR"})
    return _UNREACHABLE if json_value(answer.body) is None else Answer(200, (JSON_TYPE,), answer.body)


async def check_id_token(tenant: Tenant, answer: Fetched, keys: Keys, now: float) -> None:
    """Look at the ID token among the tokens that Auth0 gave out.

    Raises:
        Refused: it is missing or does not pass.
    """
    tokens = json_value(answer.body)
    token = tokens.get("id_token") if isinstance(tokens, dict) else None
    if not isinstance(token, str):
        raise malformed()
    await verified(tenant.id_tokens, token, keys, now)


def access_token(request: Request) -> str | None:
    """The access token of a request: a header of its own, else the bearer token."""
    return request.header("x-access-token") or bearer_token(request.header("authorization"))


def posted_refresh_token(request: Request, body: bytes) -> object:
    """The refresh token of a request: a header of its own, else a member of a posted JSON object."""
    sent = request.header("x-refresh-token")
    if sent or request.method != "POST":
        return sent
    posted = json_value(body)
    return posted.get("refresh_token") if isinstance(posted, dict) else None


def query_value(request: Request, name: str) -> str | None:
    """The first value of a name of the query, decoded; None when it is not there."""
    return next((value for found, value in parse_form(request.query) if found == name), None)


def json_value(body: bytes) -> object:
    """The value of a JSON text; None for null, and for what is none."""
    try:
        return parse(body.decode("utf-8", "replace"))
    except ValueError:
        return None
