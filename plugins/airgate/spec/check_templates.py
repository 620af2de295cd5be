"""Strict mode's look at templates: each placeholder and reference must stand for something."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from airgate.spec import extension_references
from airgate.spec.extension_paths import placeholders
from airgate.spec.extension_references import FORMS, Reference
from airgate.spec.problem import Path, Problem, at
from airgate.spec.url import canonical_path, normalise_path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the templates of a route can refer to."""

    placeholders: Collection[str]
    variables: Collection[str]
    guarded: bool

    @classmethod
    def of(cls, route: Mapping[str, object], file: Mapping[str, object]) -> "Surroundings":
        """The surroundings of a route of a file."""
        named: set[str] = set()
        for place in (file, route):
            variables = place.get("variables")
            named |= set(variables) if isinstance(variables, dict) else set()
        return cls(placeholders(str(route.get("path"))), named, route.get("auth") is True)


def path_problems(here: Path, path: str, around: Surroundings) -> Iterator[Problem]:
    """What is wrong with a path whose placeholders the edge fills."""
    known = list(around.placeholders)
    for placeholder in placeholders(path):
        if placeholder not in known:
            there = f"there are {', '.join(known)}" if known else "it has none"
            yield at(here, f"the route's path has no {placeholder}", f"Use what the route's path has; {there}")
            return
    literal = "/".join("x" if part in known else part for part in path.split("/"))
    if canonical_path(normalise_path(literal.encode())) != literal:
        cure = "A placeholder fills a whole segment; escape other signs, and leave out query, '.', '..' and '//'"
        yield at(here, "the path is not one that can be sent as it stands", cure)


def template_problems(here: Path, template: object, around: Surroundings) -> Iterator[Problem]:
    """What is wrong with the references in a JSON template."""
    match template:
        case str():
            yield from _reference_problems(here, template, around)
        case list():
            for position, item in enumerate(template):
                yield from template_problems((*here, position), item, around)
        case dict():
            for key, item in template.items():
                yield from template_problems((*here, key), item, around)


def _reference_problems(here: Path, text: str, around: Surroundings) -> Iterator[Problem]:
    found = extension_references.read(text)
    if found is None:
        if extension_references.is_misspelt(text):
            yield at(here, f"{text!r} is no reference, and would be sent as it stands", f"Write one of {FORMS}")
        return
    missing = _missing(found, around)
    if missing:
        yield at(here, missing, "Correct the name, or remove the reference")


def _missing(reference: Reference, around: Surroundings) -> str | None:
    if reference.part == "request.path" and f"{{{reference.name}}}" not in around.placeholders:
        return f"the route's path has no parameter {reference.name!r}"
    if reference.part == "config" and reference.name not in around.variables:
        return f"there is no variable {reference.name!r}"
    if reference.part == "request.jwt" and not around.guarded:
        return "the route has no auth, so there is no token to read from"
    return None
