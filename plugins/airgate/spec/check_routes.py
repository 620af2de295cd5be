"""Strict mode's look at the routes of a file."""

from collections.abc import Iterator

from airgate.spec import check_aggregate, check_services
from airgate.spec.authorizer import KNOWN_TYPES
from airgate.spec.check_mapping import mapping_problems
from airgate.spec.check_policies import route_policy_problems
from airgate.spec.check_shadow import shadow_problems
from airgate.spec.config import PROXY_TYPES
from airgate.spec.extension import KEY
from airgate.spec.problem import Path, Problem, at, not_an_object, unknown_keys
from airgate.spec.routing import WILDCARD, is_parameter
from airgate.spec.services import SERVICE_TYPES
from airgate.spec.sign_in import SIGN_IN_TYPES
from airgate.spec.url import canonical_path, normalise_path

_ROUTE_KEYS = ("method", "path", "integration", "auth", "mapping", "variables", "response", "pre_process", KEY)
_INTEGRATION_KEYS = ("type", "server", "binding", "function", "post_process")
_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ANY")


def route_problems(file: dict[str, object]) -> Iterator[Problem]:
    """The problems of all routes of a file, whose variables are already put in."""
    routes = file.get("paths")
    if not isinstance(routes, list):
        yield at(("paths",), "the file has no list of routes", "Write a list of objects with method and path")
        return
    authorizer = file.get("authorizer")
    guard = isinstance(authorizer, dict) and authorizer.get("type") in KNOWN_TYPES
    servers = file.get("servers")
    aliases = [item.get("alias") for item in servers if isinstance(item, dict)] if isinstance(servers, list) else []
    seen: dict[tuple[object, ...], int] = {}
    for position, route in enumerate(routes):
        here = ("paths", position)
        if not isinstance(route, dict):
            yield from not_an_object(here, route)
            continue
        yield from unknown_keys(here, route, _ROUTE_KEYS)
        yield from _match_problems(here, route)
        earlier = seen.setdefault(_shape(route), position)
        if earlier != position:
            yield at(here, f"it is a duplicate of /paths/{earlier}, which alone would be served", "Remove one of them")
        yield from _auth_problems((*here, "auth"), route.get("auth", False), guard=guard)
        yield from _integration_problems(here, route, file, aliases)
        yield from route_policy_problems(here, route, file)
        variables = {**_variables(file), **_variables(route)}
        yield from mapping_problems((*here, "mapping"), route.get("mapping", {}), variables)
        yield from not_an_object((*here, "variables"), route.get("variables", {}))
    yield from shadow_problems(routes)


def _match_problems(here: Path, route: dict[str, object]) -> Iterator[Problem]:
    if route.get("method") not in _METHODS:
        yield at((*here, "method"), "the method is missing or unknown", f"Use one of {', '.join(_METHODS)}")
    path = route.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        yield at((*here, "path"), "the path does not begin with a slash", "Write a path such as /flights or /a/{.+}")
        return
    if "//" in path:
        yield at((*here, "path"), "no request can match an empty segment", "Write one slash")
        return
    for segment in path.split("/"):
        if segment == WILDCARD or is_parameter(segment):
            continue
        sent = canonical_path(normalise_path(f"/{segment}".encode()))
        if sent != f"/{segment}":
            cure = "A parameter or wildcard fills a whole segment" if "{" in segment else f"Write {(sent or '/')[1:]!r}"
            yield at((*here, "path"), f"no request can match the segment {segment!r}", cure)
            return


def _shape(route: dict[str, object]) -> tuple[object, ...]:
    """Two routes of the same shape match the same requests: names of parameters do not count."""
    segments = str(route.get("path")).split("/")
    return (str(route.get("method")), *("{}" if is_parameter(segment) else segment for segment in segments))


def _auth_problems(path: Path, auth: object, *, guard: bool) -> Iterator[Problem]:
    if not isinstance(auth, bool):
        yield at(path, "it is neither true nor false", "Write true or false")
    elif auth and not guard:
        yield at(path, "the route asks for auth, but the file has no authorizer to check it", "Add an authorizer")


def _integration_problems(
    here: Path, route: dict[str, object], file: dict[str, object], aliases: list[object]
) -> Iterator[Problem]:
    if "pre_process" in route:
        yield from check_services.hook_problems((*here, "pre_process"), route["pre_process"], route, file)
    if "integration" not in route:
        return
    integration, here = route["integration"], (*here, "integration")
    if not isinstance(integration, dict):
        yield from not_an_object(here, integration)
        return
    kind = integration.get("type")
    if kind == check_aggregate.TYPE:
        yield from check_aggregate.aggregate_problems(here, integration, route, file, aliases)
        return
    if kind in SERVICE_TYPES:
        yield from check_services.integration_problems(here, integration, route, file)
        return
    yield from unknown_keys(here, integration, _INTEGRATION_KEYS)
    yield from check_services.post_process_problems((*here, "post_process"), integration, file)
    if kind in SIGN_IN_TYPES:
        return  # `check_sign_in` looks at what they need
    if kind not in PROXY_TYPES:
        yield at((*here, "type"), "the integration type is missing or unknown", "Use the type 'http_proxy'")
    elif integration.get("server") not in aliases:
        known = ", ".join(repr(alias) for alias in aliases) or "none yet"
        what = f"no server has the alias {integration.get('server')!r}"
        yield at((*here, "server"), what, f"Add it to servers; there are: {known}")


def _variables(place: dict[str, object]) -> dict[str, object]:
    variables = place.get("variables")
    return variables if isinstance(variables, dict) else {}
