"""The gateway's file, read as leniently as the gateway does and compiled into what serves a request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from airgate.spec import authorizer, cors, mapping
from airgate.spec.answer import EMPTY_STATIC, INTERNAL_ERROR, NO_MATCH, UNCAUGHT, Answer, json_answer, problem
from airgate.spec.environment import substitute
from airgate.spec.javascript import MISSING, equal, parse, truthy
from airgate.spec.routing import RouteTable
from airgate.spec.services import SERVICE_TYPES, Function, ServiceCall, pre_process, service_call
from airgate.spec.sign_in import SignIn, sign_in_route
from airgate.spec.target import stripped_prefix
from airgate.spec.url import HTTP_SCHEMES, Origin, parse_origin

Mode = Literal["strict", "compatible"]

PROXY_TYPES = ("http_proxy", "http")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Pass the request on: to which server (alias and origin), which prefix goes, what is mapped."""

    server: str
    origin: Origin
    prefix: str | None
    headers: mapping.Rules
    query: mapping.Rules | None


@dataclass(frozen=True, slots=True)
class Route:
    """One compiled route: when it matches, whether it is guarded, and what it does.

    That is an answer, a call of a server or of a service, or a sign-in. `hook` is called before it.
    """

    position: int
    """In the file's list of routes."""
    method: object
    path: str
    guarded: bool
    action: Answer | Proxy | SignIn | ServiceCall
    hook: Function | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A compiled file.

    `failure`, if set, is the answer to every request: the file as a whole cannot be served.
    """

    routes: RouteTable[Route]
    authorizer: authorizer.Authorizer | None
    cors: cors.Cors | None
    mode: Mode
    failure: Answer | None = None


class BrokenFile(ValueError):
    """The file has no usable list of routes."""


def load(text: str, environment: Mapping[str, str], mode: Mode) -> Gateway:
    """Compile a gateway's file; `environment` holds the variables that `$env.` and `$secret.` read.

    Nothing is raised for a bad file: like the gateway, what comes back then answers 500, to everything or on the
    routes that are touched. Strict mode must therefore ask `airgate.spec.check.problems` before it serves a file.
    """
    try:
        file = substitute(parse(text), environment)
    except ValueError:
        return _failing(None, mode, INTERNAL_ERROR)
    if not isinstance(file, dict):
        return _failing(None, mode, INTERNAL_ERROR)
    try:
        cross_origin = cors.build(file.get("cors"))
    except cors.BadList:
        return _failing(None, mode, UNCAUGHT)
    judge = authorizer.build(file.get("authorizer"), strict=mode == "strict")
    try:
        routes = [
            _route(position, entry, file, environment, judge, mode)
            for position, entry in enumerate(_entries(file.get("paths")))
        ]
    except BrokenFile:
        return _failing(cross_origin, mode, INTERNAL_ERROR)
    if mode == "strict":
        routes = _with_shared_claims(routes)
    return Gateway(RouteTable(routes), judge, cross_origin, mode)


def _failing(cross_origin: cors.Cors | None, mode: Mode, answer: Answer) -> Gateway:
    return Gateway(RouteTable(()), None, cross_origin, mode, failure=answer)


def _with_shared_claims(routes: list[Route]) -> list[Route]:
    """Make a header that one route maps the gateway's to set on every route to the same server.

    A server that trusts it there would trust it from a caller on an unguarded route, too.
    """
    claimed: dict[str, frozenset[str]] = {}
    for route in routes:
        if isinstance(route.action, Proxy):
            names = route.action.headers.claimed
            claimed[route.action.server] = claimed.get(route.action.server, frozenset()) | names
    return [
        replace(route, action=replace(proxy, headers=replace(proxy.headers, claimed=claimed[proxy.server])))
        if isinstance(proxy := route.action, Proxy)
        else route
        for route in routes
    ]


def _entries(paths: object) -> Iterable[dict[str, object]]:
    if not isinstance(paths, list):
        raise BrokenFile("paths is not a list")
    for entry in paths:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise BrokenFile("a route has no path")
        yield entry


def _route(
    position: int,
    entry: dict[str, object],
    file: dict[str, object],
    environment: Mapping[str, str],
    judge: authorizer.Authorizer | None,
    mode: Mode,
) -> Route:
    return Route(
        position=position,
        method=entry.get("method"),
        path=str(entry["path"]),
        guarded=judge is not None and truthy(entry.get("auth")),
        action=_action(entry, file, environment, mode),
        hook=pre_process(entry, file),
    )


def _action(
    entry: dict[str, object], file: dict[str, object], environment: Mapping[str, str], mode: Mode
) -> Answer | Proxy | SignIn | ServiceCall:
    integration = entry.get("integration")
    if not truthy(integration):
        return _static(entry)
    options = integration if isinstance(integration, dict) else {}
    kind = options.get("type")
    if kind in PROXY_TYPES:
        return _proxy(entry, options.get("server", MISSING), file, mode)
    if kind in SERVICE_TYPES:
        return service_call(options, file) or NO_MATCH
    sign_in = sign_in_route(options, file, environment, strict=mode == "strict")
    return _static(entry) if sign_in is None else sign_in


def _static(entry: dict[str, object]) -> Answer:
    return json_answer(200, entry["response"]) if "response" in entry else EMPTY_STATIC


def _proxy(entry: dict[str, object], alias: object, file: dict[str, object], mode: Mode) -> Answer | Proxy:
    servers = file.get("servers")
    if servers is not None and not isinstance(servers, list):
        return INTERNAL_ERROR
    matching = (item for item in servers or () if isinstance(item, dict) and equal(item.get("alias", MISSING), alias))
    server = next(matching, None)
    if server is None:
        return NO_MATCH
    url = server.get("url")
    try:
        origin = parse_origin(url if isinstance(url, str) else "")
    except ValueError:
        return INTERNAL_ERROR
    if origin.scheme not in HTTP_SCHEMES:
        return problem(502, f"The server {alias!r} has no http or https URL.", with_cors=mode == "strict")
    rules = entry.get("mapping")
    templates = rules if isinstance(rules, dict) else {}
    variables = {**_object(file.get("variables")), **_object(entry.get("variables"))}
    query = templates.get("query")
    strict = mode == "strict"
    return Proxy(
        server=str(alias),
        origin=origin,
        prefix=stripped_prefix(str(entry["path"])),
        headers=mapping.compile_rules(templates.get("headers"), variables, headers=True, strict=strict),
        query=mapping.compile_rules(query, variables, headers=False, strict=strict) if truthy(query) else None,
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
