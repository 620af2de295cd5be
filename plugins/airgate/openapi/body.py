"""The body of a request: which media type is sent, and what may be spread into keywords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from airgate.openapi.errors import DocumentError
from airgate.openapi.library import Library, Node
from airgate.openapi.styles import is_json
from airgate.openapi.values import text_of

FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/"


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What an operation takes as its body, in the media type that airgate sends.

    Of several media types JSON is preferred, then a ``+json``, then a form, then the first.
    """

    required: bool
    media_type: str
    schema: Node | None = field(default=None, repr=False)
    properties: frozenset[str] = frozenset()
    """Names that the schema describes, so that they can be given as keywords; empty if it is no object."""
    media_types: tuple[str, ...] = ()
    """All that the document offers."""

    @property
    def structured(self) -> bool:
        """Whether it is made from a value, not from bytes or text."""
        return is_json(self.media_type) or self.media_type == FORM

    @property
    def unsupported(self) -> str | None:
        """Why it cannot be sent, None if it can."""
        if self.media_type.startswith(_MULTIPART):
            return f"a body of type {self.media_type!r} is not made from a document; use GatewayHook.call for it"
        return None


def read_body(library: Library, node: Node | None) -> RequestBody | None:
    """The body that a ``requestBody`` describes, None without one.

    Raises:
        DocumentError: It has no content.
    """
    if node is None:
        return None
    node = library.follow(node)
    content = node.get("content")
    if content is None or not isinstance(content.value, dict) or not content.value:
        raise DocumentError(f"{library.at(node)}: a requestBody needs content with a media type")
    media_type = min(content.value, key=_preference)
    schema = content.child(media_type).get("schema")
    return RequestBody(
        node.value.get("required") is True,
        media_type,
        schema,
        frozenset() if schema is None else frozenset(_properties(library, schema, 0)),
        tuple(content.value),
    )


def encode(body: RequestBody, value: Any) -> tuple[Any, bytes | None, dict[str, str]]:
    """The body as JSON value, or as bytes, with the headers it needs.

    Raises:
        ValueError: The media type cannot express the value; the text says why.
    """
    if is_json(body.media_type):
        if value is None:
            return None, b"null", {"Content-Type": "application/json"}
        exact = "*" in body.media_type or body.media_type == "application/json"
        return value, None, {} if exact else {"Content-Type": body.media_type}
    headers = {} if "*" in body.media_type else {"Content-Type": body.media_type}
    if body.media_type == FORM:
        return None, _form(value).encode(), headers
    if isinstance(value, bytes):
        return None, value, headers
    if isinstance(value, str):
        return None, value.encode(), headers
    raise ValueError(f"must be text or bytes, as {body.media_type} is sent as it is")


def _form(value: Any) -> str:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object, as a form has names")  # noqa: TRY004, as every finding is a ValueError
    pairs = []
    for name, item in value.items():
        for one in item if isinstance(item, list) else [item]:
            if isinstance(one, list | dict) or one is None:
                raise ValueError(f"{name!r} must be a text, number, boolean or a list of these, as it goes into a form")
            pairs.append((str(name), text_of(one)))
    return urlencode(pairs, quote_via=quote)


def _preference(media_type: str) -> int:
    bare = media_type.partition(";")[0].strip().lower()
    if bare == "application/json":
        return 0
    return 1 if is_json(bare) else 2 if bare == FORM else 4 if bare.startswith(_MULTIPART) else 3


def _properties(library: Library, schema: Node, depth: int) -> set[str]:
    schema = library.follow(schema)
    if not isinstance(schema.value, dict) or depth > 8:
        return set()
    described = schema.value.get("properties")
    names = set(described) if isinstance(described, dict) else set[str]()
    branches = schema.get("allOf")
    if branches is not None and isinstance(branches.value, list):
        for position in range(len(branches.value)):
            names |= _properties(library, branches.child(position), depth + 1)
    return names
