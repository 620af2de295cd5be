"""What a page is, and what a paginator must say to read a collection page by page.

A paginator is a small frozen object. It says where to start, which query parameters a position means, and which
position follows a page. Positions are plain JSON objects, so that a read can be stored and taken up again anywhere:

    @dataclass(frozen=True)
    class EvenPages:
        def first(self):
            return {"page": 0}

        def params(self, position):
            return {"page": position["page"]}

        def after(self, position, page):
            return {"page": position["page"] + 2} if page.records else None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from airgate.client.message import Params, Response
from airgate.client.paging.links import BadLink, LinkScope
from airgate.policy.json_faults import NOT_JSON

Position = dict[str, Any]
"""Where a page stands in its collection; JSON."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What asks for a page."""

    params: Params = field(default_factory=dict, repr=False)
    """Query parameters, beside those of the collection."""
    path: str | None = field(default=None, repr=False)
    """A path below the gateway with its whole query, in place of the collection's path and query: a link."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beside those of the collection."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    """Members of the JSON body, beside those of the collection; None for none."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, split into its records without decoding them."""

    records: Sequence[msgspec.Raw]
    """JSON text of each record."""
    envelope: Mapping[str, msgspec.Raw]
    """JSON text of what stands beside the records, by name; empty for a bare list."""
    response: Response
    within: tuple[str, ...] = ()
    """Names of the objects around the records, from the outermost on."""
    links: LinkScope = field(default_factory=LinkScope)
    """Where its links may lead."""
    null: bool = False
    """Whether ``null`` stands in place of the records."""

    def get(self, name: str) -> Any:
        """The decoded value beside the records under that dotted name, such as ``meta.next``; None when missing.

        For records at ``result.items`` both ``result.next`` and ``next`` name what stands beside them in ``result``.
        """
        return self._find(name)[1]

    def has(self, name: str) -> bool:
        """Whether something stands under that dotted name, be it null."""
        return self._find(name)[0]

    def count(self, name: str | None, header: str | None = None) -> int | None:
        """The number beside the records under that name, else in that response header; None when there is none.

        Raises:
            InvalidResponse: When something else stands there: to guess an end would lose records.
        """
        value = self.get(name) if name else None
        if value is None and header and (text := self.response.headers.get(header)) is not None:
            name, value = header, int(text) if text.strip().isdecimal() else text
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise self.response.invalid(f"{name!r} must be a number of 0 or more, not {value!r}")

    def link(self, target: str) -> str:
        """The path below the gateway, with its query, that a link of this page leads to.

        Raises:
            InvalidResponse: When it leads to another origin or out of the gateway: nothing is sent there.
        """
        try:
            return self.links.path_of(target, self.response.url)
        except BadLink as error:
            raise self.response.invalid(f"the link to the next page {error}") from None

    def _find(self, name: str) -> tuple[bool, Any]:
        parts = tuple(name.split("."))
        depth = 0
        while depth < min(len(parts) - 1, len(self.within)) and parts[depth] == self.within[depth]:
            depth += 1
        for first, *rest in (parts, parts[depth:]):
            if first not in self.envelope:
                continue
            try:
                found, value = True, msgspec.json.decode(self.envelope[first])
            except NOT_JSON as error:
                raise self.response.invalid(f"{first!r} cannot be read ({error})") from None
            for inner in rest:
                found = found and isinstance(value, dict) and inner in value
                value = value[inner] if found else None
            return found, value
        return False, None


class Paginator(Protocol):
    """Reads a collection in pages. What it may do beyond this stands in ``airgate.client.paging.abilities``."""

    def first(self) -> Position:
        """Where the first page stands."""
        ...

    def params(self, position: Position) -> Mapping[str, Any]:
        """The query parameters that ask for that page."""
        ...

    def after(self, position: Position, page: Page) -> Position | None:
        """Where the page after ``page`` stands; None at the end."""
        ...


def check_size(name: str, size: int) -> None:
    """Refuse a page size that no page could have.

    Raises:
        ValueError: Naming the setting.
    """
    if size < 1:
        raise ValueError(f"{name} must be 1 or more records a page, not {size}")
