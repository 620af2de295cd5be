"""From `validate` of a route to what is checked; whatever files it names must be there when the edge starts."""

from msgspec import UnsetType

from airgate.edge.validation import Rules, Schema, SchemaRules
from airgate.edge.validation_operation import OperationRules
from airgate.edge.validation_schema import SchemaFiles
from airgate.openapi import problems
from airgate.openapi.errors import DocumentError
from airgate.openapi.styles import unsupported
from airgate.spec.extension import JsonSchema, Validate


class CannotCheck(ValueError):
    """What a route should be checked against is not there; `key` says below which key of `validate`.

    Args:
        key: `body`, `query`, `headers`, `operation` or `document`.
        what: What is wrong.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}")
        self.key = key
        self.what = what


def compile_rules(settings: Validate, files: SchemaFiles, document: str | None) -> Rules:
    """The rules of a route.

    Args:
        settings: `validate` of the route.
        files: Schemas and OpenAPI documents in the folder of the gateway's file.
        document: The OpenAPI document of the whole file.

    Raises:
        CannotCheck: A file, an operation or what a reference leads to is not there.
    """
    if isinstance(settings.operation, UnsetType):
        return SchemaRules(
            _schema("body", settings.body, files),
            _schema("query", settings.query, files),
            _schema("headers", settings.headers, files),
        )
    named = document if isinstance(settings.document, UnsetType) else settings.document
    if named is None:
        raise CannotCheck("operation", "no OpenAPI document is named")
    try:
        opened = files.document(named)
    except DocumentError as error:
        raise CannotCheck("document", str(error)) from None
    broken = problems(opened)
    if broken:
        raise CannotCheck("document", f"{named} has {len(broken)} problem(s), such as {broken[0]}")
    try:
        operation = opened.operation(settings.operation)
        missing = [reason for parameter in operation.parameters if (reason := unsupported(parameter))]
        _ = operation.body
    except (DocumentError, ValueError) as error:
        raise CannotCheck("operation", str(error)) from None
    if missing:
        raise CannotCheck("operation", missing[0])
    return OperationRules(operation)


def _schema(key: str, schema: JsonSchema | UnsetType, files: SchemaFiles) -> Schema | None:
    if isinstance(schema, UnsetType):
        return None
    try:
        return files.schema(schema)
    except ValueError as error:
        raise CannotCheck(key, str(error)) from None
