"""Holds an answer against what the document says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airgate.openapi.errors import Finding
from airgate.openapi.library import Library, Node
from airgate.openapi.styles import is_json
from airgate.openapi.values import read_text

if TYPE_CHECKING:
    from airgate.openapi.validation import Schemas


def response_findings(
    library: Library,
    schemas: Schemas,
    responses: Mapping[str, Node],
    status: int,
    headers: Mapping[str, str],
    json: Any,
) -> list[Finding]:
    """What about an answer breaks the document.

    Args:
        library: The document's files.
        schemas: Its schemas.
        responses: Descriptions by status, ``4XX`` or ``default``.
        status: HTTP status.
        headers: Headers of the answer.
        json: Its decoded body.
    """
    described = responses.get(str(status)) or responses.get(f"{status // 100}XX") or responses.get("default")
    if described is None:
        known = ", ".join(responses) or "none"
        return [Finding("response/status", f"{status} is not described; described are {known}")]
    described = library.follow(described)
    lowered = {name.lower(): value for name, value in headers.items()}
    found = _header_findings(library, schemas, described.get("headers"), lowered)
    content = described.get("content")
    if content is None or not content.value or status in {204, 304}:
        return found
    sent = lowered.get("content-type", "").partition(";")[0].strip().lower()
    media_type = _media_type(content, sent)
    if media_type is None:
        expected = " or ".join(content.value)
        return [*found, Finding("response/headers/content-type", f"must be {expected}, not {sent!r}")]
    schema = content.child(media_type).get("schema")
    if schema is not None and is_json(sent or media_type):
        found += schemas.findings(schema, json, "response/body", "response")
    return found


def _media_type(content: Node, sent: str) -> str | None:
    """The description that is nearest to what was sent; without a word on that, the one for JSON."""
    names: dict[str, str] = {name.partition(";")[0].strip().lower(): name for name in content.value}
    if not sent:
        return next((name for bare, name in names.items() if is_json(bare)), next(iter(content.value)))
    kind = sent.partition("/")[0]
    return names.get(sent) or names.get(f"{kind}/*") or names.get("*/*")


def _header_findings(
    library: Library, schemas: Schemas, described: Node | None, sent: Mapping[str, str]
) -> list[Finding]:
    found: list[Finding] = []
    for name in described.value if described else ():
        assert described is not None
        header = library.follow(described.child(name))
        pointer, value = f"response/headers/{name}", sent.get(name.lower())
        if name.lower() == "content-type":
            continue
        if value is None:
            if header.value.get("required") is True:
                found.append(Finding(pointer, "is required"))
            continue
        schema = header.get("schema")
        types = schemas.types(schema)
        # Lists and objects in a header have a style of their own; a scalar is what nearly all of them are.
        if schema is not None and not types & {"array", "object"}:
            found += schemas.findings(schema, read_text(value, types), pointer, "response")
    return found
