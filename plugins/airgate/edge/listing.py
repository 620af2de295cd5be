"""The routes of a file, told without anything that could be a secret. Pure."""

from collections.abc import Iterator
from typing import TypedDict

from airgate.spec.javascript import parse, truthy


class Listed(TypedDict):
    """A route: its place in the file (JSON pointer), when it matches, and what it does."""

    pointer: str
    method: object
    path: object
    auth: bool
    integration: str | None
    server: str | None


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
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
