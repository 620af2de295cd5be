"""What is wrong with a document, all of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airgate.openapi.document import METHODS, Document
from airgate.openapi.errors import DocumentError
from airgate.openapi.library import Node
from airgate.openapi.parameter import Parameter
from airgate.openapi.styles import unsupported

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAMED = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "schemas", "dependentSchemas"}
    | {"responses", "parameters", "requestBodies", "headers", "pathItems", "paths", "callbacks", "links", "content"}
)
"""Keys below which the names are the author's, not OpenAPI's."""
_DATA = frozenset({"example", "examples", "default", "enum", "const"})
"""Keys below which anything may stand."""


def problems(document: Document) -> list[str]:
    """Everything about a document that would make a call fail or mean two things; empty if there is nothing.

    Each begins with the JSON pointer of the place.
    """
    found = [*_reference_problems(document), *_id_problems(document), *_path_problems(document)]
    found += [*_operation_problems(document), *_schema_problems(document)]
    return list(dict.fromkeys(found))


def _reference_problems(document: Document) -> Iterator[str]:
    for node in _walk(document.library.root):
        if isinstance(node.value.get("$ref"), str):
            try:
                document.library.follow(node)
            except DocumentError as error:
                yield str(error)


def _walk(top: Node) -> Iterator[Node]:
    """Every object of the file in which keywords stand, each once."""
    waiting, seen = [(top, False)], set()
    while waiting:
        node, named = waiting.pop()
        if id(node.value) in seen:
            continue
        seen.add(id(node.value))
        if isinstance(node.value, list):
            waiting += [(node.child(position), False) for position in reversed(range(len(node.value)))]
        elif isinstance(node.value, dict):
            if not named:
                yield node
            for key, value in reversed(node.value.items()):
                if isinstance(value, dict | list) and (named or key not in _DATA):
                    waiting.append((node.child(key), not named and key in _NAMED))


def _id_problems(document: Document) -> Iterator[str]:
    for name, nodes in document._index[1].items():
        first, *others = (document.library.at(node) for node in nodes)
        for place in others:
            yield f"{place}: operationId {name!r} is used before, at {first}"


def _path_problems(document: Document) -> Iterator[str]:
    paths = document.library.root.get("paths")
    if paths is None or not isinstance(paths.value, dict):
        yield "/paths: it is missing, so the document has no operations"
        return
    shapes: dict[str, str] = {}
    for path in paths.value:
        at = document.library.at(paths.child(path))
        if not path.startswith("/"):
            if not path.startswith("x-"):
                yield f"{at}: a path begins with /"
            continue
        shape = _PLACEHOLDER.sub("{}", path)
        if shape in shapes:
            yield f"{at}: a gateway cannot tell it from {shapes[shape]}"
        shapes.setdefault(shape, path)


def _operation_problems(document: Document) -> Iterator[str]:
    library = document.library
    for operation in document.operations.values():
        at = library.at(operation.node)
        try:
            parameters, body = operation.parameters, operation.body
        except DocumentError as error:
            yield str(error)
            continue
        placeholders = _PLACEHOLDER.findall(operation.path)
        declared = {parameter.name for parameter in parameters if parameter.place == "path"}
        for name in dict.fromkeys(placeholders):
            if name not in declared:
                yield f"{at}/parameters: the path parameter {name!r} is not described"
        for name in sorted(declared - set(placeholders)):
            yield f"{at}/parameters: the path parameter {name!r} is not in the path {operation.path}"
        for parameter in parameters:
            yield from _parameter_problems(document, at, parameter)
        if body is not None and body.unsupported:
            yield f"{at}/requestBody: {body.unsupported}"
        if not operation.responses:
            yield f"{at}/responses: no answer is described"


def _parameter_problems(document: Document, at: str, parameter: Parameter) -> Iterator[str]:
    if reason := unsupported(parameter):
        yield f"{at}/parameters: {parameter.pointer}: {reason}"
    if parameter.schema is None and parameter.media_type is None:
        yield f"{at}/parameters: {parameter.pointer}: it has neither schema nor content"


def _schema_problems(document: Document) -> Iterator[str]:
    from jsonschema.exceptions import SchemaError
    from openapi_schema_validator import OAS30Validator, OAS31Validator

    kind: Any = OAS30Validator if document.version == "3.0" else OAS31Validator
    for node in _schemas(document):
        try:
            kind.check_schema(node.value)
        except SchemaError as error:
            path = tuple(map(str, error.absolute_path))
            at = document.library.at(Node(None, node.uri, (*node.path, *path)))
            yield f"{at}: the schema is not valid: {error.message[:200]}"


def _schemas(document: Document) -> Iterator[Node]:
    """The schemas that stand by themselves; those within them are checked along with them."""
    components = document.library.root.get("components")
    named = components.get("schemas") if components is not None else None
    for name in named.value if named is not None and isinstance(named.value, dict) else ():
        assert named is not None
        yield named.child(name)
    for node in _walk(document.library.root):
        if "schema" in node.value and not _within_schema(node.path) and isinstance(node.value["schema"], dict | bool):
            yield node.child("schema")


def _within_schema(path: tuple[str, ...]) -> bool:
    return "schema" in path or path[:2] == ("components", "schemas")


__all__ = ["METHODS", "problems"]
