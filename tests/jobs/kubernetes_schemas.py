"""The published schemas of the Kubernetes API, strict: what they do not name is an error."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_FOLDER = files("kubernetes_validate") / "kubernetes-json-schema" / "v1.37.0-local-strict"


@cache
def _registry() -> Registry[Any]:
    definitions = json.loads((_FOLDER / "_definitions.json").read_text())
    named = Resource.from_contents(definitions, default_specification=DRAFT202012)
    made: Registry[Any] = Registry().with_resource("/api/_definitions.json", named)
    return made


@cache
def _validator(definition: str) -> Draft202012Validator:
    schema = {"$ref": f"/api/_definitions.json#/$defs/{definition}"}
    return Draft202012Validator(schema, registry=_registry())


def problem_of(definition: str, value: Any) -> str | None:
    """What is wrong with a value, None when it is one of a definition such as ``io.k8s.api.batch.v1.Job``."""
    error = next(iter(_validator(definition).iter_errors(value)), None)
    return None if error is None else f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
