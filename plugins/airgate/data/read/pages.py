"""Gives the pages of a collection in order, from the first or from where an earlier read stopped."""

# mypy: disable-error-code="type-abstract"
# The abilities of a paginator are protocols, asked for at run time; mypy takes them for classes to be instantiated.

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain

import msgspec

from airgate.client.message import Response, headers_of
from airgate.client.pages import Page, PageRequest, Paginator, Position
from airgate.client.paging.abilities import Asks, EndsByRefusal, Foresees, Sifts, TakesNull, Totals, able
from airgate.client.paging.guard import GuardSettings, LoopGuard
from airgate.client.paging.links import LinkScope
from airgate.client.splitting import Splitter
from airgate.data.read.ahead import KEPT_EACH, Ahead
from airgate.data.read.caps import Caps, shown
from airgate.policy.errors import GatewayError, InvalidResponse
from airgate.policy.json_faults import NOT_JSON

__all__ = ["Caps", "Fetch", "PageRequest", "Reached", "read_pages"]

log = logging.getLogger(__name__)

Fetch = Callable[[PageRequest], Response]
"""Asks for one page; raises a ``GatewayError`` when there is none. ``airgate.data.read.page_fetch`` has one."""

_GUARD = GuardSettings()


@dataclass(frozen=True, slots=True)
class Reached:
    """A page, and where it stands."""

    position: Position
    page: Page
    following: Position | None
    """Where the next one stands; None behind the last."""
    total: int | None = None
    """Records in the whole collection, as the service told with this page or one before; None when it did not."""


