"""From a gateway's file to what holds for each of its routes. Pure, but for the files that schemas stand in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import UnsetType

from airgate.edge.named_files import NamedFiles
from airgate.edge.speaking import Speaker
from airgate.edge.validation import Rules
from airgate.edge.validation_rules import CannotCheck, compile_rules
from airgate.edge.validation_schema import SchemaFiles
from airgate.policy.callback import secrets_of
from airgate.spec import extension_defaults
from airgate.spec.check_aggregate import TYPE as AGGREGATE
from airgate.spec.config import PROXY_TYPES
from airgate.spec.environment import substitute
from airgate.spec.extension import (
    KEY,
    Aggregate,
    FileIdentity,
    FileLimits,
    FilePolicies,
    FileUpstream,
    RouteCache,
    RouteIdentity,
    RouteLimits,
    RoutePolicies,
    RouteUpstream,
)
from airgate.spec.extension_defaults import STRICT_CALLING, Calling, Limits, Protection
from airgate.spec.javascript import parse
from airgate.spec.problem import Problem, at
from airgate.spec.services import SERVICE_TYPES, Function, ServiceCall, pre_process, service_call
from airgate.spec.sign_in import SIGN_IN_TYPES
from airgate.spec.url import Origin, parse_origin

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What holds for one route."""

    position: int
    method: str
    path: str
    guarded: bool
    limits: Limits
    calling: Calling
    rules: Rules | None
    rewrite: str | None
    cache: RouteCache | None
    body: object
    """Template of the body to send; `UNSET` for the client's own."""
    aggregate: Aggregate | None
    proxied: bool
    signs_in: bool
    service: ServiceCall | None
    hook: Function | None
    variables: Mapping[str, object]
    mapped: frozenset[str]
    """Headers, in small letters, that the route's mapping names."""
    speaker: Speaker | None
    """Who tells the server who the client is."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What holds for a file."""

    file: FilePolicies
    protection: Protection
    routes: tuple[RoutePlan, ...]
    origins: Mapping[str, Origin]


class CannotServe(ValueError):
    """A file that strict mode does not serve, as what its policies need is not there.

    Args:
        problems: Everything that is missing.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def plan(
    text: str,
    environment: Mapping[str, str],
    folder: Path | None,
    default: Calling = STRICT_CALLING,
    files: NamedFiles | None = None,
) -> FilePlan:
    """The policies of a file that the strict checks have passed.

    Args:
        text: The file.
        environment: The variables.
        folder: Where the file stands, and the schemas and documents that it names; None for nowhere.
        default: How upstreams are called where neither route nor file says.
        files: Notes which files are read.

    Raises:
        CannotServe: a schema, document or operation that a route names is not there.
    """
    file = _object(substitute(parse(text), environment))
    policies = msgspec.convert(file.get(KEY, {}), FilePolicies)
    schemas, missing, routes = SchemaFiles(folder, files), list[Problem](), list[RoutePlan]()
    entries = file.get("paths")
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        try:
            routes.append(_route(position, _object(entry), file, policies, schemas, default))
        except CannotCheck as error:
            cure = "Correct the name, or put the file next to the gateway's"
            missing.append(at(("paths", position, KEY, "validate", error.key), error.what, cure))
    if missing:
        raise CannotServe(missing)
    protection = extension_defaults.protection(_or(policies.upstream, FileUpstream()))
    return FilePlan(policies, protection, tuple(routes), _origins(file))


def _route(
    position: int,
    entry: dict[str, object],
    file: Mapping[str, object],
    policies: FilePolicies,
    schemas: SchemaFiles,
    default: Calling,
) -> RoutePlan:
    own = msgspec.convert(entry.get(KEY, {}), RoutePolicies)
    integration = _object(entry.get("integration"))
    document = None if isinstance(policies.openapi, UnsetType) else policies.openapi
    mapping = _object(_object(entry.get("mapping")).get("headers"))
    return RoutePlan(
        position=position,
        method=str(entry.get("method")),
        path=str(entry.get("path")),
        guarded=entry.get("auth") is True,
        limits=extension_defaults.limits(_or(own.limits, RouteLimits()), _or(policies.limits, FileLimits())),
        calling=extension_defaults.calling(
            _or(own.upstream, RouteUpstream()), _or(policies.upstream, FileUpstream()), default
        ),
        rules=None if isinstance(own.validate, UnsetType) else compile_rules(own.validate, schemas, document),
        rewrite=None if isinstance(own.rewrite, UnsetType) else own.rewrite,
        cache=_cache(own.cache),
        body=own.body,
        aggregate=msgspec.convert(integration, Aggregate) if integration.get("type") == AGGREGATE else None,
        proxied=integration.get("type") in PROXY_TYPES,
        signs_in=integration.get("type") in SIGN_IN_TYPES,
        service=service_call(integration, file) if integration.get("type") in SERVICE_TYPES else None,
        hook=pre_process(entry, file),
        variables={**_object(file.get("variables")), **_object(entry.get("variables"))},
        mapped=frozenset(name.lower() for name in mapping),
        speaker=_speaker(own.identity, policies.identity),
    )


def _speaker(route: RouteIdentity | UnsetType, file: FileIdentity | UnsetType) -> Speaker | None:
    if isinstance(route, UnsetType) or isinstance(file, UnsetType):
        return None
    return Speaker(secrets_of(file.secret)[0], frozenset(route.dags))


def _cache(setting: RouteCache | bool | UnsetType) -> RouteCache | None:
    if isinstance(setting, RouteCache):
        return setting
    return RouteCache() if setting is True else None


def _origins(file: Mapping[str, object]) -> dict[str, Origin]:
    servers = file.get("servers")
    entries = map(_object, servers if isinstance(servers, list) else ())
    return {str(entry.get("alias")): parse_origin(str(entry.get("url"))) for entry in entries}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _or(value: T | UnsetType, default: T) -> T:
    return default if isinstance(value, UnsetType) else value
