"""What strict mode tells stand-ins of a gateway's file: all of it but its secrets. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping

from airgate.policy.redaction import MASK, is_secret_name, redact_url
from airgate.spec.environment import PREFIXES, references, variable_name

_OPEN_PREFIX = PREFIXES[0]
_TEMPLATE = re.compile(r"\$(request|config)\.")


def without_secrets(value: object, environment: Mapping[str, str], granted: Collection[str], key: str = "") -> object:
    """A file, or a part of one, before its variables are put in, without what only the edge should know.

    `$env.NAME` becomes the value of a variable that services are given. All other references stay as they are, and so
    does `$secret.NAME` in any case. Other texts are masked under a key that is called as secrets are.

    Args:
        value: The file.
        environment: The variables.
        granted: Names of those that services are given.
        key: Under which the value stands.
    """
    match value:
        case str():
            return _shown(value, environment, granted, key)
        case list():
            return [without_secrets(item, environment, granted, key) for item in value]
        case dict():
            return {name: without_secrets(item, environment, granted, name) for name, item in value.items()}
    return value


def _shown(text: str, environment: Mapping[str, str], granted: Collection[str], key: str) -> str:
    name = variable_name(text)
    if name is not None:
        is_open = text.startswith(_OPEN_PREFIX) and name in granted
        return environment.get(name, "") if is_open else text
    if is_secret_name(key) and not _TEMPLATE.match(text):
        return MASK
    return redact_url(text) if "://" in text and "@" in text else text


def secret_values(file: object, environment: Mapping[str, str]) -> Iterator[str]:
    """Values that must not be told: of variables that are called, or read, as secrets are, and literal ones."""
    for path, name in references(file):
        place: object = file
        for step in path:
            place = place[step]  # type: ignore[index]
        is_open = isinstance(place, str) and place.startswith(_OPEN_PREFIX)
        if name in environment and (not is_open or is_secret_name(name) or is_secret_name(str(path[-1]))):
            yield environment[name]
    yield from (value for name, value in environment.items() if is_secret_name(name))
    yield from _literal(file, "")


def _literal(value: object, key: str) -> Iterator[str]:
    match value:
        case str() if is_secret_name(key) and variable_name(value) is None and not _TEMPLATE.match(value):
            yield value
        case list():
            for item in value:
                yield from _literal(item, key)
        case dict():
            for name, item in value.items():
                yield from _literal(item, name)
