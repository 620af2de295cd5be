"""One operation of a document: what a call of it takes and what may come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airgate.openapi.arguments import BODY, Bound, bind
from airgate.openapi.body import RequestBody, encode, read_body
from airgate.openapi.errors import Finding, OperationError
from airgate.openapi.library import Library, Node, well_formed
from airgate.openapi.literals import Skip, blank, holds_unknown, is_templated
from airgate.openapi.parameter import Parameter, read_parameters
from airgate.openapi.prepared import PreparedCall
from airgate.openapi.response import response_findings
from airgate.openapi.styles import cookie_header, unsupported, write
from airgate.openapi.values import plain, read_text

if TYPE_CHECKING:
    from airgate.openapi.validation import Schemas


@dataclass(frozen=True)
class Operation:
    """An operation. What it refers to is looked up when it is first asked for."""

    operation_id: str
    """Its ``operationId``, or ``METHOD /path`` where the document gives it none."""
    method: str
    path: str
    summary: str
    deprecated: bool
    node: Node = field(repr=False, compare=False)
    path_item: Node = field(repr=False, compare=False)
    library: Library = field(repr=False, compare=False)
    schemas: Schemas = field(repr=False, compare=False)
    added: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    """Headers, in small letters, that come to a call from elsewhere."""

    def adding_key(self, header: str | None = None) -> Operation:
        """The operation for a call that gets an idempotency key: it is not demanded as an argument.

        Args:
            header: What carries the key; None where that is not known, such as while a DAG is parsed: then all headers
                count that are called a key.
        """
        names = [one.name.lower() for one in self.parameters if one.place == "header" and "key" in one.name.lower()]
        return dataclasses.replace(self, added=frozenset(names if header is None else [header.lower()]))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, those of the path included."""
        lists = [self.path_item.get("parameters"), self.node.get("parameters")]
        with well_formed(self.library, self.node, "parameters"):
            return read_parameters(self.library, [each for each in lists if each is not None])

    @cached_property
    def body(self) -> RequestBody | None:
        """What it takes as its body, None without one."""
        with well_formed(self.library, self.node, "requestBody"):
            return read_body(self.library, self.node.get("requestBody"))

    @property
    def responses(self) -> Mapping[str, Node]:
        """Where the answers are described, by status: ``200``, ``4XX``, ``default``."""
        described = self.node.get("responses")
        if described is None or not isinstance(described.value, dict):
            return {}
        return {key: described.child(key) for key in described.value}

    @property
    def security(self) -> tuple[tuple[str, ...], ...]:
        """Security schemes of which it asks for one group; the connection's auth is what signs a call."""
        own = self.node.value.get("security", self.library.root.value.get("security"))
        return tuple(tuple(group) for group in own if isinstance(group, dict)) if isinstance(own, list) else ()

    def prepare(self, /, **arguments: Any) -> PreparedCall:
        """Make a call from arguments, each checked against its schema.

        Args:
            arguments: Parameters by name, ``body=`` for the body or the body's properties by name
                (``airgate.openapi.arguments.bind`` has the rules). For a parameter a text that reads as a number or a
                boolean counts as one; in a body it does not.

        Raises:
            OperationError: Naming everything that is wrong.
            DocumentError: The document itself is broken at a place that matters.
        """
        bound = self._checked(_plain_arguments(self.operation_id, arguments))
        call = _Writer(bound.findings)
        for parameter, value in bound.parameters:
            call.add(parameter, value)
        json, data = None, None
        if bound.has_body and self.body is not None:
            try:
                json, data, headers = encode(self.body, bound.body)
                call.headers.update(headers)
            except ValueError as error:
                bound.findings.append(Finding(BODY, str(error)))
        if bound.findings:
            raise OperationError(self.operation_id, bound.findings)
        return PreparedCall(self.method, self.path, call.path, call.query, call.all_headers, json, data)

    def check_literals(self, arguments: Mapping[str, Any], skip: Skip = is_templated) -> None:
        """Check as much of the arguments as is known before they are rendered, such as while a DAG is parsed.

        Args:
            arguments: As for ``prepare``.
            skip: Says of a value, or of a part of one, that it is not known yet.

        Raises:
            OperationError: Naming everything that is wrong whatever the unknown parts will be.
            DocumentError: The document itself is broken at a place that matters.
        """
        if skip(arguments):
            return
        bound = self._checked(_plain_arguments(self.operation_id, blank(arguments, skip)))
        if bound.findings:
            raise OperationError(self.operation_id, bound.findings)

    def check_response(self, status: int, headers: Mapping[str, str], json: Any = None) -> None:
        """Hold an answer against the document.

        Args:
            status: HTTP status.
            headers: Its headers.
            json: Its body, decoded; looked at only where the document describes JSON.

        Raises:
            OperationError: Naming everything that breaks the document.
            DocumentError: The document itself is broken at a place that matters.
        """
        with well_formed(self.library, self.node, "responses"):
            findings = response_findings(self.library, self.schemas, self.responses, status, headers, json)
        if findings:
            raise OperationError(self.operation_id, findings)

    def _checked(self, arguments: Mapping[str, Any]) -> Bound:
        bound = bind(self.parameters, self.body, arguments, self.added)
        bound.parameters = [(parameter, self._read(parameter, value)) for parameter, value in bound.parameters]
        for parameter, value in bound.parameters:
            if reason := unsupported(parameter):
                bound.findings.append(Finding(parameter.pointer, reason))
            elif parameter.schema is not None:
                bound.findings += self.schemas.findings(parameter.schema, value, parameter.pointer, "request")
        if bound.has_body and self.body is not None:
            if reason := self.body.unsupported:
                bound.findings.append(Finding(BODY, reason))
            elif self.body.schema is not None and self.body.structured and not holds_unknown_whole(bound.body):
                bound.findings += self.schemas.findings(self.body.schema, bound.body, BODY, "request")
        return bound

    def _read(self, parameter: Parameter, value: Any) -> Any:
        if parameter.media_type is not None or parameter.schema is None:
            return value
        types = self.schemas.types(parameter.schema)
        if isinstance(value, list):
            item_types = self.schemas.types(self.schemas.items(parameter.schema))
            return [read_text(item, item_types) for item in value]
        if types == {"array"} and isinstance(value, str):
            return [value]
        return read_text(value, types)


