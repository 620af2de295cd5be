"""Whether what a client sent fits the params of a DAG: every fault with its JSON pointer, before a run is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from airgate.openapi.library import pointer_of
from airgate.openapi.phrases import findings_of, near
from airgate.policy.ingress_run import RESERVED

MISSING: Final = object()
"""Stands for the default of a param that has none."""
MOST_FAULTS: Final = 20
_DEEPEST = 32
"""Levels of lists and objects; Airflow's database and its UI walk through them by recursion."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    pointer: str
    """JSON pointer as a URI fragment (RFC 6901, 6), as the example of RFC 9457 has it."""
    detail: str


@dataclass(frozen=True)
class DagParam:
    """One param of a DAG."""

    schema: Mapping[str, Any]
    default: Any = MISSING
    description: str | None = None

    @property
    def given_by_default(self) -> bool:
        """Whether it may be left out."""
        return self.default is not MISSING and next(self.errors(self.default), None) is None

    def errors(self, value: Any) -> Iterator[Any]:
        """What ``jsonschema`` has to say of a value; of alternatives, the error of the one that fits best."""
        from jsonschema.exceptions import best_match

        return (best_match([error]) or error for error in self._validator.iter_errors(value))

    @cached_property
    def _validator(self) -> Any:
        """As Airflow's own: the schema's dialect or the newest one, formats checked. References lead nowhere else."""
        from jsonschema import FormatChecker
        from jsonschema.validators import validator_for
        from referencing import Registry

        schema = dict(self.schema)
        return validator_for(schema)(schema, format_checker=FormatChecker(), registry=Registry())


def faults(sent: Mapping[str, Any], params: Mapping[str, DagParam], *, unknown_allowed: bool) -> list[Fault]:
    """What is wrong with the params that were sent, ``MOST_FAULTS`` at most.

    Args:
        sent: The body of the request, in which nothing is ``unstorable``.
        params: Those of the DAG.
        unknown_allowed: Whether the DAG takes names that are none of its params.
    """
    return list(islice(_faults(sent, params, unknown_allowed), MOST_FAULTS))


def unstorable(sent: Mapping[str, Any]) -> list[Fault]:
    """What JSON allows in a body and a database, or a validator, need not cope with; to be asked first."""
    return list(islice(_unstorable(sent, ()), MOST_FAULTS))


def _faults(sent: Mapping[str, Any], params: Mapping[str, DagParam], unknown_allowed: bool) -> Iterator[Fault]:
    for name in sent:
        if name == RESERVED or name.startswith("airflow/"):
            yield Fault(_pointer((name,)), "is reserved")
        elif name not in params and not unknown_allowed:
            yield Fault(_pointer((name,)), f"is unknown{near(name, params)}")
    for name, param in params.items():
        if name in sent:
            for error in param.errors(sent[name]):
                yield from _found(error, name)
        elif not param.given_by_default:
            yield Fault(_pointer((name,)), "must be given")


def _found(error: Any, name: str) -> Iterator[Fault]:
    """The faults that a validator's error comes to."""
    if error.validator == "required":
        missing = [each for each in error.validator_value if error.message.startswith(f"{each!r} ")]
        yield from (Fault(_pointer((name, *error.absolute_path, each)), "must be given") for each in missing)
        return
    for finding in findings_of(error, name):
        yield Fault(_pointer((name,)) + _fragment(finding.pointer.removeprefix(name)), finding.expectation)


def _unstorable(value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    # PostgreSQL's jsonb takes neither of the two characters.
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= each <= "\udfff" for each in value):
            yield Fault(_pointer(path), "holds a NUL character or half of a surrogate pair")
    elif isinstance(value, dict | list):
        if len(path) > _DEEPEST:
            yield Fault(_pointer(path), f"is nested deeper than {_DEEPEST} levels")
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in items:
            if isinstance(name, str):
                yield from _unstorable(name, path)
            yield from _unstorable(each, (*path, name))


def _pointer(path: tuple[str | int, ...]) -> str:
    return "#" + _fragment(pointer_of(path))


def _fragment(pointer: str) -> str:
    """What a URI fragment cannot hold as it is, percent-encoded."""
    return quote(pointer.encode("utf-8", "replace"), safe="/~!$&'()*+,;=:@?-._")
