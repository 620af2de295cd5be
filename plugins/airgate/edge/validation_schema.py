"""The schemas and OpenAPI documents under `validate`, with the files next to the gateway's file that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgate.edge.named_files import NamedFiles
from airgate.edge.validation import Schema
from airgate.openapi import Document, DocumentError, open_document
from airgate.openapi.library import Library
from airgate.spec.extension import JsonSchema

if TYPE_CHECKING:
    from referencing import Resource
    from referencing._core import Resolver

_BASE = "file:///validate"
_DEEPEST = 16


class SchemaFiles:
    """The folder of the gateway's file.

    Args:
        folder: Where it is. References of schemas lead to files in it and nowhere else; None is no folder.
        files: Notes which files are read.
    """

    def __init__(self, folder: Path | None, files: NamedFiles | None = None) -> None:
        self._folder = folder
        self._files = NamedFiles() if files is None else files
        self._library = Library("{}", "validate", None if folder is None else self._neighbours(folder))
        self._documents: dict[str, Document] = {}

    def document(self, named: str) -> Document:
        """An OpenAPI document: a path from the folder, or `package://package.name/path/in/it`.

        Raises:
            DocumentError: it cannot be read or is of another version.
        """
        if "://" in named:
            return open_document(named)
        if named not in self._documents:
            path = (self._folder or Path()) / named
            try:
                text = self._files.read(path)
            except OSError as error:
                raise DocumentError(f"the OpenAPI document {path} cannot be read: {error.strerror}") from None
            self._documents[named] = Document(Library(text, path.name, self._neighbours(path.parent)))
        return self._documents[named]

    def schema(self, schema: JsonSchema) -> Schema:
        """A schema (2020-12) whose references are all there.

        Raises:
            ValueError: a reference leads nowhere, out of the folder or to what is no schema; the text says which.
        """
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        def retrieve(uri: str) -> Resource[Any]:
            return DRAFT202012.create_resource(self._library.file(uri))

        registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
        registry = registry.with_resource(_BASE, DRAFT202012.create_resource(schema))
        waiting, seen = [(registry.resolver(_BASE), schema)], set()
        while waiting:
            resolver, part = waiting.pop()
            for reference in _references(part):
                try:
                    found = resolver.lookup(reference)
                except (Unresolvable, DocumentError) as error:
                    cause = error.__cause__ if isinstance(error.__cause__, DocumentError) else None
                    raise ValueError(
                        f"the reference {reference!r} leads nowhere{f': {cause}' if cause else ''}"
                    ) from None
                if id(found.contents) not in seen:
                    seen.add(id(found.contents))
                    waiting.append((found.resolver, found.contents))
                    try:
                        Draft202012Validator.check_schema(found.contents)
                    except SchemaError as error:
                        raise ValueError(f"at {reference!r} stands no valid schema: {error.message[:200]}") from None
        checker = Draft202012Validator.FORMAT_CHECKER
        validator = Draft202012Validator({"$ref": _BASE}, registry=registry, format_checker=checker)
        return Schema(validator, _end_of_references(schema, registry.resolver(_BASE)))

    def _neighbours(self, folder: Path) -> Callable[[str], bytes]:
        top = folder.resolve()

        def read(name: str) -> bytes:
            (top / name).resolve().relative_to(top)  # raises ValueError for what leads out
            return self._files.read(top / name)  # a link that is turned to another file is a change, too

        return read


def _end_of_references(schema: JsonSchema, resolver: Resolver[Any]) -> object:
    top: Any = schema
    for _ in range(_DEEPEST):
        if not isinstance(top, dict) or not isinstance(top.get("$ref"), str):
            break
        found = resolver.lookup(top["$ref"])
        top, resolver = found.contents, found.resolver
    return top


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
