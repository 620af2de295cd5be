"""Says in words what a JSON Schema validator found, without showing what may be secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

from airgate.openapi.errors import Finding
from airgate.openapi.library import pointer_of
from airgate.policy.redaction import is_secret_name, redact_text

_LONGEST_VALUE = 60
_MANY = 12

_BOUNDS: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    # In 3.0 the exclusive forms are flags beside the bound, in 3.1 bounds of their own.
    "minimum": lambda bound, schema: f"must be {'>' if schema.get('exclusiveMinimum') is True else '>='} {bound}",
    "maximum": lambda bound, schema: f"must be {'<' if schema.get('exclusiveMaximum') is True else '<='} {bound}",
    "exclusiveMinimum": lambda bound, _: f"must be > {bound}",
    "exclusiveMaximum": lambda bound, _: f"must be < {bound}",
    "multipleOf": lambda bound, _: f"must be a multiple of {bound}",
    "enum": lambda values, _: f"must be {_choices(values)}",
    "const": lambda value, _: f"must be {value!r}",
    "pattern": lambda pattern, _: f"must match the pattern {pattern}",
    "format": lambda name, _: f"must be a {name}",
}
_COUNTS = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at most {} properties",
}


def findings_of(error: Any, pointer: str) -> Iterator[Finding]:
    """The findings that a validator's error comes to.

    Args:
        error: A ``jsonschema.ValidationError``.
        pointer: How the value as a whole is named.
    """
    path = tuple(error.absolute_path)
    where = pointer + pointer_of(path)
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(error.instance, dict):
        yield from _unknown_properties(error, where)
    elif error.validator in {"required", "readOnly", "writeOnly"}:
        suffix = "" if error.validator == "required" else f": it is {error.validator}"
        yield Finding(where, f"{error.message}{suffix}")
    else:
        expectation = _expectation(error)
        secret = error.schema.get("format") == "password" if isinstance(error.schema, dict) else False
        names = [*pointer.split("/"), *map(str, path)]
        shown = "" if secret or any(map(is_secret_name, names)) else _shown(error.instance, error.validator)
        yield Finding(where, f"{expectation}{shown}")


def _expectation(error: Any) -> str:
    keyword, value, schema = error.validator, error.validator_value, error.schema
    if keyword == "type":
        return f"must be {_listed(_type_names(value, schema, error.instance), 'or')}"
    if keyword == "discriminator":
        return str(error.message)
    if keyword in _BOUNDS:
        return _BOUNDS[keyword](value, schema)
    if keyword in _COUNTS:
        text = _COUNTS[keyword].format(value)
        return text[:-1].replace("propertie", "property") if value == 1 else text
    if keyword == "uniqueItems":
        return "must not hold an item twice"
    if keyword in {"anyOf", "oneOf"}:
        types = [inner.validator_value for inner in error.context if inner.validator == "type" and not inner.path]
        if types and len(types) == len(error.context):
            names = [name for one in types for name in (one if isinstance(one, list) else [one])]
            return f"must be {_listed(list(dict.fromkeys(names)), 'or')}"
        if keyword == "oneOf" and not error.context:
            return "must match exactly one of the schema's alternatives, and matches several"
        return f"must match one of the schema's {len(value)} alternatives"
    if keyword is None:
        return "must not be given"
    return f"breaks {keyword!r} of its schema"


def _unknown_properties(error: Any, where: str) -> Iterator[Finding]:
    described = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    for name in error.instance:
        if error.validator == "unevaluatedProperties" and not re.search(
            rf"(?<!\w){re.escape(repr(name))}", error.message
        ):
            continue
        if name not in described and not any(re.search(pattern, name) for pattern in patterns):
            yield Finding(f"{where}{pointer_of((name,))}", f"is unknown{near(name, described)}")


def near(name: str, known: Any) -> str:
    """A question for the name that was probably meant, empty without one."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def _shown(value: Any, keyword: Any) -> str:
    if keyword in _COUNTS and isinstance(value, str | list | dict):
        return f", not {len(value)}"
    if isinstance(value, dict):
        return ", not an object" if keyword == "type" else ""
    if isinstance(value, list):
        return ", not a list" if keyword == "type" else ""
    if value is None or isinstance(value, bool):
        return f", not {'null' if value is None else str(value).lower()}"
    if not isinstance(value, str | int | float):
        return f", not a Python {type(value).__name__}"
    text = redact_text(repr(value))
    return f", not {text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'}"


def _type_names(types: Any, schema: dict[str, Any], given: Any) -> list[str]:
    names = list(types) if isinstance(types, list) else [str(types)]
    if given is None:  # so null is none of them: OpenAPI 3.1 knows no nullable
        return names
    return [*names, "null"] if schema.get("nullable") is True and "null" not in names else names


def _choices(values: list[Any]) -> str:
    shown = [repr(value) if value is not None else "null" for value in values[:_MANY]]
    if len(values) > _MANY:
        return f"one of {len(values)} values such as {', '.join(shown[:3])}"
    return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"


def _listed(names: list[str], word: str) -> str:
    articles = {"integer": "an integer", "array": "a list", "object": "an object", "null": "null"}
    named = [articles.get(name, f"a {name}") for name in names] or ["of no type at all"]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} {word} {named[-1]}"
