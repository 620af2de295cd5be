"""How a parameter's value is written: OpenAPI's styles, as far as they are defaults, and deepObject."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from airgate.openapi.parameter import Parameter
from airgate.openapi.values import text_of

SUPPORTED = {"path": ("simple",), "query": ("form", "deepObject"), "header": ("simple",), "cookie": ("form",)}
"""Place of a parameter -> the styles that can be written there."""


def unsupported(parameter: Parameter) -> str | None:
    """Why a parameter cannot be sent, None if it can."""
    if parameter.media_type is not None:
        return None if is_json(parameter.media_type) else f"content of type {parameter.media_type!r} cannot be sent"
    known = SUPPORTED[parameter.place]
    if parameter.style not in known:
        return f"style {parameter.style!r} cannot be sent; {parameter.place} parameters have {' or '.join(known)}"
    return None


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON or a ``+json`` of its own."""
    bare = media_type.partition(";")[0].strip().lower()
    return bare in {"application/json", "application/*", "*/*"} or bare.endswith("+json")


def write(parameter: Parameter, value: Any) -> dict[str, str | list[str]]:
    """The value as name and text, or several where the style takes an object apart. Nothing is percent-encoded.

    Raises:
        ValueError: What the style cannot express; the text says why.
    """
    if reason := unsupported(parameter):
        raise ValueError(reason)
    name = parameter.name
    if parameter.media_type is not None:
        return {name: msgspec.json.encode(value).decode()}
    if parameter.style == "deepObject":
        return _deep(name, value)
    if parameter.style == "form" and parameter.explode:
        if isinstance(value, list):
            if parameter.place == "cookie":
                raise ValueError("a list cannot be sent in a cookie unless explode is false")
            return {name: [_scalar(item) for item in value]}
        if isinstance(value, dict):
            return {key: _scalar(item) for key, item in value.items()}
    return {name: _simple(value, explode=parameter.explode)}


def cookie_header(pairs: Iterable[tuple[str, str]]) -> str:
    """Cookies as one header; values are percent-encoded, as a semicolon would end them."""
    return "; ".join(f"{quote(name, safe='')}={quote(value, safe=',')}" for name, value in pairs)


def _simple(value: Any, *, explode: bool) -> str:
    """Joined by commas, of which therefore none may stand in a part."""
    if isinstance(value, list):
        return ",".join(map(_part, value))
    if isinstance(value, dict):
        if explode:
            return ",".join(f"{_part(key)}={_part(item)}" for key, item in value.items())
        return ",".join(_part(part) for pair in value.items() for part in pair)
    return _scalar(value)


def _part(value: Any) -> str:
    text = _scalar(value)
    if "," in text:
        raise ValueError("a comma cannot stand within a part of it, since commas separate the parts")
    return text


def _deep(name: str, value: Any) -> dict[str, str | list[str]]:
    if not isinstance(value, dict):
        raise ValueError("style 'deepObject' takes an object only")  # noqa: TRY004, as every finding is a ValueError
    return {
        f"{name}[{key}]": [_scalar(one) for one in item] if isinstance(item, list) else _scalar(item)
        for key, item in value.items()
    }


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if not isinstance(value, str | bool | int | float):
        raise ValueError("nested objects and lists cannot be written in a parameter")  # noqa: TRY004, as above
    return text_of(value)
