"""Texts with places in them, ``{name}``, that values are put into."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")


def places(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Where a value of JSON has places and what their names are: ``("submit.json.scene", "scene")``.

    Args:
        value: Anything of JSON.
        at: What the value itself is called.
    """
    if isinstance(value, str):
        yield from ((at, name) for name in _PLACE.findall(value))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from places(each, f"{at}.{key}")
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            yield from places(each, f"{at}[{position}]")


def filled(value: Any, values: Mapping[str, Any], at: str) -> Any:
    """The value with all places filled. A text that is one place and no more becomes the value, of whatever type.

    Raises:
        ValueError: A place has no value.
    """
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole:
            return value_of(whole[1], values, at)
        return _PLACE.sub(lambda place: _text(value_of(place[1], values, at)), value)
    if isinstance(value, Mapping):
        return {key: filled(each, values, f"{at}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [filled(each, values, f"{at}[{position}]") for position, each in enumerate(value)]
    return value


def value_of(name: str, values: Mapping[str, Any], at: str) -> Any:
    """The value of a name.

    Raises:
        ValueError: There is none.
    """
    if name not in values:
        raise ValueError(
            f"{at}: nothing fills {{{name}}} here; known are {', '.join(sorted(values)) or 'no names'}. A job that was "
            f"submitted elsewhere needs it in its handle: job={{'id': ..., 'data': {{{name!r}: ...}}}}"
        )
    return values[name]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
