"""Which argument of an operation goes where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airgate.openapi.body import RequestBody
from airgate.openapi.errors import Finding
from airgate.openapi.parameter import Parameter
from airgate.openapi.phrases import near

BODY = "body"


@dataclass(slots=True)
class Bound:
    """Arguments by what they are for."""

    parameters: list[tuple[Parameter, Any]] = field(default_factory=list)
    body: Any = None
    has_body: bool = False
    findings: list[Finding] = field(default_factory=list)


def bind(
    parameters: Sequence[Parameter],
    body: RequestBody | None,
    arguments: Mapping[str, Any],
    added: Collection[str] = (),
) -> Bound:
    """Give each argument its place.

    An argument is named like the parameter, or like it with underscores for what a Python name cannot hold
    (``if_match`` for ``If-Match``), or with its place in front where two places have the name (``query.id``). What
    names no parameter is a property of the body, if the body's schema describes that property; ``body`` gives the body
    as a whole instead. A parameter that is None is left out. Headers that are ``added`` to the call by others, in small
    letters, need not be given.
    """
    bound, names = Bound(), _names(parameters)
    spread: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in names:
            parameter = names[name]
            if parameter is None:
                places = [f"{one.place}.{one.name}" for one in parameters if name in {one.name, alias(one.name)}]
                bound.findings.append(Finding(name, f"could be any of {', '.join(places)}; name it so"))
            elif value is not None:
                bound.parameters.append((parameter, value))
        elif name == BODY and body is not None:
            bound.body, bound.has_body = value, True
        elif body is not None and body.structured and name in body.properties:
            spread[name] = value
        else:
            bound.findings.append(_unknown(name, names, body))
    if spread and bound.has_body:
        bound.findings.append(Finding(BODY, f"is given as a whole and in parts: {', '.join(spread)}"))
    elif spread:
        bound.body, bound.has_body = spread, True
    _miss(bound, [one for one in parameters if one.place != "header" or one.name.lower() not in added], body)
    if spread and bound.body is not spread:
        bound.has_body = False  # which of the two to look at nobody knows
    return bound


def alias(name: str) -> str:
    """A parameter's name as a Python name."""
    return re.sub(r"\W", "_", name).lower()


def _names(parameters: Sequence[Parameter]) -> dict[str, Parameter | None]:
    """Every name an argument may have; None where it would not say which parameter is meant."""
    by_name: dict[str, Parameter | None] = {}
    exact = Counter(parameter.name for parameter in parameters)
    aliases = Counter(alias(name) for name in exact)
    for parameter in parameters:
        by_name[f"{parameter.place}.{parameter.name}"] = parameter
        by_name[parameter.name] = parameter if exact[parameter.name] == 1 else None
    for parameter in parameters:
        if aliases[alias(parameter.name)] == 1:
            by_name.setdefault(alias(parameter.name), by_name[parameter.name])
    return by_name


def _unknown(name: str, names: Mapping[str, Any], body: RequestBody | None) -> Finding:
    known = [one for one in names if "." not in one] + ([BODY, *sorted(body.properties)] if body else [])
    hint = near(name, known)
    if not hint:
        hint = f"; known are {', '.join(dict.fromkeys(known))}" if known else "; the operation takes no arguments"
    return Finding(name, f"is an unknown argument{hint}")


def _miss(bound: Bound, parameters: Sequence[Parameter], body: RequestBody | None) -> None:
    given = {(parameter.place, parameter.name) for parameter, _ in bound.parameters}
    doubled = Counter((parameter.place, parameter.name) for parameter, _ in bound.parameters)
    for parameter in parameters:
        if parameter.required and (parameter.place, parameter.name) not in given:
            bound.findings.append(Finding(parameter.pointer, "is required"))
        if doubled[parameter.place, parameter.name] > 1:
            bound.findings.append(Finding(parameter.pointer, "is given twice, under two of its names"))
    if body is not None and body.required and not bound.has_body:
        bound.findings.append(Finding(BODY, "is required"))
