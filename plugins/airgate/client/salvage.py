"""Splits a page that strict JSON refuses, so that one damaged record does not cost the whole page.

Half a surrogate pair in a text, or NaN as a number, make a strict parser refuse the document. Python's own parser
takes both; it is slower, so it is asked only then. The damaged record keeps its text and is refused where records are
decoded.
"""

from __future__ import annotations

import json
import re

import msgspec

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def split_object(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each value as its text.

    Raises:
        ValueError: When the text is no object.
    """
    text = _text(raw)
    at, members = _open(text, "{"), {}
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError(f"expected a name at character {at}")  # noqa: TRY004
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError(f"expected ':' at character {at}")
        start = _skip(text, at + 1)
        _, end = _DECODER.raw_decode(text, start)
        members[name] = _raw(text[start:end])
        at = _next(text, end, "}")
    return members


def split_list(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON list, each as its text.

    Raises:
        ValueError: When the text is no list.
    """
    text = _text(raw)
    at, items = _open(text, "["), []
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        items.append(_raw(text[at:end]))
        at = _next(text, end, "]")
    return items


def _text(raw: bytes | msgspec.Raw) -> str:
    # A sentinel spares a length check at every step; it cannot be part of the document.
    return bytes(raw).decode("utf-8", "surrogateescape").rstrip() + "\0"


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode("utf-8", "surrogateescape"))


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _open(text: str, bracket: str) -> int:
    at = _skip(text, 0)
    if text[at] != bracket:
        raise ValueError(f"expected '{bracket}' at character {at}")
    return _skip(text, at + 1)


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text[at] == ",":
        return _skip(text, at + 1)
    if text[at] != closing:
        raise ValueError(f"expected ',' or '{closing}' at character {at}")
    return at
