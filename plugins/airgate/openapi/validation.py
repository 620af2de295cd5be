"""Holds a value against a schema of the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airgate.openapi.errors import DocumentError, Finding
from airgate.openapi.keywords import Direction, Version, validator_class
from airgate.openapi.library import Library, Node
from airgate.openapi.literals import holds_unknown
from airgate.openapi.phrases import findings_of

if TYPE_CHECKING:
    from referencing import Registry

__all__ = ["Direction", "Schemas", "Version"]


class Schemas:
    """The schemas of one document, ready to be used; each is prepared once.

    Args:
        library: The document's files.
        version: Its version of OpenAPI, by which schemas are read.
    """

    def __init__(self, library: Library, version: Version) -> None:
        self._library = library
        self._version = version
        self._ready: dict[tuple[str, Direction], Any] = {}

    def types(self, schema: Node | None) -> frozenset[str]:
        """The JSON types that a schema names, also through ``anyOf`` and the like; all of them if it names none."""
        named = frozenset() if schema is None else self._types(schema, 0)
        return named or frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})

    def items(self, schema: Node | None) -> Node | None:
        """The schema of a list's items, where there is one."""
        return None if schema is None else self._library.follow(schema).get("items")

    def findings(self, schema: Node, value: Any, pointer: str, direction: Direction) -> list[Finding]:
        """What about a value breaks a schema.

        A property that is ``readOnly`` is neither demanded nor let through in a request; ``writeOnly`` in a response.

        Args:
            schema: Where the schema stands.
            value: A JSON value; parts that are ``UNKNOWN`` are passed over.
            pointer: How findings name the value itself.
            direction: Which way it goes.

        Raises:
            DocumentError: The schema itself is broken.
        """
        from jsonschema.exceptions import UnknownType, best_match
        from referencing.exceptions import Unresolvable

        validator = self._validator(schema, direction)
        found: list[Finding] = []
        try:
            for error in validator.iter_errors(value):
                if not _hangs_on_unknown(error, value):
                    best = best_match([error])
                    found += findings_of(error if best is None or _hangs_on_unknown(best, value) else best, pointer)
        except Unresolvable as error:
            cause = next((link for link in _causes(error) if isinstance(link, DocumentError)), None)
            reference = getattr(error, "ref", "")
            reason = cause or f"nothing stands at {str(reference).removeprefix(schema.uri)!r}"
            raise DocumentError(f"{self._library.at(schema)}: a reference in the schema: {reason}") from None
        except (UnknownType, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
            raise DocumentError(
                f"{self._library.at(schema)}: the schema cannot be used: {type(error).__name__}. "
                "airgate.openapi.problems(document) says what is wrong with it"
            ) from None
        return list(dict.fromkeys(found))

    def _validator(self, schema: Node, direction: Direction) -> Any:
        key = (schema.reference, direction)
        if key not in self._ready:
            kind = validator_class(self._version, direction)
            self._ready[key] = kind(
                {"$ref": schema.reference}, registry=self._registry(), format_checker=kind.FORMAT_CHECKER
            )
        return self._ready[key]

    def _registry(self) -> Registry[Any]:
        """Where references are looked up: the library only, never the network."""
        from referencing import Registry, Resource

        # Opaque: what is called id in a whole document is no schema's name.
        return Registry(retrieve=lambda uri: Resource.opaque(self._library.file(uri)))  # type: ignore[call-arg]

    def _types(self, schema: Node, depth: int) -> frozenset[str]:
        schema = self._library.follow(schema)
        if not isinstance(schema.value, dict) or depth > 8:
            return frozenset()
        named = schema.value.get("type")
        if isinstance(named, str):
            return frozenset({named})
        if isinstance(named, list):
            return frozenset(filter(None, map(str, named)))
        if isinstance(schema.value.get("enum"), list) and all(isinstance(item, str) for item in schema.value["enum"]):
            return frozenset({"string"})
        found: frozenset[str] = frozenset()
        for keyword in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(keyword)
            if branches is not None and isinstance(branches.value, list):
                for position in range(len(branches.value)):
                    found |= self._types(branches.child(position), depth + 1)
        return found


def _hangs_on_unknown(error: Any, value: Any) -> bool:
    """Whether a part of the value that is not known yet may make it right."""
    if {"then", "else"} & set(error.absolute_schema_path) and holds_unknown(value):
        return True
    keys_only = {"required", "additionalProperties", "minProperties", "maxProperties", "minItems", "maxItems"}
    if error.validator in keys_only and isinstance(error.instance, dict | list):
        return False
    if error.validator == "type" and isinstance(error.instance, dict | list):
        return False
    return holds_unknown(error.instance)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
