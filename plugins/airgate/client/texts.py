"""Values as they stand in a URL, a form or JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AnySet
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote, quote_plus

_NOT_ONE = (Mapping, AnySet, list, tuple, bytes, bytearray, memoryview)


def text_of(name: str, value: Any) -> str:
    """The text of one value: booleans are ``true`` and ``false``, the rest is what ``str`` makes of it.

    Args:
        name: How an error calls the value; the value itself may be secret.
        value: A text, number, boolean, date, UUID or the like; of a member of an enum its value counts.

    Raises:
        ValueError: It is no single value, is None, or is a number that no other system knows.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, _NOT_ONE):
        raise ValueError(f"{name} must be a text, number or other single value, not {_kind(value)}")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value}")
    return str(value)


def pairs_of(what: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts of a query or form; a list or tuple repeats its name, None leaves it out.

    Raises:
        ValueError: Naming what cannot be written; a set has no order, and an object is written in many ways.
    """
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if item is not None:
                yield str(name), text_of(f"{what}: {str(name)!r}", item)


def query_of(what: str, values: Mapping[str, Any]) -> str:
    """Names and texts as a query, percent-encoded.

    Raises:
        ValueError: Naming what cannot be written.
    """
    return "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs_of(what, values))


def form_of(what: str, values: Mapping[str, Any]) -> bytes:
    """Names and texts as browsers send a form, ``application/x-www-form-urlencoded`` (WHATWG URL, 5).

    Raises:
        ValueError: Naming what cannot be written.
    """
    return "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in pairs_of(what, values)).encode()


def not_finite(value: Any) -> str | None:
    """Where in a JSON value a NaN or an infinity stands, such as ``['items'][0]``; None without one."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        members = value.items()
    elif isinstance(value, (list, tuple)):
        members = enumerate(value)
    return next((f"[{key!r}]{place}" for key, item in members if (place := not_finite(item)) is not None), None)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
