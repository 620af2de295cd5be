"""What becomes of one request: an answer of the gateway's own, or a call to an upstream. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from airgate.spec.answer import AMBIGUOUS_PATH, INTERNAL_ERROR, NO_MATCH, PREFLIGHT, Answer
from airgate.spec.config import Gateway, Proxy
from airgate.spec.mapping import BadHeader, forwarded_query
from airgate.spec.message import Request, header_text
from airgate.spec.target import upstream_path
from airgate.spec.url import Origin, canonical_path, normalise_path

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers that belong to one connection (RFC 9110, 7.6.1) and are not passed on, in either direction."""

# `Host` and the framing are the connection's business; `Expect` is answered by the edge itself.
_NOT_FORWARDED = HOP_BY_HOP | {b"host", b"expect"}
_NOT_MAPPED = frozenset(name.decode() for name in _NOT_FORWARDED) | {"content-length"}


@dataclass(frozen=True, slots=True)
class Forward:
    """The call to make: server alias (for messages), origin, path and query, headers with lower-case names."""

    server: str
    origin: Origin
    path: str
    query: str
    headers: list[tuple[str, str]]


def decide(gateway: Gateway, request: Request, now: float) -> Answer | Forward:
    """What to do with a request; `now`, in seconds since 1970, is when its token must be valid."""
    if gateway.failure is not None:
        return gateway.failure
    path = normalise_path(request.raw_path)
    if gateway.mode == "strict":
        canonical = canonical_path(path)
        if canonical is None:
            return AMBIGUOUS_PATH
        path = canonical
    routes = gateway.routes.matches(request.method, path)
    if gateway.cors and request.method == "OPTIONS" and not any(route.method == "OPTIONS" for route in routes):
        return PREFLIGHT
    if not routes:
        return NO_MATCH
    route = routes[0]
    claims: Mapping[str, object] | None = None
    if route.guarded and gateway.authorizer is not None:
        judged = gateway.authorizer.judge(request.header("authorization"), now)
        if isinstance(judged, Answer):
            return judged
        # Observed: a claim of this name hides all the others from the gateway's mappings.
        claims = {} if "hasOwnProperty" in judged and gateway.mode == "compatible" else judged
    if isinstance(route.action, Answer):
        return route.action
    try:
        return _forward(route.action, path, request, claims)
    except BadHeader:
        return INTERNAL_ERROR


def _forward(proxy: Proxy, path: str, request: Request, claims: Mapping[str, object] | None) -> Forward:
    mapped = {name: value for name, value in proxy.headers.headers(request, claims).items() if name not in _NOT_MAPPED}
    dropped = {name.encode() for name in mapped} | _NOT_FORWARDED
    # Many servers hand `x_user` and `x-user` to their application as one name.
    claimed = {name.replace("_", "-").encode() for name in proxy.headers.claimed - _NOT_MAPPED}
    headers = [
        (name.decode(), header_text(value))
        for name, value in request.headers
        if name not in dropped and name.replace(b"_", b"-") not in claimed
    ]
    return Forward(
        server=proxy.server,
        origin=proxy.origin,
        path=upstream_path(proxy.origin, proxy.prefix, path),
        query=forwarded_query(proxy.query, request, claims),
        headers=_one_cookie_line(headers) + list(mapped.items()),
    )


def _one_cookie_line(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join repeated `Cookie` lines with a comma, as the gateway's runtime does; others stay repeated."""
    cookies = [value for name, value in headers if name == "cookie"]
    if len(cookies) < 2:
        return headers
    return [header for header in headers if header[0] != "cookie"] + [("cookie", ", ".join(cookies))]
