"""Whether a request is what its route asks for: JSON Schemas, compiled once, findings named by JSON pointer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from airgate.edge.json_body import read_json
from airgate.edge.refusal import refusal
from airgate.openapi.errors import Finding
from airgate.openapi.phrases import findings_of
from airgate.openapi.values import read_text
from airgate.spec.answer import Answer
from airgate.spec.message import Request, header_text
from airgate.spec.url import parse_form

_SHOWN = 20
_ALL_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: in which part of the request, where in that part, and what was expected."""

    part: str
    """`body`, `query`, `headers` or `path`."""
    pointer: str
    """JSON pointer within the part."""
    detail: str


class Rules(Protocol):
    """What a route asks of its requests."""

    @property
    def reads_body(self) -> bool:
        """Whether the body must be there for the checks."""

    def faults(self, request: Request, parameters: Mapping[str, str], body: bytes) -> list[Fault]:
        """What is wrong with a request.

        Args:
            request: The request.
            parameters: What its path fills in, as of `airgate.spec.extension_paths.parameters`.
            body: Its whole body, empty when `reads_body` is false.

        Raises:
            BadBody: the body cannot be read at all.
        """


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema that is ready to be used."""

    validator: Any
    """One of `jsonschema`, whose types come in only where a file asks for them."""
    top: object
    """The schema itself, its own reference followed: where the types of query and headers are read from."""


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """Three JSON Schemas; None checks nothing."""

    body: Schema | None
    query: Schema | None
    headers: Schema | None

    @property
    def reads_body(self) -> bool:
        """Whether there is a schema for it."""
        return self.body is not None

    def faults(self, request: Request, parameters: Mapping[str, str], body: bytes) -> list[Fault]:
        """What is wrong with query, headers and body."""
        found: list[Fault] = []
        if self.query is not None:
            found += _faults("query", self.query, _typed(_query(request), self.query.top))
        if self.headers is not None:
            found += _faults("headers", self.headers, _typed(_headers(request), self.headers.top))
        if self.body is not None:
            found += _faults("body", self.body, read_json(request, body))
        return found


def refused(faults: Sequence[Fault]) -> Answer:
    """The answer to a request with faults: 422 when only the body's content is wrong, else 400."""
    status = 422 if all(fault.part == "body" for fault in faults) else 400
    shown = [{"in": fault.part, "pointer": fault.pointer, "detail": fault.detail} for fault in faults[:_SHOWN]]
    more = f", of which the first {_SHOWN} are listed" if len(faults) > _SHOWN else ""
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults{more}"
    return refusal(status, f"The request has {count}.", members={"errors": shown})


def _faults(part: str, schema: Schema, value: object) -> list[Fault]:
    return [Fault(part, finding.pointer, finding.expectation) for finding in _findings(schema.validator, value)]


def _findings(validator: Any, value: object) -> Iterator[Finding]:
    from jsonschema.exceptions import best_match

    for error in islice(validator.iter_errors(value), _SHOWN + 1):
        yield from findings_of(best_match([error]) or error, "")


def _query(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_form(request.query):
        found.setdefault(name, []).append(value)
    return found


def _headers(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.headers:
        found.setdefault(header_text(name), []).append(header_text(value))
    return {name: [", ".join(values)] for name, values in found.items()}


def _typed(values: Mapping[str, list[str]], schema: object) -> dict[str, object]:
    """Texts as the numbers, truths and lists that the schema asks for; what it asks nothing of stays text."""
    described = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return {name: _typed_value(texts, described.get(name)) for name, texts in values.items()}


def _typed_value(texts: Sequence[str], schema: object) -> object:
    types = types_of(schema)
    if "array" in types and types != _ALL_TYPES:
        items = schema.get("items") if isinstance(schema, dict) else None
        return [read_text(text, types_of(items)) for text in texts]
    read = [read_text(text, types) for text in texts]
    return read[0] if len(read) == 1 else read


def types_of(schema: object) -> frozenset[str]:
    """The types that a schema names itself; all of them if it names none."""
    named = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(named, str):
        return frozenset({named})
    return frozenset(map(str, named)) if isinstance(named, list) else _ALL_TYPES
