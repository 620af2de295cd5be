"""Paths with placeholders that the edge fills: the rewritten path of a route, the path of a branch.

A placeholder fills a whole segment, as in a route: `{id}` is what the route's parameter of that name matched, `{.+}`
what its wildcard matched. What is filled in is the text of the request as it was sent, so an escaped slash stays
escaped, and a value can never become another segment.
"""

from collections.abc import Mapping

from airgate.spec.routing import WILDCARD, is_parameter


def placeholders(path: str) -> list[str]:
    """The segments of a path that stand for something else, in order."""
    return [segment for segment in path.split("/") if segment == WILDCARD or is_parameter(segment)]


def parameters(route: str, path: str) -> dict[str, str]:
    """What a route's placeholders stand for in a path that it matches: `{"{id}": "7", "{.+}": "a/b"}`.

    The first of two placeholders of one name counts; a wildcard that does not stand last matches one segment.
    """
    found: dict[str, str] = {}
    pattern, segments = route.split("/"), path.split("/")
    for position, segment in enumerate(pattern):
        if segment == WILDCARD and position == len(pattern) - 1:
            found.setdefault(WILDCARD, "/".join(segments[position:]))
        elif (segment == WILDCARD or is_parameter(segment)) and position < len(segments):
            found.setdefault(segment, segments[position])
    return found


def fill(template: str, values: Mapping[str, str]) -> str:
    """The path with every placeholder replaced; one that stands for nothing leaves an empty segment."""
    return "/".join([values.get(part, "") if part.startswith("{") else part for part in template.split("/")])


def is_filled(template: str, values: Mapping[str, str]) -> bool:
    """Whether every placeholder stands for something; only a wildcard at the end may stand for nothing.

    An empty segment is dropped on the way to a server, and the path is then that of something else: with an empty id,
    `/orders/{id}/lines` asks for `/orders/lines`.
    """
    parts = template.split("/")
    needed = parts[:-1] if parts[-1] == WILDCARD else parts
    return all(values.get(part) for part in needed if part.startswith("{"))
