"""Variables in the gateway's file: `$env.NAME`, `$secret.NAME` and `$secrets.NAME`."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

PREFIXES = ("$env.", "$secret.", "$secrets.")
"""One name space under three spellings; a secret can be read with `$env.` and the other way round."""


class Reference(NamedTuple):
    """A value of the file that names a variable: where it stands (path of keys) and which variable it names."""

    path: tuple[str | int, ...]
    variable: str


def variable_name(text: str) -> str | None:
    """The variable a text names, or None. The text must begin with a prefix; all that follows is the name."""
    for prefix in PREFIXES:
        if text.startswith(prefix):
            return text[len(prefix) :]
    return None


def substitute(value: object, environment: Mapping[str, str]) -> object:
    """Replace every string value that names a variable, at any depth; keys stay.

    A missing variable becomes empty text. What was put in is neither substituted again nor parsed.
    """
    match value:
        case str():
            name = variable_name(value)
            return value if name is None else environment.get(name, "")
        case list():
            return [substitute(item, environment) for item in value]
        case dict():
            return {key: substitute(item, environment) for key, item in value.items()}
    return value


def references(value: object, path: tuple[str | int, ...] = ()) -> Iterator[Reference]:
    """Every reference to a variable in a parsed file, in the order of the file."""
    match value:
        case str():
            name = variable_name(value)
            if name is not None:
                yield Reference(path, name)
        case list():
            for position, item in enumerate(value):
                yield from references(item, (*path, position))
        case dict():
            for key, item in value.items():
                yield from references(item, (*path, key))
