"""What becomes of one request: an answer of the gateway's own, or a call to an upstream. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from airgate.spec.answer import AMBIGUOUS_PATH, NO_MATCH, PREFLIGHT, Answer
from airgate.spec.config import Gateway, Proxy, Route
from airgate.spec.mapping import UNMAPPED, BadHeader, forwarded_query
from airgate.spec.message import Request, header_text
from airgate.spec.need import NeedKeys
from airgate.spec.path_readings import TWO_READINGS, has_one_reading
from airgate.spec.services import ServiceCall
from airgate.spec.sign_in import SignIn
from airgate.spec.target import upstream_path
from airgate.spec.url import Origin, canonical_path, normalise_path

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers that belong to one connection (RFC 9110, 7.6.1) and are not passed on, in either direction."""

# `Host` and the framing are the connection's business; `Expect` is answered by the edge itself.
_NOT_FORWARDED = HOP_BY_HOP | {b"host", b"expect"}


@dataclass(frozen=True, slots=True)
class Forward:
    """The call to make: server alias (for messages), origin, path and query, headers with lower-case names."""

    server: str
    origin: Origin
    path: str
    query: str
    headers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The route that serves a request, and the request's path as routing saw it."""

    route: Route
    path: str


Claims = Mapping[str, object] | None
"""What a caller's token says; None on a route that asks for none."""

Admission = Answer | Claims
Outcome = Answer | Forward | SignIn | ServiceCall


def decide(gateway: Gateway, request: Request, now: float) -> Outcome | NeedKeys[Outcome]:
    """What to do with a request; `now`, in seconds since 1970, is when its token must be valid.

    `choose`, `admit` and `act` in one, without the hook of the route. Where keys are needed first, resuming gives the
    outcome.
    """
    chosen = choose(gateway, request)
    if isinstance(chosen, Answer):
        return chosen

    def go_on(admitted: Admission) -> Outcome:
        return admitted if isinstance(admitted, Answer) else act(chosen, request, admitted)

    admitted = admit(gateway, chosen.route, request, now)
    return admitted.then(go_on) if isinstance(admitted, NeedKeys) else go_on(admitted)


def choose(gateway: Gateway, request: Request) -> Answer | Chosen:
    """Which route serves a request, before anything is asked of the caller; an answer where there is none."""
    if gateway.failure is not None:
        return gateway.failure
    path = normalise_path(request.raw_path)
    if gateway.mode == "strict":
        canonical = canonical_path(path)
        if canonical is None:
            return AMBIGUOUS_PATH
        path = canonical
    routes = gateway.routes.matches(request.method, path)
    if gateway.mode == "strict" and ("%" in path or ";" in path or path[-1] == "/"):
        to_server = bool(routes) and isinstance(routes[0].action, Proxy)  # nobody else has a reading of its own
        if to_server and not has_one_reading(path, lambda read: _first(gateway, request, read)):
            return TWO_READINGS
    if gateway.cors and request.method == "OPTIONS" and not any(route.method == "OPTIONS" for route in routes):
        return PREFLIGHT
    return Chosen(routes[0], path) if routes else NO_MATCH


def _first(gateway: Gateway, request: Request, path: str) -> Route | None:
    return next(iter(gateway.routes.matches(request.method, path)), None)


def admit(gateway: Gateway, route: Route, request: Request, now: float) -> Admission | NeedKeys[Admission]:
    """What is known about the caller of a route, the answer that turns it away, or what is needed to tell."""
    if not route.guarded or gateway.authorizer is None:
        return None
    judged = gateway.authorizer.judge(request.header("authorization"), now)
    if isinstance(judged, NeedKeys):
        return judged.then(lambda found: _known(gateway, found))
    return _known(gateway, judged)


def _known(gateway: Gateway, judged: Admission) -> Admission:
    if isinstance(judged, Answer) or judged is None:
        return judged
    # Observed: a claim of this name hides all the others from the gateway's mappings.
    return {} if "hasOwnProperty" in judged and gateway.mode == "compatible" else judged


def act(chosen: Chosen, request: Request, claims: Claims) -> Outcome:
    """What a route does with the request of a caller who was let in, by its hook, too."""
    action = chosen.route.action
    if not isinstance(action, Proxy):
        return action
    try:
        return _forward(action, chosen.path, request, claims)
    except BadHeader as bad:
        return bad.answer


def _forward(proxy: Proxy, path: str, request: Request, claims: Claims) -> Forward:
    mapped = {name: value for name, value in proxy.headers.headers(request, claims).items() if name not in UNMAPPED}
    dropped = _NOT_FORWARDED.union([name.encode() for name in mapped]) if mapped else _NOT_FORWARDED
    claimed = _claimed(proxy.headers.claimed)
    headers = [
        (name.decode(), header_text(value))
        for name, value in request.headers
        if name not in dropped and (not claimed or name.replace(b"_", b"-") not in claimed)
    ]
    return Forward(
        server=proxy.server,
        origin=proxy.origin,
        path=upstream_path(proxy.origin, proxy.prefix, path),
        query=forwarded_query(proxy.query, request, claims),
        headers=_one_cookie_line(headers) + list(mapped.items()),
    )


@lru_cache(maxsize=1024)
def _claimed(names: frozenset[str]) -> frozenset[bytes]:
    """The names as they are compared: many servers hand `x_user` and `x-user` to their application as one."""
    return frozenset(name.replace("_", "-").encode() for name in names - UNMAPPED)


def _one_cookie_line(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join repeated `Cookie` lines with a comma, as the gateway's runtime does; others stay repeated."""
    cookies = [value for name, value in headers if name == "cookie"]
    if len(cookies) < 2:
        return headers
    return [header for header in headers if header[0] != "cookie"] + [("cookie", ", ".join(cookies))]
