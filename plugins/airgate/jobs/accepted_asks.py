"""The requests of accepted work."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import quote

from airgate.jobs.talk import Ask

if TYPE_CHECKING:
    from airgate.jobs.accepted import Accepted

_TAKEN = frozenset({*range(200, 300), 303})


def first_ask(fields: Accepted, key: str) -> Ask:
    """The request that starts the work, with the job's key where ``key_in`` says."""
    ask = Ask(
        fields.method.upper(),
        below(fields.base, fields.path),
        fields.path_params,
        fields.query,
        fields.json,
        fields.data,
        fields.headers,
        _TAKEN,
    )
    place, _, name = fields.key_in.partition(":")
    if place == "header":
        return dataclasses.replace(ask, headers={**(ask.headers or {}), name: key})
    if place == "query":
        return dataclasses.replace(ask, params={**(ask.params or {}), name: key})
    if place == "json":
        return dataclasses.replace(ask, json={**(ask.json or {}), name: key})
    return ask


def ask_for(fields: Accepted, path: str, method: str = "GET", **values: str) -> Ask:
    """The request for one of the service's other paths.

    Args:
        fields: Whose service.
        path: With ``{name}`` for each of the values, also in its query.
        method: HTTP method.
        values: The job's name or key, or many names.
    """
    return Ask(method, filled(below(fields.base, path), **values), fields.path_params)


def filled(path: str, **values: str) -> str:
    """A path with these values in place of their names."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe="," if name == "ids" else ""))
    return path


def below(base: str, path: str) -> str:
    """A path of the service as a path of the gateway."""
    return f"{prefix_of(base)}/{path.lstrip('/')}"


def prefix_of(base: str) -> str:
    """The base with a slash before it and none behind it; empty for none."""
    return f"/{base.strip('/')}" if base.strip("/") else ""
