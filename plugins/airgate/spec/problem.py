"""A reason why strict mode refuses a file: where, what is wrong, what to do."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a gateway's file. `pointer` is a JSON pointer (RFC 6901); no text holds a variable's value."""

    pointer: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.pointer or '(the file)'}: {self.what}. {self.cure}."


def at(path: Path, what: str, cure: str) -> Problem:
    """A problem at a path of keys and positions."""
    pointer = "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)
    return Problem(pointer, what, cure)


def unknown_keys(path: Path, value: Mapping[str, object], known: Collection[str]) -> Iterator[Problem]:
    """Keys that the format does not have, with the nearest one it has."""
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = (
                f"Write {near[0]!r} if that is meant, else remove it"
                if near
                else f"Remove it; known here are {', '.join(sorted(known))}"
            )
            yield at((*path, key), f"unknown key {key!r}", cure)


def not_an_object(path: Path, value: object) -> Iterator[Problem]:
    """The problem of a value that is there and no object."""
    if not isinstance(value, dict):
        yield at(path, "it is not an object", "Write an object, or leave the key out")