def read_pages(
    paginator: Paginator,
    fetch: Fetch,
    records: str,
    start: Position,
    *,
    in_flight: int = 1,
    prefetch: bool = False,
    max_pages: int | None = None,
    max_records: int | None = None,
    pages_before: int = 0,
    records_before: int = 0,
    guard: GuardSettings = _GUARD,
    links: LinkScope | None = None,
    source: str | None = None,
) -> Generator[Reached, None, None]:
    """Give every page in order.

    A page that cannot be had is raised in its turn: the pages before it come first. Closing the iterator ends the
    requests that were made ahead; no thread is left.

    Args:
        paginator: How the collection is read.
        fetch: Asks for a page; from several threads at once when pages are fetched ahead.
        records: Dotted path of the list of records in an answer; empty for a bare list.
        start: Where the first page stands.
        in_flight: Requests at the same time, where a page tells how many there are behind it. Up to twice as many
            pages are in memory.
        prefetch: Whether the next page is fetched while the caller is busy with this one.
        max_pages: A read that needs more pages fails; None for any number.
        max_records: A read that has more records fails; None for any number.
        pages_before: Pages that earlier tries read; they count.
        records_before: Records that earlier tries read; they count.
        guard: When a read counts as one that would never end.
        links: Where links to next pages may lead; None for what the ``fetch`` has as ``links``, if it has.
        source: Names the collection in errors, such as ``GET /orders``; None for what the ``fetch`` has as ``source``.

    Raises:
        GatewayError: A page cannot be had, or is none, or reading would never end. It says which page.
        ValueError: There are more pages or records than allowed, or an option is wrong.
    """
    for name, value in (("in_flight", in_flight), ("max_pages", max_pages), ("max_records", max_records)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    scope = links or getattr(fetch, "links", None) or LinkScope()
    read = _Read(paginator, fetch, records, scope)
    name = shown(str(getattr(fetch, "source", "")) if source is None else source, scope.secrets)
    caps = Caps(max_pages, max_records, pages_before, records_before, source=name)
    return _pages(read, start, caps, LoopGuard(guard), in_flight=in_flight, prefetch=prefetch)


class _Read:
    """A paginator, what it is able to do, and what its pages have told so far."""

    def __init__(self, paginator: Paginator, fetch: Fetch, records: str, links: LinkScope) -> None:
        self._paginator, self._fetch = paginator, fetch
        self._asks = able(paginator, Asks)
        self._totals = able(paginator, Totals)
        self._sifts = able(paginator, Sifts)
        self._takes_null = able(paginator, TakesNull)
        self._foresees = able(paginator, Foresees)
        self._ends = able(paginator, EndsByRefusal)
        whole = getattr(paginator, "whole", False) is True
        self._splitter = Splitter(records, links=links, whole=whole, null=self._takes_null is not None)
        self._records = records
        self._extent: int | None = None
        self._changed, self._most = False, 0
        self.total: int | None = None

    def fetch(self, position: Position) -> Response:
        """Ask for the page there."""
        if self._asks is not None:
            return self._fetch(self._asks.request(position))
        return self._fetch(PageRequest(self._paginator.params(position)))

    def split(self, position: Position, response: Response) -> tuple[Page, Position | None]:
        """The page there, and where the next one stands."""
        try:
            page = self._splitter.split(response)
            if page.null and self._takes_null and not self._takes_null.null_is_empty(position, page):
                raise response.invalid(
                    f"the body has null at {self._records!r}, and nothing beside it says that it is empty"
                )
        except InvalidResponse as error:
            error.says_otherwise = _is_object(response.bytes)
            raise
        return page, self._paginator.after(position, page)

    def outgrown(self, page: Page) -> bool:
        """Whether an earlier page told of more than this one: this one is the older, asked for ahead of its turn."""
        extent = self._foresees.extent(page) if self._foresees else None
        return extent is not None and extent < self._most

    def note(self, page: Page) -> None:
        """Remember what the page tells of the collection's size."""
        total = self._totals.total(page) if self._totals else None
        self.total = self.total if total is None else total
        extent = self._foresees.extent(page) if self._foresees else None
        if extent is None:
            return
        if not self._changed and self._extent not in (None, extent):
            self._changed = True
            log.warning(
                "%s changes while it is read, from %d to %d: where records go, or come elsewhere than at the end, "
                "others move to pages that were read already, or come twice; a cursor or key-set would not have this",
                *(page.response.url.partition("?")[0], self._extent, extent),
            )
        self._extent = extent
        self._most = max(extent, self._most)

    def fresh(self, position: Position, page: Page) -> Page:
        """The page without what came before."""
        return self._sifts.fresh(position, page) if self._sifts else page

    def behind(self, position: Position, page: Page, following: Position, *, one: bool) -> Iterator[Position]:
        """Where the pages behind this one stand, as far as can be told.

        Args:
            position: Where this one stands.
            page: This one.
            following: Where the next one stands.
            one: Whether the next one is wanted even if no more can be told.
        """
        guessed = self._foresees.ahead(position, page) if self._foresees else iter(())
        if next(guessed, None) == following:
            return chain([following], guessed)
        return iter([following] if one else [])

    def end(self, position: Position, error: GatewayError) -> Reached | None:
        """The empty page that a refusal stands for, None when it stands for none."""
        if self._ends is None or not self._ends.is_end(position, error):
            return None
        response = Response(error.status or 404, headers_of(), b"", error.method, error.url, error.attempts or 1)
        return Reached(position, Page((), {}, response), None, self.total)


def _is_object(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except NOT_JSON:
        return False
    return True


def _pages(
    read: _Read, start: Position, caps: Caps, guard: LoopGuard, *, in_flight: int, prefetch: bool
) -> Generator[Reached, None, None]:
    ahead = Ahead(read.fetch, in_flight=in_flight, kept=KEPT_EACH * in_flight if in_flight > 1 else 1)
    more = in_flight > 1 or prefetch
    position: Position | None = start
    try:
        while position is not None:
            place = caps.place
            try:
                reached = _reach(read, position, caps, guard, ahead, more=more, one=prefetch)
            except GatewayError as error:
                error.at(place)
                raise
            yield reached
            position = reached.following
    finally:
        ahead.close()


def _reach(
    read: _Read, position: Position, caps: Caps, guard: LoopGuard, ahead: Ahead, *, more: bool, one: bool
) -> Reached:
    """The page there.

    Args:
        read: What it belongs to.
        position: Where it stands.
        caps: Counts it.
        guard: Sees it.
        ahead: What has been asked for before its turn.
        more: Whether pages behind it are to be asked for now.
        one: Whether the next one is, even if nothing tells that there is one.
    """
    try:
        early = ahead.take(position)
        response = read.fetch(position) if early is None else early
    except GatewayError as error:
        if end := read.end(position, error):
            return end
        raise
    page, following = read.split(position, response)
    if early is not None and following is None and read.outgrown(page):
        page, following = read.split(position, read.fetch(position))
    guard.check(position, page, following)
    read.note(page)
    fresh = read.fresh(position, page)
    caps.count(len(fresh.records), last=following is None)
    if following is not None and more:
        if not ahead.expects(following):
            ahead.plan(read.behind(position, page, following, one=one))
        ahead.fill(caps.pages_left)
    return Reached(position, fresh, following, read.total)
