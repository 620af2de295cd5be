"""The routes of a file, told without anything that could be a secret. Pure."""

from collections.abc import Iterator
from typing import TypedDict

from airgate.spec.javascript import parse, truthy
from airgate.spec.services import SERVICE_TYPES


class Listed(TypedDict):
    """A route: its place in the file (JSON pointer), when it matches, and what it does."""

    pointer: str
    method: object
    path: object
    auth: bool
    integration: str | None
    server: str | None
    service: str | None
    """Alias of the service or the service binding, and of the latter the function: `auth.check`."""
    hook: str | None
    """The same of what is called before it."""


def listing(text: str) -> list[Listed]:
    """The routes of a gateway's file, in its order; none where it has no list of them."""
    try:
        file = parse(text)
    except ValueError:
        return []
    return list(_listed(file.get("paths") if isinstance(file, dict) else None))


def _listed(entries: object) -> Iterator[Listed]:
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        found = entry.get("integration")
        integration = found if isinstance(found, dict) else {}
        yield Listed(
            pointer=f"/paths/{position}",
            method=entry.get("method"),
            path=entry.get("path"),
            auth=truthy(entry.get("auth")),
            integration=_text(integration.get("type")),
            server=_text(integration.get("server")),
            service=_called(integration) if integration.get("type") in SERVICE_TYPES else None,
            hook=_called(entry.get("pre_process")) if integration else None,
        )


def _called(named: object) -> str | None:
    parts = (named.get("binding"), named.get("function")) if isinstance(named, dict) else ()
    return ".".join(part for part in parts if isinstance(part, str)) or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