class _Writer:
    """Collects the parts of a request."""

    def __init__(self, findings: list[Finding]) -> None:
        self.path: dict[str, str] = {}
        self.query: dict[str, str | list[str]] = {}
        self.headers: dict[str, str] = {}
        self._cookies: list[tuple[str, str]] = []
        self._findings = findings

    @property
    def all_headers(self) -> dict[str, str]:
        return {**self.headers, "Cookie": cookie_header(self._cookies)} if self._cookies else self.headers

    def add(self, parameter: Parameter, value: Any) -> None:
        try:
            written = write(parameter, value)
            for name, text in written.items():
                self._put(parameter, name, text)
        except ValueError as error:
            finding = Finding(parameter.pointer, str(error))
            if finding not in self._findings:
                self._findings.append(finding)

    def _put(self, parameter: Parameter, name: str, text: str | list[str]) -> None:
        if parameter.place == "query":
            if name in self.query:
                raise ValueError(f"gives {name!r} a second time")
            self.query[name] = text
            return
        assert isinstance(text, str), "lists are for the query"
        if parameter.place == "path":
            if text in {"", ".", ".."}:
                raise ValueError(f"must be a path segment, not {text!r}")
            self.path[name] = text
        elif parameter.place == "header":
            if not text.isprintable() or text != text.strip():
                raise ValueError("must be one line of printable characters without spaces around it")
            self.headers[name] = text
        else:
            self._cookies.append((name, text))


def holds_unknown_whole(value: Any) -> bool:
    """Whether nothing at all is known of a value."""
    return not isinstance(value, dict | list) and holds_unknown(value)


def _plain_arguments(operation_id: str, arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        return {}
    made, findings = {}, []
    for name, value in arguments.items():
        try:
            made[str(name)] = plain(value)
        except ValueError as error:
            findings.append(Finding(str(name), str(error)))
    if findings:
        raise OperationError(operation_id, findings)
    return made
