"""A parameter of an operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from airgate.openapi.errors import DocumentError
from airgate.openapi.library import Library, Node

Place = Literal["path", "query", "header", "cookie"]

_STYLES: dict[Place, str] = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, with what OpenAPI says where the document leaves something out."""

    name: str
    place: Place
    required: bool
    style: str
    explode: bool
    media_type: str | None = None
    """How its value is written where the document gives it ``content``; None where style and explode say that."""
    schema: Node | None = field(default=None, repr=False)
    """None takes any value."""
    description: str = ""

    @property
    def pointer(self) -> str:
        """How findings name it."""
        return f"{self.place}/{self.name.replace('~', '~0').replace('/', '~1')}"


def read_parameters(library: Library, lists: list[Node]) -> tuple[Parameter, ...]:
    """The parameters of lists, in which a later one replaces an earlier one of the same name and place.

    The headers Accept, Content-Type and Authorization are no parameters, says OpenAPI.

    Raises:
        DocumentError: One of them is not a parameter.
    """
    found: dict[tuple[str, str], Parameter] = {}
    for items in lists:
        for position in range(len(items.value)):
            parameter = _read(library, library.follow(items.child(position)))
            if parameter.place != "header" or parameter.name.lower() not in _IGNORED_HEADERS:
                found[parameter.place, parameter.name] = parameter
    return tuple(found.values())


def _read(library: Library, node: Node) -> Parameter:
    value: Any = node.value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or value.get("in") not in _STYLES:
        raise DocumentError(f"{library.at(node)}: a parameter needs a name, and in: {', '.join(_STYLES)}")
    place: Place = value["in"]
    style = value.get("style", _STYLES[place])
    schema, media_type = node.get("schema"), None
    if content := node.get("content"):
        if not isinstance(content.value, dict) or len(content.value) != 1:
            raise DocumentError(f"{library.at(content)}: the content of a parameter has exactly one media type")
        [media_type] = content.value
        schema = content.child(media_type).get("schema")
    return Parameter(
        value["name"],
        place,
        required=place == "path" or value.get("required") is True,
        style=style,
        explode=value["explode"] if isinstance(value.get("explode"), bool) else style == "form",
        media_type=media_type,
        schema=schema,
        description=str(value.get("description", "")),
    )
