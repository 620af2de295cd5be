"""JSON values as JavaScript reads, compares and writes them; the gateway this format comes from runs there."""

import json
import math
import re
from collections.abc import Iterator
from typing import Final


class _Missing:
    """The type of `MISSING`: a key that is not there, which JavaScript tells apart from null."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_LARGEST_INDEX = 2**32 - 2
_SAFE_DIGITS = 15


def parse(text: str) -> object:
    """Parse JSON text as `JSON.parse` does.

    Raises:
        ValueError: the text is not JSON (a byte order mark and NaN or Infinity count as that) or is nested too deeply.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _SAFE_DIGITS else float(digits)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant)


def truthy(value: object) -> bool:
    """Whether a JSON value counts as true: empty lists and objects do, empty text, zero, null and NaN do not."""
    if isinstance(value, list | dict):
        return True
    return bool(value) and value == value  # NaN differs from itself


def equal(left: object, right: object) -> bool:
    """Strict equality (`===`) of two JSON values; two lists or objects are never equal, a boolean is no number."""
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def number_text(number: float) -> str:
    """A number as JavaScript prints it: `1.0` -> `1`, `1e21` -> `1e+21`, `1e-7` -> `1e-7`, `-0.0` -> `0`."""
    if isinstance(number, int) and abs(number) < 10**_SAFE_DIGITS:
        return str(number)
    number = float(number)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, point = _shortest_digits(abs(number))
    return sign + _place(digits, point)


def _shortest_digits(number: float) -> tuple[str, int]:
    """The shortest digits that read back as the number, and where the decimal point stands after the first one."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole + fraction) - len(digits)
    point = len(whole) - leading + int(exponent or 0)
    return digits.rstrip("0") or "0", point


def _place(digits: str, point: int) -> str:
    """Write digits with the decimal point at `point`, following ECMA-262 Number::toString."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"


def to_text(value: object) -> str:
    """A JSON value as `String(value)` gives it: lists are joined with commas, objects become `[object Object]`."""
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case list():
            return ",".join("" if item is None else to_text(item) for item in value)
    return "[object Object]" if isinstance(value, dict) else "undefined"


def stringify(value: object) -> str:
    """A JSON value as `JSON.stringify` gives it: compact, numbers as above, integer-like keys first, in order."""
    return "".join(_pieces(value))


def _pieces(value: object) -> Iterator[str]:
    match value:
        case str():
            yield _quoted(value)
        case float() if not math.isfinite(value):
            yield "null"
        case list():
            yield "["
            for position, item in enumerate(value):
                if position:
                    yield ","
                yield from _pieces(item)
            yield "]"
        case dict():
            yield "{"
            for position, key in enumerate(_ordered_keys(value)):
                yield f"{',' if position else ''}{_quoted(key)}:"
                yield from _pieces(value[key])
            yield "}"
        case _:
            yield to_text(value)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _ordered_keys(mapping: dict[str, object]) -> list[str]:
    indexes = sorted((key for key in mapping if _is_index(key)), key=int)
    return indexes + [key for key in mapping if not _is_index(key)] if indexes else list(mapping)


def _is_index(key: str) -> bool:
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _LARGEST_INDEX
