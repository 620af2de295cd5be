"""Values that are known when a DAG is parsed, told from those that only a run will know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Skip = Callable[[Any], bool]


class Unknown:
    """Stands for a value that is not known yet; equal to itself only."""

    def __repr__(self) -> str:
        return "a value that is not known yet"


UNKNOWN: Final = Unknown()


def is_templated(value: Any) -> bool:
    """Whether Airflow will put another value in this one's place: a Jinja template, or the output of a task."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    return callable(getattr(value, "iter_references", None)) or callable(getattr(value, "resolve", None))


def blank(value: Any, skip: Skip) -> Any:
    """The value with ``UNKNOWN`` in place of every part that ``skip`` says is not known yet.

    An object with a key that is not known is not known as a whole: nobody can say what it lacks.
    """
    if skip(value):
        return UNKNOWN
    if isinstance(value, Mapping):
        if any(skip(key) for key in value):
            return UNKNOWN
        return {key: blank(item, skip) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [blank(item, skip) for item in value]
    return value


def holds_unknown(value: Any) -> bool:
    """Whether any part of a blanked value is not known."""
    if isinstance(value, dict):
        return any(holds_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(holds_unknown(item) for item in value)
    return value is UNKNOWN
