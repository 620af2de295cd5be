"""``NAME=VALUE`` as commands take it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec


def read_pairs(option: str, texts: Iterable[str] | None) -> list[tuple[str, Any]]:
    """Names and values; ``NAME:=JSON`` has a value of any type.

    Raises:
        ValueError: Naming the option, but not the value, which may be a secret.
    """
    pairs: list[tuple[str, Any]] = []
    for text in texts or ():
        match = re.match(r"([^=]+?)(:?)=(.*)", text, re.DOTALL)
        if match is None:
            raise ValueError(f"{option} must be NAME=VALUE")
        name, typed, value = match.groups()
        pairs.append((name, read_json(f"{option} {name}", value) if typed else value))
    return pairs


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs by name; a repeated name has the list of its values."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def read_json(option: str, text: str) -> Any:
    """A JSON value, from a file with ``@FILE``, from standard input with ``@-``.

    Raises:
        ValueError: It is not JSON.
        OSError: The file cannot be read.
    """
    source: str | bytes = text
    if text.startswith("@"):
        source = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    try:
        return msgspec.json.decode(source)
    except msgspec.DecodeError as error:
        raise ValueError(f"{option} is not JSON: {error}") from None
