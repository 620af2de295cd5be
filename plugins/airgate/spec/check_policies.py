"""Strict mode's look at the policies under `x-airgate`: what each key needs around it to have an effect."""

import ipaddress
from collections.abc import Iterator, Mapping

import msgspec

from airgate.policy.limits import parse_limits
from airgate.spec.check_aggregate import TYPE as AGGREGATE
from airgate.spec.check_extension import shape_problems
from airgate.spec.check_identity import identity_problems
from airgate.spec.check_identity import secret_problems as identity_secret_problems
from airgate.spec.check_templates import Surroundings, path_problems, template_problems
from airgate.spec.config import PROXY_TYPES
from airgate.spec.extension import (
    KEY,
    UNIX,
    ClientHeader,
    FileIdentity,
    FilePolicies,
    RouteIdentity,
    RoutePolicies,
    Validate,
)
from airgate.spec.problem import Path, Problem, at

_FOR_SERVERS = ("upstream", "rewrite", "cache", "body", "identity")
_CACHED_METHODS = ("GET", "ANY")
_BODILESS = ("GET", "OPTIONS")


def file_policy_problems(file: Mapping[str, object]) -> Iterator[Problem]:
    """The problems of `x-airgate` at the top of a file, whose variables are already put in."""
    if KEY not in file:
        return
    here: Path = (KEY,)
    found = list(shape_problems(here, file[KEY], FilePolicies))
    if found:
        yield from found
        return
    policies = msgspec.convert(file[KEY], FilePolicies)
    yield from _rate_problems((*here, "limits"), file[KEY])
    proxies = [] if isinstance(policies.trusted_proxies, msgspec.UnsetType) else policies.trusted_proxies
    for position, network in enumerate(proxies):
        if network == UNIX:
            continue
        try:
            ipaddress.ip_network(network)
        except ValueError:
            what = f"{network!r} is no address and no network"
            yield at((*here, "trusted_proxies", position), what, f"Write one such as 10.0.0.0/8, or {UNIX!r}")
    if isinstance(policies.client, ClientHeader) and not proxies:
        what = "without trusted_proxies nobody may name a client, so the header would never count"
        yield at((*here, "client"), what, "List the proxies that set the header")
    if policies.client == "token" and "authorizer" not in file:
        yield at((*here, "client"), "the file has no authorizer, so no client has a token", "Add one, or write 'peer'")
    if isinstance(policies.identity, FileIdentity):
        place = (*here, "identity", "secret")
        yield from identity_secret_problems(place, policies.identity.secret, file.get("authorizer"))


def route_policy_problems(here: Path, route: Mapping[str, object], file: Mapping[str, object]) -> Iterator[Problem]:
    """The problems of `x-airgate` of one route."""
    if KEY not in route:
        return
    own: Path = (*here, KEY)
    found = list(shape_problems(own, route[KEY], RoutePolicies))
    if found:
        yield from found
        return
    policies = msgspec.convert(route[KEY], RoutePolicies)
    yield from _rate_problems((*own, "limits"), route[KEY])
    integration = route.get("integration")
    kind = integration.get("type") if isinstance(integration, dict) else None
    for name in _FOR_SERVERS:
        if kind not in PROXY_TYPES and not isinstance(getattr(policies, name), msgspec.UnsetType):
            yield at((*own, name), "it has no effect on a route that calls no server", "Remove it")
            return
    method = route.get("method")
    if policies.cache and method not in _CACHED_METHODS and not isinstance(policies.cache, msgspec.UnsetType):
        yield at((*own, "cache"), f"answers to {method} cannot be kept", "Remove it; GET and HEAD can be cached")
    around = Surroundings.of(route, file)
    if isinstance(policies.rewrite, str):
        yield from path_problems((*own, "rewrite"), policies.rewrite, around)
    if not isinstance(policies.body, msgspec.UnsetType):
        if method in _BODILESS:
            yield at((*own, "body"), f"a {method} request has no body", "Remove it, or change the method")
        yield from template_problems((*own, "body"), policies.body, around)
    if isinstance(policies.validate, Validate):
        yield from _validate_problems((*own, "validate"), policies.validate, file, method)
    if isinstance(policies.identity, RouteIdentity):
        yield from identity_problems((*own, "identity"), policies.identity, route, file)


def unserved_problems(file: Mapping[str, object]) -> Iterator[Problem]:
    """Every place of a file that asks for a policy, for an edge that carries none out."""
    what, cure = "this edge does not carry out policies, so it would not hold", "Remove it, or serve the file with them"
    if KEY in file:
        yield at((KEY,), what, cure)
    routes = file.get("paths")
    for position, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, dict):
            continue
        if KEY in route:
            yield at(("paths", position, KEY), what, cure)
        integration = route.get("integration")
        if isinstance(integration, dict) and integration.get("type") == AGGREGATE:
            yield at(("paths", position, "integration", "type"), what, cure)


def _rate_problems(path: Path, extension: object) -> Iterator[Problem]:
    """Rates that cannot be read, at the place of each."""
    limits = extension.get("limits") if isinstance(extension, dict) else None
    if not isinstance(limits, dict):
        return
    for place, part in ((path, limits), ((*path, "per_client"), limits.get("per_client"))):
        rate = part.get("rate") if isinstance(part, dict) else None
        if rate is not None:
            try:
                parse_limits({"rate": rate})
            except ValueError as error:
                what = str(error).removeprefix("limits.rate: ")
                yield at((*place, "rate"), f"the rate cannot be read: {what}", "Write requests/period, such as 100/min")


def _validate_problems(path: Path, rules: Validate, file: Mapping[str, object], method: object) -> Iterator[Problem]:
    for name in ("body", "query", "headers"):
        schema = getattr(rules, name)
        if not isinstance(schema, msgspec.UnsetType):
            yield from _schema_problems((*path, name), schema)
    if not isinstance(rules.body, msgspec.UnsetType) and method in _BODILESS:
        yield at((*path, "body"), f"a {method} request has no body", "Remove it, or change the method")
    extension = file.get(KEY)
    shared = isinstance(extension, dict) and "openapi" in extension
    if isinstance(rules.operation, str):
        if not shared and isinstance(rules.document, msgspec.UnsetType):
            what = "no OpenAPI document is named that could have the operation"
            yield at((*path, "operation"), what, f"Add document here, or openapi to {KEY} of the file")
        if not all(isinstance(getattr(rules, name), msgspec.UnsetType) for name in ("body", "query", "headers")):
            yield at(path, "an operation and schemas stand side by side", "Keep one of the two")
    elif not isinstance(rules.document, msgspec.UnsetType):
        yield at((*path, "document"), "a document without an operation checks nothing", "Name the operation")


def _schema_problems(path: Path, schema: object) -> Iterator[Problem]:
    from jsonschema import Draft202012Validator  # half of the start-up time, for the files that need it
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]
    except SchemaError as error:
        yield at((*path, *error.absolute_path), "it is not valid in a JSON Schema (2020-12)", "Correct the schema")
