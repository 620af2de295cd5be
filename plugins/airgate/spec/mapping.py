"""Headers and query parameters that a route sets on the upstream request from request, token and variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airgate.spec.javascript import to_text
from airgate.spec.message import Request
from airgate.spec.url import escape_query, parse_form, serialise_form

_REFERENCE = re.compile(r"\$(request\.header|request\.jwt|request\.query|config)\.([A-Za-z0-9_.\-]+)")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\0]")
_WHITE_SPACE = "\t\n\r "


def is_header_name(name: str) -> bool:
    """Whether a text can be the name of an HTTP header (a token of RFC 9110)."""
    return _TOKEN.fullmatch(name) is not None


class BadHeader(ValueError):
    """A mapped header whose name or value cannot be sent; the gateway answers 500 and calls no upstream."""


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

    def headers(self, request: Request, claims: Mapping[str, object] | None) -> dict[str, str]:
        """The headers to set, by lower-case name.

        Raises:
            BadHeader: a name is no header name, or a value holds CR, LF or NUL.
        """
        found = {}
        for rule in self.rules:
            value = rule.resolve(request, claims)
            if value is None:
                continue
            value = value.strip(_WHITE_SPACE)
            if not is_header_name(rule.name) or _FORBIDDEN_IN_VALUE.search(value):
                raise BadHeader(rule.name)
            found[rule.name.lower()] = value
        return found

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
    return Rules(tuple(rules), frozenset(names) if strict else frozenset())


def forwarded_query(rules: Rules | None, request: Request, claims: Mapping[str, object] | None) -> str:
    """The query to send: as it came (made safe for a URL) without query mapping, else written anew."""
    return escape_query(request.query) if rules is None else rules.query(request, claims)
