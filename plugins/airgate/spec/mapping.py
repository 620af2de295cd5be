"""Headers and query parameters that a route sets on the upstream request from request, token and variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airgate.spec.answer import INTERNAL_ERROR, Answer, problem
from airgate.spec.javascript import to_text
from airgate.spec.message import Request
from airgate.spec.url import escape_query, parse_form, serialise_form

_REFERENCE = re.compile(r"\$(request\.header|request\.jwt|request\.query|config)\.([A-Za-z0-9_.\-]+)")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\0]")
_WHITE_SPACE = "\t\n\r "


UNMAPPED = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"host", "expect", "content-length"}
)
"""Headers, in small letters, that no mapping sets: those of the connection, and what the edge itself says of a call."""


def is_header_name(name: str) -> bool:
    """Whether a text can be the name of an HTTP header (a token of RFC 9110)."""
    return _TOKEN.fullmatch(name) is not None


def is_header_value(value: str) -> bool:
    """Whether a text can be the value of a header: no control character but the tab, and no other line end.

    RFC 9110, 5.5, leaves it to the recipient what it makes of those, and recipients differ.
    """
    return _CONTROL.search(value.strip(_WHITE_SPACE)) is None


def reference(template: str) -> tuple[str, str] | None:
    """Source and name of the first reference in a template; None when there is none."""
    found = _REFERENCE.search(template)
    return None if found is None else (found[1], found[2])


class BadHeader(ValueError):
    """A mapped header whose name or value cannot be sent; no upstream is called.

    Args:
        name: The header.
        answer: For the client.
    """

    def __init__(self, name: str, answer: Answer) -> None:
        super().__init__(name)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Rule:
    """One mapped name. `value` is known beforehand for variables; else `source` and `key` say where it comes from."""

    name: str
    source: str
    key: str
    value: str | None = None

    def resolve(self, request: Request, claims: Mapping[str, object] | None) -> str | None:
        """The value for a request, or None when unresolved."""
        match self.source:
            case "request.header":
                return request.header(self.key)
            case "request.query":
                return next((value for name, value in parse_form(request.query) if name == self.key), None) or None
            case "request.jwt":
                claim = claims.get(self.key) if claims else None
                return None if claim is None else to_text(claim)
        return self.value


@dataclass(frozen=True, slots=True)
class Rules:
    """All mapped names of one place, header or query.

    `claimed` are the names whose client copies are dropped even when nothing is set: strict mode's guard against
    a caller who sends a mapped name itself. It is empty in compatible mode.
    """

    rules: tuple[Rule, ...]
    claimed: frozenset[str]
    strict: bool

    def headers(self, request: Request, claims: Mapping[str, object] | None) -> dict[str, str]:
        """The headers to set, by lower-case name.

        Raises:
            BadHeader: a name is no header name, or a value holds CR, LF or NUL; in strict mode any control character.
        """
        found = {}
        for rule in self.rules:
            value = rule.resolve(request, claims)
            if value is None:
                continue
            value = value.strip(_WHITE_SPACE)
            if not is_header_name(rule.name) or _FORBIDDEN_IN_VALUE.search(value):
                raise BadHeader(rule.name, self._refusal(rule.name))
            if self.strict and not (value.isascii() and value.isprintable()) and not is_header_value(value):
                raise BadHeader(rule.name, self._refusal(rule.name))
            found[rule.name.lower()] = value
        return found

    def _refusal(self, name: str) -> Answer:
        """The gateway's own answer, or problem details: it is the request that is at fault, or its token."""
        if not self.strict:
            return INTERNAL_ERROR
        what = f"What the request gives for the header {name!r} has characters that no header may have."
        return problem(400, what, with_cors=True)

    def query(self, request: Request, claims: Mapping[str, object] | None) -> str:
        """The whole query, written anew as a form, with the mapped names set in place or at the end."""
        resolved = {rule.name: rule.resolve(request, claims) for rule in self.rules}
        spoofed = {name for name in self.claimed if resolved.get(name) is None}
        pairs = [pair for pair in parse_form(request.query) if pair[0] not in spoofed]
        for name, value in resolved.items():
            if value is not None:
                pairs = _set(pairs, name, value)
        return serialise_form(pairs)


def _set(pairs: list[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    """Set a name at the place of its first occurrence, dropping the others, or at the end."""
    place = next((position for position, pair in enumerate(pairs) if pair[0] == name), len(pairs))
    kept = [pair for pair in pairs[place + 1 :] if pair[0] != name]
    return [*pairs[:place], (name, value), *kept]


def compile_rules(templates: object, variables: Mapping[str, object], *, headers: bool, strict: bool) -> Rules:
    """Compile `mapping.headers` or `mapping.query`.

    A template is the first reference found in its text; what stands around it is dropped, and a template without a
    reference does nothing. `variables` are the global ones overlaid with the route's.
    """
    entries = templates if isinstance(templates, dict) else {}
    rules = []
    for name, template in entries.items():
        found = _REFERENCE.search(to_text(template))
        if found is None:
            continue
        variable = variables.get(found[2]) if found[1] == "config" else None
        rules.append(Rule(name, found[1], found[2], None if variable is None else to_text(variable)))
    names = (name.lower() if headers else name for name in entries)
    return Rules(tuple(rules), frozenset(names) if strict else frozenset(), strict)


def forwarded_query(rules: Rules | None, request: Request, claims: Mapping[str, object] | None) -> str:
    """The query to send: as it came (made safe for a URL) without query mapping, else written anew."""
    return escape_query(request.query) if rules is None else rules.query(request, claims)
