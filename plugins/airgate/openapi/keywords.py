"""JSON Schema's keywords as OpenAPI means them: one validator for each version and direction."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

Direction = Literal["request", "response"]
Version = Literal["3.0", "3.1"]

_BARRED: dict[Direction, str] = {"request": "readOnly", "response": "writeOnly"}


class _Whole(threading.local):
    """The schemas with an ``allOf`` that a value is just held against, outermost first, and how to follow references.

    A keyword sees the branch only in which it stands; what another branch says of a property is found here.
    """

    def __init__(self) -> None:
        self.open: list[tuple[Any, Mapping[str, Any], Any]] = []


_whole = _Whole()


@cache
def validator_class(version: Version, direction: Direction) -> Any:
    """The class of ``jsonschema`` validators for a version of OpenAPI and a direction.

    A property that is ``readOnly`` is neither demanded nor let through in a request, ``writeOnly`` in a response; and
    a ``discriminator`` says which alternative an object is held against, in 3.1 as in 3.0.
    """
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend
    from openapi_schema_validator import OAS30Validator, OAS31Validator

    barred = _BARRED[direction]
    base = OAS30Validator if version == "3.0" else OAS31Validator

    def required(validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not validator.is_type(instance, "object"):
            return
        missing = [name for name in names if name not in instance]
        if not missing:
            return
        spared = _properties(schema, validator._resolver, barred)
        for value, whole, resolver in _whole.open:
            if value is instance:
                spared |= _properties(whole, resolver, barred)
        for name in missing:
            if name not in spared:
                yield ValidationError("is required", path=[name])

    def never(validator: Any, flag: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if flag is True:
            yield ValidationError(f"must not be in a {direction}")

    def all_of(validator: Any, branches: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        frame = (instance, schema, validator._resolver)
        _whole.open.append(frame)
        try:
            found = [
                error for place, one in enumerate(branches) for error in validator.descend(instance, one, None, place)
            ]
        finally:
            _whole.open.remove(frame)
        yield from found

    def alternatives(keyword: str) -> Any:
        plain = OAS31Validator.VALIDATORS[keyword]

        def check(validator: Any, branches: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
            names = _mapping(branches, schema) if validator.is_type(instance, "object") else None
            if names is None:
                yield from plain(validator, branches, instance, schema)
                return
            name = schema["discriminator"]["propertyName"]
            chosen = instance.get(name)
            if name not in instance:
                yield ValidationError(
                    "is required", validator="required", path=[name], instance=instance, schema=schema
                )
            elif not isinstance(chosen, str):
                # What is not known yet, or of another type, is for the branches to judge.
                yield from plain(validator, branches, instance, schema)
            elif chosen in names:
                yield from validator.descend(instance, {"$ref": names[chosen]})
            else:
                said = f"must be one of {', '.join(map(repr, names))}, by which the schema is chosen"
                yield ValidationError(said, validator="discriminator", path=[name], instance=chosen, schema=schema)

        return check

    keywords = {"required": required, barred: never, "allOf": all_of}
    return extend(  # type: ignore[no-untyped-call]
        base, {**keywords, "oneOf": alternatives("oneOf"), "anyOf": alternatives("anyOf")}
    )


def _mapping(branches: Any, schema: Mapping[str, Any]) -> dict[str, str] | None:
    """Names that a discriminator chooses by, and references of what they choose; None without a discriminator."""
    discriminator = schema.get("discriminator")
    if not isinstance(discriminator, dict) or not isinstance(discriminator.get("propertyName"), str):
        return None
    references = [one["$ref"] for one in branches if isinstance(one, dict) and isinstance(one.get("$ref"), str)]
    implied = {reference.rpartition("/")[2]: reference for reference in references}
    stated = discriminator.get("mapping")
    if not isinstance(stated, dict):
        return implied
    # A value of the mapping may be the name of a schema, too.
    chosen = {str(name): implied.get(target, target) for name, target in stated.items() if isinstance(target, str)}
    return {**chosen, **{name: target for name, target in implied.items() if name not in chosen}}


def _properties(schema: Any, resolver: Any, barred: str) -> set[str]:
    """The properties that a schema, its branches and what they refer to describe as barred."""
    found: set[str] = set()
    for one, within in _parts(schema, resolver):
        described = one.get("properties")
        for name, inner in described.items() if isinstance(described, dict) else ():
            if any(part.get(barred) is True for part, _ in _parts(inner, within)):
                found.add(name)
    return found


def _parts(schema: Any, resolver: Any, seen: frozenset[int] = frozenset()) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """A schema, and all that hold together with it: what it refers to, and the branches of its ``allOf``."""
    if not isinstance(schema, dict) or id(schema) in seen:
        return
    seen |= {id(schema)}
    yield schema, resolver
    reference = schema.get("$ref")
    if isinstance(reference, str):
        resolved = resolver.lookup(reference)
        yield from _parts(resolved.contents, resolved.resolver, seen)
    branches = schema.get("allOf")
    for branch in branches if isinstance(branches, list) else ():
        yield from _parts(branch, resolver, seen)
