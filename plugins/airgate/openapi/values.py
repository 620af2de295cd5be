"""The values of arguments as JSON has them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}


def plain(value: Any) -> Any:
    """The value in JSON's own kinds; what is none of ours comes back as it is, for the schema to refuse.

    Days, moments and UUIDs become texts, decimals numbers, tuples lists, members of an enum their value.

    Raises:
        ValueError: A moment without a time zone: which moment it is nobody knows. A number that JSON does not have.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("must have a time zone")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    return value


def read_text(value: Any, types: Set[str]) -> Any:
    """The number or truth that a text stands for where the schema takes no text, and a number as text where it does.

    A parameter travels as text whatever its type, and a rendered template is a text; so ``"10"`` is as good as ``10``.

    Args:
        value: Any value; others than texts and numbers come back as they are.
        types: The JSON types that the schema allows.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and not types & {"number", "integer"}:
        return text_of(value) if "string" in types else value
    if not isinstance(value, str) or "string" in types:
        return value
    if "integer" in types and _INTEGER.fullmatch(value):
        return int(value) if len(value) < 400 else value
    if "number" in types and _NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    if "boolean" in types and value in _BOOLEANS:
        return _BOOLEANS[value]
    return value


def text_of(value: Any) -> str:
    """A scalar as it stands in a URL or a header."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
