"""What becomes of a request, told without sending anything: its route and why, who may ask, what is passed on."""

import json
import re
from collections.abc import Iterator, Sequence

from airgate.edge.listing import Listed, listing
from airgate.edge.loading import FileRefused, Source
from airgate.edge.service_calls import ServiceCalls
from airgate.spec.answer import Answer
from airgate.spec.config import Gateway, Mode, Route
from airgate.spec.gateway import Chosen, Forward, choose
from airgate.spec.message import Request
from airgate.spec.routing import Pattern
from airgate.spec.services import ServiceCall

_CLIENT = "192.0.2.1"  # of the addresses for documentation (RFC 5737)
_SECRET = re.compile(r'"\$secrets?\.([^"\\]+)"')
_REASONS = (
    "it has a parameter where the chosen one matches as it stands",
    "it has fewer segments in play",
    "it has a wildcard",
    "its method is ANY",
    "it stands later in the file",
)


def explain(source: Source, text: str, method: str, target: str, headers: Sequence[str], claims: str | None) -> str:
    """Lines of text about one request.

    Args:
        source: The file, checked.
        text: Its text.
        method: The method.
        target: Path and query, as a client would send them.
        headers: `Name: value`, one each.
        claims: Claims of a token that is taken to be valid, as a JSON object; None for those of a token without any.

    Raises:
        FileRefused: the target, a header or the claims cannot be read.
    """
    request = _request(method, target, headers)
    edge = source.edge(text)
    chosen = choose(edge.gateway, request)
    lines = [f"{method} {target}"]
    if isinstance(chosen, Answer):
        lines += [f"route      none: answered with {chosen.status}, {_body(chosen)}"]
        lines += _other_methods(edge.gateway, request)
        return "\n".join(lines) + "\n"
    listed = {each["pointer"]: each for each in listing(text)}
    lines += _route(edge.gateway, request, chosen, listed)
    lines += _auth(edge.gateway, chosen.route)
    hook = chosen.route.hook
    if hook is not None:
        lines.append(f"hook       {hook} must return true; else {_not_let_through(source.mode)}")
        lines += _missing(edge.services, hook)
    outcome = edge.told(chosen, request, _claims(claims) if chosen.route.guarded else None, _CLIENT)
    if isinstance(outcome, Forward):
        lines += (_without_secrets(line, text, source) for line in _forward(request, outcome))
        if source.mode == "strict":
            lines.append("  sets     x-request-id and traceparent, unless the request has them")
    elif isinstance(outcome, ServiceCall):
        lines.append(f"service    {outcome}")
        lines += _missing(edge.services, outcome)
    elif isinstance(outcome, Answer) and listed[_pointer(chosen.route)]["integration"] != "aggregate":
        lines.append(f"answer     {outcome.status}, {_body(outcome)}")
    else:
        lines.append(f"does       {listed[_pointer(chosen.route)]['integration']}, which the edge carries out itself")
    return "\n".join(lines) + "\n"


def _not_let_through(mode: Mode) -> str:
    return "403" if mode == "strict" else "an empty 200"


def _missing(services: ServiceCalls, call: ServiceCall) -> Iterator[str]:
    missing = services.missing(call)
    if missing is not None:
        yield f"           answered with 500: {missing.what}"


def _without_secrets(line: str, text: str, source: Source) -> str:
    for name in _SECRET.findall(text):
        value = source.environment.get(name)
        line = line.replace(value, "(secret)") if value else line
    return line


def _request(method: str, target: str, headers: Sequence[str]) -> Request:
    if not target.startswith("/"):
        raise FileRefused(f"{target!r} is no path: it begins with /")
    path, _, query = target.encode().partition(b"#")[0].partition(b"?")
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name:
            raise FileRefused(f"{header!r} is not 'NAME: VALUE'")
        pairs.append((name.strip().lower().encode(), value.strip().encode()))
    return Request(method, path, query, pairs)


def _claims(text: str | None) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FileRefused("the claims are not a JSON object")
    return value


def _pointer(route: Route) -> str:
    return f"/paths/{route.position}"


def _body(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace")
    return text or "no body"


def _route(gateway: Gateway, request: Request, chosen: Chosen, listed: dict[str, Listed]) -> Iterator[str]:
    winner, *others = gateway.routes.matches(request.method, chosen.path)
    does = listed[_pointer(winner)]["integration"] or "static answer"
    yield f"route      {winner.method} {winner.path} ({_pointer(winner)}, {does})"
    if chosen.path != request.raw_path.decode("ascii", "replace"):
        yield f"           the path is read as {chosen.path}"
    for other in others:
        yield f"           not {other.method} {other.path} ({_pointer(other)}): {_why(winner, other, request, chosen)}"


def _why(winner: Route, other: Route, request: Request, chosen: Chosen) -> str:
    length = len(chosen.path.split("/"))
    first, second = (
        (*Pattern.of(route.path).rank(length), route.method != request.method, route.position)
        for route in (winner, other)
    )
    return next(reason for reason, a, b in zip(_REASONS, first, second, strict=True) if a != b)


def _other_methods(gateway: Gateway, request: Request) -> Iterator[str]:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        found = choose(gateway, Request(method, request.raw_path, request.query, request.headers))
        if isinstance(found, Chosen):
            yield f"           {method} would be served by {found.route.method} {found.route.path}"


def _auth(gateway: Gateway, route: Route) -> Iterator[str]:
    if route.guarded and gateway.authorizer is not None:
        yield f"auth       a bearer token that the authorizer of type {gateway.authorizer.type} accepts; else 401"
    else:
        yield "auth       none"


def _forward(request: Request, call: Forward) -> Iterator[str]:
    origin = call.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    query = f"?{call.query}" if call.query else ""
    yield f"upstream   {call.server}: {request.method} {origin.scheme}://{host}:{origin.port}{call.path}{query}"
    came = {(name.decode(), value.decode("utf-8", "replace")) for name, value in request.headers}
    names = {name for name, _ in call.headers}
    for name, value in call.headers:
        if (name, value) not in came:
            yield f"  sets     {name}: {value}"
    for dropped in dict.fromkeys(name.decode() for name, _ in request.headers):
        if dropped not in names:
            yield f"  drops    {dropped}"
