"""The other ways in which servers read a path: strict mode lets none of them lead to another route."""

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from airgate.spec.answer import problem
from airgate.spec.url import collapse_slashes, normalise_path

TWO_READINGS = problem(
    400,
    "The path has an escaped slash, an escaped backslash, a ';' or a slash at its end, with which servers take it for "
    "the path of another route, or of none. A route that ends in {.+} takes paths with such parts.",
    with_cors=True,
)
"""Strict mode's answer to a path that routing and upstream could take for those of two routes."""

_ESCAPED_SLASH = re.compile("%(?:2F|5C)", re.IGNORECASE)
_PARAMETERS = re.compile("(?:;|%3B)[^/]*", re.IGNORECASE)


def other_readings(path: str) -> Iterator[str]:
    """What a server may also take a canonical path for.

    Servers decode a path once, take an escaped slash or backslash for a slash, and some drop what follows a `;` in a
    segment; then they resolve dots. One that decodes twice (`%252F`) reads what nobody has written (RFC 3986, 2.4).
    """
    decoded = _ESCAPED_SLASH.sub("/", path)
    if decoded != path:
        yield _resolved(decoded)
    bare = _PARAMETERS.sub("", decoded)
    if bare != decoded:
        yield _resolved(bare)
        if decoded != path:
            yield _resolved(_PARAMETERS.sub("", path))


class Guarded(Protocol):
    """What is asked of a route."""

    @property
    def guarded(self) -> bool:
        """Whether it asks for a token."""

    @property
    def hook(self) -> object:
        """What is called before it, and may turn the caller away; None where nothing is."""


def has_one_reading(path: str, serving: Callable[[str], Guarded | None]) -> bool:
    """Whether the same route serves a canonical path however it is read.

    A slash at the end matters only where the path without it asks something of its caller, and this one does not.

    Args:
        path: The path.
        serving: Gives the route of a path; None where there is none.
    """
    first = serving(path)
    readings = [path, *other_readings(path)]
    if any(serving(other) is not first for other in readings[1:]):
        return False
    if _asks(first):
        return True
    return not any(_asks(serving(other[:-1])) for other in readings if other.endswith("/") and other != "/")


def _asks(route: Guarded | None) -> bool:
    return route is not None and (route.guarded or route.hook is not None)


def _resolved(path: str) -> str:
    return normalise_path(collapse_slashes(path).encode())
