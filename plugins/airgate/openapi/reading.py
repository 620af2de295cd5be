"""From the text of a document, JSON or YAML, to plain objects, lists and scalars."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from airgate.openapi.errors import DocumentError

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_BOOL = "tag:yaml.org,2002:bool"


def parse(text: str | bytes, name: str) -> dict[str, Any]:
    """Read a document.

    Args:
        text: JSON or YAML, in UTF-8 if bytes.
        name: What errors call it.

    Raises:
        DocumentError: It is neither, or not an object.
    """
    content = _decoded(text, name)
    if not isinstance(content, dict):
        raise DocumentError(f"{name}: it must be an object, not {type(content).__name__}")
    return content


def _decoded(text: str | bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if text.strip()[:1] in {"{", b"{"} and text.strip()[-1:] in {"}", b"}"}:
            # Also YAML can begin so, but a person who wrote this meant JSON.
            try:
                return _yaml(text, name)
            except DocumentError:
                raise DocumentError(f"{name}: it is not JSON: {error}") from None
    except RecursionError:
        raise DocumentError(f"{name}: it is nested too deeply") from None
    return _yaml(text, name)


def _yaml(text: str | bytes, name: str) -> Any:
    import yaml

    try:
        return _with_text_keys(yaml.load(text, Loader=_loader()), {})  # noqa: S506, as the loader derives from a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise DocumentError(f"{name}: it is neither JSON nor YAML: {getattr(error, 'problem', None)}{where}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"{name}: it cannot be read as YAML: {type(error).__name__}") from None


@cache
def _loader() -> Any:
    """A safe loader with the scalars of JSON only: a day stays a text, and so does Norway's ``no``."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        letter: [(tag, pattern) for tag, pattern in entries if tag not in {_TIMESTAMP, _BOOL}]
        for letter, entries in base.yaml_implicit_resolvers.items()
    }
    loader = type("JsonScalars", (base,), {"yaml_implicit_resolvers": resolvers})
    loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))  # type: ignore[attr-defined]
    return loader


def _with_text_keys(value: Any, seen: dict[int, Any]) -> Any:
    """The same with every key a text, as ``200:`` is a number to YAML; what aliases share stays shared."""
    if not isinstance(value, dict | list):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, list):
        items = seen[id(value)] = list[Any]()
        items.extend(_with_text_keys(item, seen) for item in value)
        return items
    made = seen[id(value)] = dict[str, Any]()
    for key, item in value.items():
        made[str(key).lower() if isinstance(key, bool) else str(key)] = _with_text_keys(item, seen)
    return made
