"""Masks single values in a JSON text and leaves every other byte of it as it is.

A dead letter is evidence: what a service really sent, down to spacing, order and repeated names. So its text is not
parsed and written anew; only the places that must not be seen are replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from airgate.policy.redaction import MASK, is_secret_name

Path = tuple[str, ...]
"""Names from the record down to a value; list positions do not count."""

_TOKEN = re.compile(r'[ \t\r\n]*([{}\[\]:,]|"(?:[^"\\]|\\.)*"|[^\s{}\[\]:,"]+)[ \t\r\n]*', re.DOTALL)
_MASKED = f'"{MASK}"'
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"\s*:|("(?:[^"\\]|\\.)*"|[^\s{}\[\]:,"]+)', re.DOTALL)
_TELLING = 4
"""A value shorter than this is masked in a reason only as a word of its own: it would be found within others."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A text, number, boolean or null, or the bracket with which an object or list begins or ends."""

    path: Path
    start: int
    end: int
    scalar: bool


def named(fields: Collection[str]) -> Callable[[Path, bool], bool]:
    """Whether a value is one of these dotted fields, such as ``customer.email``; lists on the way are walked through.

    A text or number where a field's parent should be, such as ``"customer": "a@b.c"``, counts as the field: records
    become dead letters because they have another shape than expected.

    Raises:
        ValueError: A name is empty or has an empty part.
    """
    paths = {tuple(field.split(".")) for field in fields}
    if any("" in path for path in paths):
        raise ValueError(f"fields must be dotted names such as customer.email, not {sorted(fields)}")
    parents = {path[:length] for path in paths for length in range(len(path))}
    return lambda path, scalar: path in paths or (scalar and path in parents)


def secret(path: Path, scalar: bool) -> bool:
    """Whether a value's name says that it is a secret: ``password``, ``api_key``, ``access_token`` and the like."""
    return bool(path) and is_secret_name(path[-1])


def mask_record(text: str, is_masked: Callable[[Path, bool], bool]) -> tuple[str, list[str]]:
    """Replace values in a record by ``"***"``.

    Args:
        text: The record's JSON.
        is_masked: Told a value's path, and whether it is a text, number or boolean; says whether to mask it.

    Returns:
        The text, and the JSON texts that were replaced. ``null`` stays. A text that is not JSON is masked as a whole,
        since nobody can say what stands where.
    """
    try:
        spans = list(_spans(text, is_masked))
    except ValueError:
        return _MASKED, [text]
    pieces, behind = [], 0
    for start, end in spans:
        pieces += [text[behind:start], _MASKED]
        behind = end
    return "".join([*pieces, text[behind:]]), [text[start:end] for start, end in spans]


def mask_reason(reason: str, values: Collection[str]) -> str:
    """The reason without the values that were masked in its record, which it may quote, whole, in part or cut.

    Args:
        reason: Why the record did not fit.
        values: JSON texts that ``mask_record`` replaced.
    """
    quoted = {piece.strip('"') for value in values for piece in (value, *_PIECE.findall(value))} - {"", MASK}
    for text in sorted(quoted, key=len, reverse=True):
        if len(text) < _TELLING:
            reason = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", MASK, reason)
        while (length := _beginning_within(text, reason)) >= _TELLING:
            reason = reason.replace(text[:length], MASK)
    return reason


def _beginning_within(text: str, reason: str) -> int:
    """Length of the longest beginning of a text that stands in the reason."""
    low, high = 0, min(len(text), len(reason))
    while low < high:  # where a beginning stands, every shorter one stands, too
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] in reason else (low, middle - 1)
    return low


def _spans(text: str, is_masked: Callable[[Path, bool], bool]) -> Iterator[tuple[int, int]]:
    """Start and end of each value to mask, in order, none within another."""
    hidden: tuple[int, int] | None = None  # depth and start of a masked object or list that is still open
    depth = 0
    for value in _values(text):
        opens = not value.scalar and text[value.start] in "{["
        if not value.scalar and not opens:
            depth -= 1
            if hidden and depth == hidden[0]:
                yield hidden[1], value.end
                hidden = None
        elif hidden is None and text[value.start : value.end] != "null" and is_masked(value.path, value.scalar):
            if value.scalar:
                yield value.start, value.end
            else:
                hidden = (depth, value.start)
        depth += opens


def _values(text: str) -> Iterator[_Value]:
    """Walk through a JSON text.

    Raises:
        ValueError: It is not JSON.
    """
    path: list[str] = []
    open_: list[str] = []
    expects, at = "value", 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError("not JSON")
        mark, (start, end), at = match[1], match.span(1), match.end()
        in_object = bool(open_) and open_[-1] == "{"
        if mark in "}]" and expects in ("first", "comma") and open_ and open_[-1] == ("{" if mark == "}" else "["):
            yield _Value(tuple(path), start, end, scalar=False)
            open_.pop()
            expects = _leave(path, open_)
        elif in_object and expects in ("first", "name") and mark[0] == '"':
            path.append(str(json.loads(mark, strict=False)))
            expects = "colon"
        elif expects == "colon" and mark == ":":
            expects = "value"
        elif expects == "comma" and mark == "," and open_:
            expects = "name" if in_object else "value"
        elif expects == "value" or (expects == "first" and not in_object):
            opens = mark in ("{", "[")
            if not opens and mark in "}]:,":
                raise ValueError("not JSON")
            yield _Value(tuple(path), start, end, scalar=not opens)
            if opens:
                open_.append(mark)
                expects = "first"
            else:
                expects = _leave(path, open_)
        else:
            raise ValueError("not JSON")
    if open_ or expects != "end":
        raise ValueError("not JSON")


def _leave(path: list[str], open_: list[str]) -> str:
    """What is expected behind a value; its name is taken from the path."""
    if not open_:
        return "end"
    if open_[-1] == "{":
        path.pop()
    return "comma"
