"""The JSON Schema of the whole file, for editors: `python -m airgate.spec.extension_schema` prints it.

What needs more than the shape of the file is left to the strict checks: variables, aliases, order of routes.
"""

import json
import sys

import msgspec

from airgate.spec.check_aggregate import TYPE as AGGREGATE
from airgate.spec.config import PROXY_TYPES
from airgate.spec.cors import LIST_KEYS
from airgate.spec.extension import KEY, Aggregate, FilePolicies, RoutePolicies
from airgate.spec.services import CALLBACK, SERVICE, SERVICE_BINDING, SERVICE_TYPES
from airgate.spec.token_rules import TokenRules

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_TEXTS = {"type": "array", "items": _TEXT}
_VARIABLE = {"type": "string", "pattern": r"^\$(env|secrets?)\."}
_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ANY")
_AUTHORIZER = {
    "jwt": ("secret", "algorithm", "issuer", "audience"),
    "auth0": ("domain", "client_id", "client_secret", "redirect_uri", "callback_uri", "jwks", "jwks_uri", "scope"),
    "supabase": ("jwt_secret", "issuer", "audience"),
}


def file_schema() -> dict[str, object]:
    """The schema (2020-12)."""
    kinds = (FilePolicies, RoutePolicies, Aggregate, TokenRules)
    (file, route, aggregate, tokens), components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the gateway and of airgate's edge",
        **_closed(
            {
                "$schema": _TEXT,
                "title": _TEXT,
                "description": _TEXT,
                "servers": _named("url"),
                "services": _named("entrypoint"),
                "serviceBindings": _named("binding"),
                "servicesBindings": _named("binding"),
                "cors": {"anyOf": [{"type": "boolean"}, _cors()]},
                "authorizer": {"oneOf": [_authorizer(kind, tokens) for kind in _AUTHORIZER]},
                "variables": _OBJECT,
                "paths": {"type": "array", "items": {"$ref": "#/$defs/Route"}},
                KEY: file,
            },
            ("paths",),
        ),
        "$defs": {"Route": _route(route, aggregate), **components},
    }


def _closed(properties: dict[str, object], required: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _named(key: str) -> dict[str, object]:
    """A list of aliases and what they stand for."""
    return {"type": "array", "items": _closed({"alias": _TEXT, key: _TEXT}, ("alias", key))}


def _cors() -> dict[str, object]:
    lists: dict[str, object] = dict.fromkeys(LIST_KEYS, _TEXTS)
    return _closed({**lists, "allow_credentials": {"type": "boolean"}, "max_age": {"type": "number", "minimum": 0}})


def _authorizer(kind: str, tokens: object) -> dict[str, object]:
    settings: dict[str, object] = dict.fromkeys(_AUTHORIZER[kind], _TEXT)
    return _closed({"type": {"const": kind}, **settings, KEY: tokens}, ("type",))


def _route(policies: object, aggregate: object) -> dict[str, object]:
    mapping: dict[str, object] = {
        place: {"type": "object", "additionalProperties": _TEXT} for place in ("headers", "query")
    }
    proxy = _closed({"type": {"enum": list(PROXY_TYPES)}, "server": _TEXT}, ("type", "server"))
    service = _closed({"type": {"const": SERVICE}, "binding": _TEXT}, ("type", "binding"))
    function: dict[str, object] = {"binding": _TEXT, "function": _TEXT}
    bound = _closed({"type": {"const": SERVICE_BINDING}, **function}, ("type", *function))
    callback = _closed({"type": {"const": CALLBACK}, "post_process": bound}, ("type",))
    known = [*PROXY_TYPES, AGGREGATE, *SERVICE_TYPES, CALLBACK]
    other: dict[str, object] = {
        "type": "object",
        "properties": {"type": {"type": "string", "not": {"enum": known}}},
        "required": ["type"],
    }
    properties: dict[str, object] = {
        "method": {"anyOf": [{"enum": list(_METHODS)}, _VARIABLE]},
        "path": {"anyOf": [{"type": "string", "pattern": "^/"}, _VARIABLE]},
        "integration": {"anyOf": [proxy, aggregate, service, bound, callback, other]},
        "auth": {"type": "boolean"},
        "mapping": _closed(mapping),
        "variables": _OBJECT,
        "response": {},
        "pre_process": _closed(function, tuple(function)),
        KEY: policies,
    }
    return _closed(properties, ("method", "path"))


if __name__ == "__main__":
    json.dump(file_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
