"""Picks what is wanted out of an answer: a JMESPath expression, or a function of the response."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from airgate.client.message import Response
from airgate.policy.redaction import one_line

Selection = str | Callable[[Response], Any]
"""A JMESPath expression over the answer's JSON, or a function of the response: itself, or as ``module:function``."""

_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def check_selection(name: str, selection: object) -> None:
    """Refuse what cannot be a selection, while the DAG is parsed.

    Raises:
        ValueError: Naming the argument, and where the expression is wrong.
    """
    if selection is None or callable(selection):
        return
    if not isinstance(selection, str):
        raise ValueError(  # noqa: TRY004, as for every argument that is wrong
            f"{name} must be a JMESPath expression or a function of the response, not {type(selection).__name__}"
        )
    if not _DOTTED.fullmatch(selection):
        _compile(name, selection)


def select(name: str, selection: Selection, response: Response) -> Any:
    """What the selection gives for a response.

    Raises:
        InvalidResponse: The answer is not JSON, or not what a function in the expression takes.
    """
    if callable(selection):
        return selection(response)
    if _DOTTED.fullmatch(selection):
        return _imported(name, selection)(response)
    import jmespath.exceptions

    try:
        return _compile(name, selection).search(response.json())
    except jmespath.exceptions.JMESPathError as error:
        raise response.invalid(f"{name} {selection!r} does not fit the answer ({one_line(str(error))})") from None


def _imported(name: str, dotted: str) -> Any:
    module, _, path = dotted.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name}: {dotted!r} cannot be imported ({error})") from None
    if not callable(found):
        raise ValueError(f"{name}: {dotted!r} is no function")  # noqa: TRY004, a wrong argument
    return found


def _compile(name: str, expression: str) -> Any:
    # Imported here, as every parse of a DAG file would pay for it otherwise.
    import jmespath
    import jmespath.exceptions

    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{name}: {expression!r} is not a JMESPath expression ({problem})") from None


def describe(selection: Selection) -> str:
    """The selection as an error names it."""
    return repr(selection) if isinstance(selection, str) else getattr(selection, "__qualname__", repr(selection))
