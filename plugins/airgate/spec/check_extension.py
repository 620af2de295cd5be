"""Strict mode's look at what the edge adds to the format: keys known, values of their kind and within bounds."""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from airgate.spec.problem import Path, Problem, at, unknown_keys


def shape_problems(path: Path, value: object, kind: Any) -> Iterator[Problem]:
    """Where a JSON value differs from a type of `airgate.spec.extension`, or from any msgspec type of JSON's kinds."""
    yield from _differences(path, value, inspect.type_info(kind))


def _differences(path: Path, value: object, kind: inspect.Type) -> Iterator[Problem]:
    if isinstance(kind, inspect.UnionType):
        yield from _union(path, value, [one for one in kind.types if not _is_unset(one)])
    elif not _is_of(value, kind):
        yield at(path, f"it is not {_name(kind)}", f"Write {_name(kind)}")
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        yield from _object(path, value, kind)
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        yield from _map(path, value, kind)
    elif isinstance(kind, inspect.ListType) and isinstance(value, list):
        for position, item in enumerate(value):
            yield from _differences((*path, position), item, kind.item_type)
    elif isinstance(kind, inspect.Metadata):
        yield from _differences(path, value, kind.type)
    else:
        yield from _bounds(path, value, kind)


def _object(path: Path, value: dict[str, object], kind: inspect.StructType) -> Iterator[Problem]:
    fields = {field.encode_name: field for field in kind.fields}
    yield from unknown_keys(path, value, fields)
    for name, field in fields.items():
        if name in value:
            yield from _differences((*path, name), value[name], field.type)
        elif field.required:
            yield at((*path, name), "it is missing", f"Write {_name(field.type)}")


def _map(path: Path, value: dict[str, object], kind: inspect.DictType) -> Iterator[Problem]:
    least, most = kind.min_length or 0, kind.max_length
    if len(value) < least or (most is not None and len(value) > most):
        yield at(path, f"it has {len(value)} entries", f"Write {least} to {most} of them")
    for name, item in value.items():
        if any(_differences((*path, name), name, kind.key_type)):
            yield at((*path, name), "the name has other signs than it may have", f"Write {_name(kind.key_type)}")
        yield from _differences((*path, name), item, kind.value_type)


def _union(path: Path, value: object, kinds: list[inspect.Type]) -> Iterator[Problem]:
    fitting = [kind for kind in kinds if _is_of(value, kind)]
    if fitting:
        yield from _differences(path, value, fitting[0])
    else:
        named = " or ".join(_name(kind) for kind in kinds)
        yield at(path, f"it is not {named}", f"Write {named}")


def _bounds(path: Path, value: object, kind: inspect.Type) -> Iterator[Problem]:
    if isinstance(kind, inspect.IntType | inspect.FloatType) and isinstance(value, int | float):
        beyond = (
            (kind.ge is not None and value < kind.ge)
            or (kind.gt is not None and value <= kind.gt)
            or (kind.le is not None and value > kind.le)
        )
        if beyond:
            yield at(path, "the number is out of its bounds", f"Write {_name(kind)}")
    elif isinstance(kind, inspect.StrType) and isinstance(value, str):
        short = kind.min_length is not None and len(value) < kind.min_length
        # In Python `$` also stands before a line feed at the end.
        if short or (kind.pattern is not None and (not re.search(kind.pattern, value) or value.endswith("\n"))):
            yield at(path, "the text is empty or not of its form", f"Write {_name(kind)}")


def _is_unset(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.CustomType) and kind.cls.__name__ == "UnsetType"


def _is_of(value: object, kind: inspect.Type) -> bool:
    """Whether a value is of the kind that a type starts with: object, list, text and so on."""
    match kind:
        case inspect.Metadata():
            return _is_of(value, kind.type)
        case inspect.UnionType():
            return any(_is_of(value, one) for one in kind.types)
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, dict)
        case inspect.ListType():
            return isinstance(value, list)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(kind, inspect.AnyType)


def _name(kind: inspect.Type) -> str:
    """A type in words."""
    match kind:
        case inspect.Metadata():
            return _name(kind.type)
        case inspect.UnionType():
            return " or ".join(_name(one) for one in kind.types if not _is_unset(one))
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case inspect.ListType():
            return "a list"
        case inspect.StrType():
            return f"a text of the form {kind.pattern}" if kind.pattern else "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType():
            return " or ".join(repr(value) for value in kind.values)
        case inspect.IntType():
            return f"a whole number from {kind.ge} to {kind.le}"
        case inspect.FloatType():
            least = f"from {kind.ge}" if kind.gt is None else f"above {kind.gt}"
            return f"a number {least} up to {kind.le}"
    return "any value"
