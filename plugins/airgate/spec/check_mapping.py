"""Strict mode's look at the headers and query parameters that a route sets."""

from collections.abc import Iterator, Mapping

from airgate.policy.signed_identity import HEADER
from airgate.spec.extension import KEY
from airgate.spec.javascript import to_text
from airgate.spec.mapping import UNMAPPED, is_header_name, is_header_value, reference
from airgate.spec.problem import Path, Problem, at, not_an_object, unknown_keys


def mapping_problems(here: Path, mapping: object, variables: Mapping[str, object]) -> Iterator[Problem]:
    """The problems of `mapping` of one route; `variables` are the file's overlaid with the route's, all put in."""
    if not isinstance(mapping, dict):
        yield from not_an_object(here, mapping)
        return
    yield from unknown_keys(here, mapping, ("headers", "query"))
    for place in ("headers", "query"):
        templates = mapping.get(place, {})
        if not isinstance(templates, dict):
            yield from not_an_object((*here, place), templates)
            continue
        for name, template in templates.items():
            if not isinstance(template, str):
                yield at((*here, place, name), "the template is not a text", "Write a text such as $request.jwt.sub")
            elif place == "headers":
                yield from _header_problems((*here, place, name), name, template, variables)
        if place == "headers":
            yield from _spelling_problems((*here, place), templates)


def _header_problems(here: Path, name: str, template: str, variables: Mapping[str, object]) -> Iterator[Problem]:
    if not is_header_name(name):
        yield at(here, "it is no header name", "Use letters, digits and hyphens")
    elif name.lower() in UNMAPPED:
        yield at(here, f"the header {name!r} belongs to the connection, and is set by the edge itself", "Remove it")
    elif name.lower().replace("_", "-") == HEADER:
        what = f"the header {name!r} is the gateway's signed word, and only the edge itself can sign it"
        yield at(here, what, f"Use identity under {KEY}")
    found = reference(template)
    if found is not None and found[0] == "config":
        value = variables.get(found[1])
        if value is not None and not is_header_value(to_text(value)):
            what = f"the variable {found[1]!r} has characters that no header may have, such as a line end"
            yield at(here, what, "Correct the variable")


def _spelling_problems(here: Path, templates: Mapping[str, object]) -> Iterator[Problem]:
    """Two names that are one to servers: whose value reaches them would be left to chance."""
    seen: dict[str, str] = {}
    for name in templates:
        earlier = seen.setdefault(name.lower().replace("_", "-"), name)
        if earlier != name:
            yield at((*here, name), f"it is the header {earlier!r} in another spelling", "Keep one of them")
