"""Strict mode's look at static answers: a secret placed in one is given to every caller."""

from collections.abc import Iterator, Mapping

from airgate.policy.redaction import is_secret_name
from airgate.spec.environment import references
from airgate.spec.problem import Path, Problem, at

_SECRET_PREFIXES = ("$secret.", "$secrets.")
_CURE = "Remove it; whoever calls the route would read it"


def secret_problems(file: dict[str, object]) -> Iterator[Problem]:
    """Secrets in the `response` of routes; `file` is the file before its variables are put in.

    A secret is what is read with `$secret.`, what a variable with a secret's name holds, and any variable that
    the file also uses as a secret: all three spellings read the same variables.
    """
    known = _secret_variables(file)
    routes = file.get("paths")
    for position, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, dict) and "response" in route:
            yield from _in_response(("paths", position, "response"), route["response"], known)


def _in_response(here: Path, response: object, known: frozenset[str]) -> Iterator[Problem]:
    for path, name in references(response, here):
        if name in known or is_secret_name(name) or _spelt_secret(response, path[len(here) :]):
            yield at(path, f"the secret {name!r} stands in a static response", _CURE)


def _spelt_secret(value: object, path: Path) -> bool:
    for key in path:
        value = value[key] if isinstance(value, dict | list) else value  # type: ignore[index]
    return isinstance(value, str) and value.startswith(_SECRET_PREFIXES)


def _secret_variables(file: Mapping[str, object]) -> frozenset[str]:
    """Variables that the file reads as secrets: with `$secret.`, or for a key of the authorizer that is one."""
    elsewhere = {key: value for key, value in file.items() if key != "paths"}
    found = {name for path, name in references(elsewhere) if _spelt_secret(file, path) or is_secret_name(str(path[-1]))}
    return frozenset(found)
