"""References in the JSON and the mappings that the edge adds: `$request.path.id`, `$request.body.customer.name`.

Other than in the gateway's own mapping, a reference is the whole text; every other text is literal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from airgate.spec.javascript import MISSING
from airgate.spec.message import Request
from airgate.spec.url import parse_form

_REFERENCE = re.compile(r"\$(request\.(?:header|query|jwt|path|body)|config)\.([A-Za-z0-9_.\-]+)")
FORMS = (
    "$request.header.NAME, $request.query.NAME, $request.jwt.NAME, $request.path.NAME, $request.body.NAME, $config.NAME"
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a request offers to references. `body` is its decoded JSON, `MISSING` where it has none."""

    request: Request
    claims: Mapping[str, object] | None
    parameters: Mapping[str, str]
    """As of `airgate.spec.extension_paths.parameters`."""
    variables: Mapping[str, object]
    body: object = MISSING


@dataclass(frozen=True, slots=True)
class Reference:
    """One place of a request: its part, and the name in it."""

    part: str
    name: str

    def resolve(self, sources: Sources) -> object:
        """What stands there, as the JSON value that it is; `MISSING` when nothing does or when it is null."""
        value = self._look_up(sources)
        return MISSING if value is None else value

    def _look_up(self, sources: Sources) -> object:
        match self.part:
            case "request.header":
                return sources.request.header(self.name)
            case "request.query":
                return next((value for name, value in parse_form(sources.request.query) if name == self.name), None)
            case "request.jwt":
                return (sources.claims or {}).get(self.name)
            case "request.path":
                value = sources.parameters.get(f"{{{self.name}}}")
                return None if value is None else unquote(value)
            case "request.body":
                return _within(sources.body, self.name)
        return sources.variables.get(self.name)


def _within(value: object, name: str) -> object:
    for key in name.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def read(text: str) -> Reference | None:
    """The reference that a text is, or None when it is literal."""
    found = _REFERENCE.fullmatch(text)
    return None if found is None else Reference(found[1], found[2])


def is_misspelt(text: str) -> bool:
    """Whether a text looks like a reference and is none."""
    return text.startswith(("$request", "$config")) and read(text) is None


def compiled(template: object) -> object:
    """A JSON template with each text that is a reference turned into one."""
    match template:
        case str():
            return read(template) or template
        case list():
            return [compiled(item) for item in template]
        case dict():
            return {key: compiled(item) for key, item in template.items()}
    return template


def uses_body(template: object) -> bool:
    """Whether a compiled template refers to the request's body."""
    match template:
        case Reference():
            return template.part == "request.body"
        case list():
            return any(map(uses_body, template))
        case dict():
            return any(map(uses_body, template.values()))
    return False


def filled(template: object, sources: Sources) -> object:
    """A compiled template with its references resolved.

    In an object a key whose reference is unresolved is left out; in a list, and as the whole, null takes its place.
    """
    value = _filled(template, sources)
    return None if value is MISSING else value


def _filled(template: object, sources: Sources) -> object:
    match template:
        case Reference():
            return template.resolve(sources)
        case list():
            return [filled(item, sources) for item in template]
        case dict():
            made = {key: _filled(item, sources) for key, item in template.items()}
            return {key: item for key, item in made.items() if item is not MISSING}
    return template
