"""Whether a request is one of an OpenAPI operation: its parameters, read from text as the document has it, and body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

import msgspec

from airgate.edge.json_body import BadBody, read_json
from airgate.edge.validation import Fault
from airgate.openapi import Operation, Parameter
from airgate.openapi.errors import Finding
from airgate.openapi.styles import is_json, unsupported
from airgate.openapi.values import read_text
from airgate.policy.json_faults import NOT_JSON
from airgate.spec.message import Request
from airgate.spec.url import parse_form

_PARTS = {"query": "query", "header": "headers", "path": "path", "cookie": "headers"}


@dataclass(frozen=True, slots=True)
class OperationRules:
    """What an operation asks of a request."""

    operation: Operation

    @property
    def reads_body(self) -> bool:
        """Whether the operation describes a body."""
        return self.operation.body is not None

    def faults(self, request: Request, parameters: Mapping[str, str], body: bytes) -> list[Fault]:
        """What is wrong with parameters and body. Names that the document does not have pass."""
        found: list[Fault] = []
        for parameter in self.operation.parameters:
            if unsupported(parameter):
                continue  # the strict checks refuse a document with one
            texts = _texts(parameter, request, parameters)
            part, pointer = _PARTS[parameter.place], "/" + parameter.pointer.partition("/")[2]
            if not texts:
                found += [Fault(part, pointer, "is required")] if parameter.required else []
            elif parameter.schema is not None:
                found += self._parameter_faults(parameter, texts, part, pointer)
        if self.operation.body is not None:
            found += self._body_faults(request, body)
        return found

    def _parameter_faults(self, parameter: Parameter, texts: Sequence[str], part: str, pointer: str) -> list[Fault]:
        assert parameter.schema is not None
        try:
            value = self._value(parameter, texts)
        except NOT_JSON:
            return [Fault(part, pointer, "must be JSON")]
        found = self.operation.schemas.findings(parameter.schema, value, pointer, "request")
        return [Fault(part, finding.pointer, finding.expectation) for finding in found]

    def _value(self, parameter: Parameter, texts: Sequence[str]) -> object:
        if parameter.media_type is not None:
            return msgspec.json.decode(texts[0])
        schemas = self.operation.schemas
        types = schemas.types(parameter.schema)
        if parameter.style == "deepObject":
            return dict(part.split("\0", 1) for part in texts)
        if types == {"array"} or (len(texts) > 1 and "array" in types):
            parts = texts if parameter.explode and parameter.place == "query" else texts[0].split(",")
            items = schemas.types(schemas.items(parameter.schema))
            return [read_text(part, items) for part in parts]
        return read_text(texts[0] if len(texts) == 1 else list(texts), types)

    def _body_faults(self, request: Request, body: bytes) -> list[Fault]:
        described = self.operation.body
        assert described is not None
        if not body:
            if described.required:
                raise BadBody(400, "The request needs a body.")
            return []
        sent = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if not any(_covers(offered, sent) for offered in described.media_types):
            raise BadBody(415, f"The body must be one of {', '.join(described.media_types)}.")
        if not is_json(sent) or not is_json(described.media_type) or described.schema is None:
            return []
        value = read_json(request, body)
        found: list[Finding] = self.operation.schemas.findings(described.schema, value, "", "request")
        return [Fault("body", finding.pointer, finding.expectation) for finding in found]


def _covers(offered: str, sent: str) -> bool:
    bare = offered.partition(";")[0].strip().lower()
    return bare in ("*/*", sent) or (bare.endswith("/*") and sent.startswith(bare[:-1]))


def _texts(parameter: Parameter, request: Request, parameters: Mapping[str, str]) -> list[str]:
    """The texts of a parameter, none when it was not sent; of `deepObject` name and value with NUL between."""
    name = parameter.name
    match parameter.place:
        case "query":
            pairs = parse_form(request.query)
            if parameter.style == "deepObject":
                return [
                    f"{key[len(name) + 1 : -1]}\0{value}"
                    for key, value in pairs
                    if key.startswith(f"{name}[") and key.endswith("]")
                ]
            return [value for key, value in pairs if key == name]
        case "header":
            value = request.header(name)
        case "path":
            sent = parameters.get(f"{{{name}}}")
            value = None if sent is None else unquote(sent)
        case "cookie":
            value = _cookies(request).get(name)
    return [] if value is None else [value]


def _cookies(request: Request) -> dict[str, str]:
    try:
        parsed = SimpleCookie(request.header("cookie") or "")
    except CookieError:
        return {}
    return {name: unquote(morsel.value) for name, morsel in parsed.items()}
