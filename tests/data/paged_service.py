"""A collection behind a pure fake service, paged by any scheme, in the way that real services do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from airgate.client.message import Response, headers_of, join_url
from airgate.client.paging.links import LinkScope
from airgate.pagination import (
    CursorPages,
    KeysetPages,
    LinkHeaderPages,
    NextUrlPages,
    NumberedPages,
    OffsetPages,
    PageRequest,
    Paginator,
)
from airgate.policy.errors import NotFound, Unavailable

BASE = "https://gw.example/v1"

Make = Callable[[int], Paginator]

SCHEMES: dict[str, Make] = {
    "cursor": lambda size: CursorPages(limit=size, total_field="total"),
    "cursor in a header": lambda size: CursorPages(limit=size, cursor_header="X-Next-Cursor", sent_in="header"),
    "cursor in the body": lambda size: CursorPages(limit=size, sent_in="body", has_more_field="more"),
    "offset": lambda size: OffsetPages(limit=size),
    "offset without a total": lambda size: OffsetPages(limit=size, total_field=None),
    "numbers": lambda size: NumberedPages(size=size),
    "numbers and a total": lambda size: NumberedPages(size=size, pages_field=None, total_header="X-Total-Count"),
    "numbers without a total": lambda size: NumberedPages(size=size, pages_field=None, first_page=0),
    "link header": lambda size: LinkHeaderPages(limit_param="limit", limit=size),
    "next url": lambda size: NextUrlPages(limit=size),
    "query of the next url": lambda size: NextUrlPages(limit=size, next_field="inner", query_only=True),
    "key-set": lambda size: KeysetPages(limit=size),
    "key-set, inclusive": lambda size: KeysetPages(limit=size, inclusive=True, since_param="from"),
}


class PagedService:
    """Answers for every scheme at once, by the parameters that it is asked with.

    Args:
        records: Of the collection; each an object with an ``id`` that grows.
        cap: Records a page has at the most, whatever is asked for.
        fails_at: Index of the first record of the page that cannot be had.
        beyond_is_missing: Whether pages beyond the end are not found, as in Django REST framework.
        first_page: Number of the first page.
    """

    links = LinkScope(BASE)

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        *,
        cap: int = 1000,
        fails_at: int | None = None,
        beyond_is_missing: bool = False,
        first_page: int = 1,
    ) -> None:
        self.records = list(records)
        self.cap, self.fails_at, self.beyond_is_missing = cap, fails_at, beyond_is_missing
        self.first_page = first_page
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, request: PageRequest) -> Response:
        """Answer one request."""
        url = join_url(BASE, request.path or "/items", params=request.params)
        asked = {**dict(parse_qsl(urlsplit(url).query)), **(request.json or {}), **request.headers}
        size = min(int(asked.get("limit") or asked["per_page"]), self.cap)
        start = self._start(asked, size)
        with self._lock:
            self.asked.append(start)
            records, failing = list(self.records), self.fails_at is not None and self.fails_at == start
        if failing:
            raise Unavailable("answered 503", method="GET", url=url, status=503)
        if self.beyond_is_missing and start and start >= len(records):
            raise NotFound("answered 404", method="GET", url=url, status=404, attempts=1)
        return self.answer(url, records, start, size)

    def answer(self, url: str, records: list[Mapping[str, Any]], start: int, size: int) -> Response:
        """One page, with all that any scheme needs."""
        end, total = start + size, len(records)
        following = str(end) if end < total else None
        link = f"{BASE}/items?limit={size}&cursor={following}"
        body = {
            "data": records[start:end],
            "total": total,
            "pages": -(-total // size),
            "more": following is not None,
            "next_cursor": following,
            "next": f"?limit={size}&cursor={following}" if following else None,
            "inner": f"http://inner:8080/i?limit={size}&cursor={following}" if following else None,
        }
        headers = {"X-Total-Count": str(total)}
        if following:
            headers |= {"X-Next-Cursor": following, "Link": f'<{BASE}/x>; rel="first", <{link}>; rel="next"'}
        return Response(200, headers_of(headers.items()), msgspec.json.encode(body), "GET", url)

    def _start(self, asked: Mapping[str, Any], size: int) -> int:
        if "offset" in asked:
            return int(asked["offset"])
        if "page" in asked:
            return (int(asked["page"]) - self.first_page) * size
        for name, strictly in (("since", True), ("from", False)):
            if name in asked:
                key = int(asked[name])
                behind = (at for at, each in enumerate(self.records) if each["id"] > key - (not strictly))
                return next(behind, len(self.records))
        return int(asked.get("cursor") or 0)
