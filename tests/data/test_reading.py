"""Pages come in order, whole and once, however they are fetched."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.client.auth import ApiKeyAuth
from airgate.client.gateway import Gateway
from airgate.client.message import Response, headers_of
from airgate.client.session import GatewaySession
from airgate.data.read.pages import Reached, read_pages
from airgate.pagination import (
    CursorPages,
    GuardSettings,
    KeysetPages,
    LinkScope,
    NextUrlPages,
    NumberedPages,
    OffsetPages,
    PageFetch,
    PageRequest,
    Paginator,
    Position,
    SinglePage,
)
from airgate.policy.errors import GatewayError, InvalidResponse, Unavailable
from airgate.policy.retry import RetrySettings
from tests.data.paged_service import BASE, SCHEMES, PagedService
from tests.scripted_server import Answer, ScriptedServer


def numbered(total: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(1, total + 1)]


def ids(pages: Sequence[Reached]) -> list[int]:
    return [json.loads(bytes(record))["id"] for reached in pages for record in reached.page.records]


def airgate_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("airgate-pages")]


def drain(
    paginator: Paginator, service: Any, start: Position | None = None, **options: Any
) -> tuple[list[Reached], Any]:
    """All pages up to the end or the error, and the error."""
    pages: list[Reached] = []
    reading = read_pages(paginator, service, "data", start or paginator.first(), **options)
    try:
        pages.extend(iter(reading))
    except GatewayError as error:
        return pages, error
    return pages, None


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_record_comes_once_and_in_order(scheme: str, data: st.DataObject) -> None:
    """For any records, page size, cap of the service, requests in flight and point of failure, over a resume."""
    keys = data.draw(st.lists(st.integers(1, 500), max_size=40, unique=True).map(sorted))
    records = [{"id": key, "x": data.draw(st.none() | st.integers())} for key in keys]
    size, cap = data.draw(st.integers(1, 15)), data.draw(st.integers(1, 20))
    options = {"in_flight": data.draw(st.integers(1, 9)), "prefetch": data.draw(st.booleans())}
    fails_at = data.draw(st.none() | st.integers(0, max(len(keys), 1)))
    paginator = SCHEMES[scheme](size)
    service = PagedService(records, cap=cap, fails_at=fails_at, first_page=getattr(paginator, "first_page", 1))
    if "inclusive" in scheme and min(size, cap) == 1:
        size, cap = 2, 2  # a page of one record would be the boundary itself for ever
        paginator, service.cap = SCHEMES[scheme](size), cap

    pages, error = drain(paginator, service, **options)
    if error is not None:
        assert isinstance(error, Unavailable)
        assert ids(pages) == keys[: len(ids(pages))], "what came before the failure is whole and in order"
        service.fails_at = None
        stored = json.loads(json.dumps(pages[-1].following if pages else paginator.first()))
        rest, error = drain(paginator, service, stored, **options)
        pages += rest
    assert error is None
    assert ids(pages) == keys
    assert pages[-1].following is None
    assert not airgate_threads()


@dataclass
class Slow:
    """A service that takes its time, and knows how many are asking at once."""

    service: PagedService
    pause: float = 0.01

    def __post_init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, request: PageRequest) -> Response:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.pause)
        try:
            return self.service(request)
        finally:
            with self._lock:
                self.now -= 1


@pytest.mark.parametrize("paginator", [OffsetPages(limit=10), NumberedPages(size=10)])
def test_counted_pages_are_fetched_at_the_same_time(paginator: Paginator) -> None:
    """As many as allowed, never more, and none twice."""
    slow = Slow(PagedService(numbered(300)))
    pages, _ = drain(paginator, slow, in_flight=4)
    assert ids(pages) == list(range(1, 301))
    assert slow.most == 4
    assert sorted(slow.service.asked) == list(range(0, 300, 10))


def test_the_look_ahead_is_bounded() -> None:
    """A slow caller does not let the pages pile up: two for each request in flight."""
    service = PagedService(numbered(1000))
    pages = read_pages(OffsetPages(limit=10), service, "data", {"offset": 0}, in_flight=3)
    next(pages)
    time.sleep(0.1)
    assert len(service.asked) == 1 + 6
    next(pages)
    time.sleep(0.1)
    assert len(service.asked) == 1 + 7
    pages.close()


def test_without_options_nothing_is_fetched_ahead() -> None:
    """One request a page, in the caller's own thread."""
    service = PagedService(numbered(30))
    pages = read_pages(OffsetPages(limit=10), service, "data", {"offset": 0})
    next(pages)
    assert (service.asked, airgate_threads()) == ([0], [])


@pytest.mark.parametrize("scheme", ["cursor", "link header", "next url", "key-set", "offset"])
def test_one_page_is_fetched_while_the_one_before_is_parsed(scheme: str) -> None:
    """Also where nobody knows what lies behind it; a caller that takes its time gets both for the price of one."""
    service = PagedService(numbered(100))
    pages = read_pages(SCHEMES[scheme](10), service, "data", SCHEMES[scheme](10).first(), prefetch=True)
    next(pages)
    time.sleep(0.1)
    assert service.asked == [0, 10]
    pages.close()
    assert not airgate_threads()


@pytest.mark.parametrize("options", [{"in_flight": 8}, {"prefetch": True}])
def test_an_abandoned_read_leaves_no_thread(options: Mapping[str, Any]) -> None:
    """Closing it waits for the requests that are under way and makes no new ones."""
    slow = Slow(PagedService(numbered(500)), pause=0.05)
    pages = read_pages(OffsetPages(limit=10), slow, "data", {"offset": 0}, **options)
    next(pages)
    assert airgate_threads()
    pages.close()
    asked = len(slow.service.asked)
    assert (airgate_threads(), slow.now) == ([], 0)
    time.sleep(0.1)
    assert len(slow.service.asked) == asked


def test_a_failure_comes_in_its_turn() -> None:
    """The pages before it come first; what lies behind it is not asked for any more."""
    service = PagedService(numbered(1000), fails_at=50)
    pages, error = drain(OffsetPages(limit=10), service, in_flight=4)
    assert isinstance(error, Unavailable)
    assert ids(pages) == list(range(1, 51))
    assert max(service.asked) <= 50 + 2 * 4 * 10
    assert not airgate_threads()


def test_requests_ahead_run_in_the_context_of_the_task() -> None:
    """What is current where the pages are read, such as the task's context or a span, is so in the threads."""
    current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nothing")
    seen = []
    service = PagedService(numbered(100))

    def fetch(request: PageRequest) -> Response:
        seen.append((current.get(), threading.current_thread() is threading.main_thread()))
        return service(request)

    token = current.set("the task")
    try:
        drain(OffsetPages(limit=10), fetch, in_flight=3)
    finally:
        current.reset(token)
    assert {name for name, _ in seen} == {"the task"}
    assert {main for _, main in seen} == {True, False}


class Changing(PagedService):
    """A collection that changes with the n-th request."""

    def __init__(self, total: int, at: int, change: int) -> None:
        super().__init__(numbered(total))
        self.at, self.change = at, change

    def __call__(self, request: PageRequest) -> Response:
        response = super().__call__(request)
        with self._lock:
            if len(self.asked) == self.at:
                more = numbered(len(self.records) + max(self.change, 0))
                self.records = more[: len(self.records) + self.change]
        return response


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(("change", "last"), [(25, 125), (3, 103), (-25, 75), (-3, 97)])
def test_a_collection_that_changes_meanwhile_is_noticed(
    caplog: pytest.LogCaptureFixture, in_flight: int, change: int, last: int
) -> None:
    """What was added at the end is read, too; a tail that has gone is no failure; the log says that it changed."""
    with caplog.at_level(logging.WARNING):
        pages, error = drain(OffsetPages(limit=10), Changing(100, 2, change), in_flight=in_flight)
    assert error is None
    assert ids(pages) == list(range(1, last + 1))
    assert len([record for record in caplog.records if "changes while it is read, from 100 to" in record.message]) == 1


def test_a_tail_that_was_fetched_before_the_collection_grew_is_fetched_again() -> None:
    """The last page was asked for ahead of its turn and came before an earlier one that tells of more."""
    records, asked = numbered(30), []
    late = threading.Event()

    def fetch(request: PageRequest) -> Response:
        offset = request.params["offset"]
        asked.append(offset)
        if offset == 10:
            late.wait(5)  # the page before the last comes when the collection has grown
        answer = {"data": records[offset : offset + 10], "total": len(records)}
        response = Response(200, headers_of(), msgspec.json.encode(answer), "GET", BASE)
        if offset == 20 and not late.is_set():
            records.append({"id": 31})
            late.set()
        return response

    pages, _ = drain(OffsetPages(limit=10), fetch, in_flight=2)
    assert ids(pages) == list(range(1, 32))
    assert asked.count(20) == 2


def test_a_page_of_another_size_voids_what_was_guessed() -> None:
    """The guess is that pages are as long as the first; where one is not, reading goes on behind what really came."""
    records = numbered(60)

    def fetch(request: PageRequest) -> Response:
        offset = request.params["offset"]
        size = 4 if offset == 20 else 10
        answer = {"data": records[offset : offset + size], "total": 60}
        return Response(200, headers_of(), msgspec.json.encode(answer), "GET", BASE)

    pages, _ = drain(OffsetPages(limit=10), fetch, in_flight=4)
    assert ids(pages) == list(range(1, 61))
    assert [reached.position["offset"] for reached in pages] == [0, 10, 20, 24, 34, 44, 54]


@pytest.mark.parametrize("make", [SCHEMES["offset without a total"], SCHEMES["numbers without a total"]])
@pytest.mark.parametrize("prefetch", [False, True])
def test_a_service_that_refuses_pages_beyond_its_end_is_read(make: Any, prefetch: bool) -> None:
    """Whether a short first page was all may be answered by 404; what comes then says that it is the last."""
    paginator = make(10)
    service = PagedService(numbered(7), beyond_is_missing=True, first_page=getattr(paginator, "first_page", 1))
    pages, error = drain(paginator, service, prefetch=prefetch)
    assert error is None
    assert (ids(pages), pages[-1].following) == ([1, 2, 3, 4, 5, 6, 7], None)


@pytest.mark.parametrize(
    ("scheme", "total"),
    [
        ("cursor", 25),
        ("offset", 25),
        ("numbers and a total", 25),
        ("link header", 25),
        ("next url", None),
        ("numbers", None),
    ],
)
def test_the_total_is_told_with_each_page(scheme: str, total: int | None) -> None:
    """Where the service tells it and the paginator knows where."""
    pages, _ = drain(SCHEMES[scheme](10), PagedService(numbered(25)))
    assert [reached.total for reached in pages] == [total] * 3


def test_a_total_of_the_first_page_holds_for_the_rest() -> None:
    """Some services count only once."""
    answers = iter([{"data": [{"id": 1}], "n": 2, "next_cursor": "b"}, {"data": [{"id": 2}]}])

    def fetch(request: PageRequest) -> Response:
        return Response(200, headers_of(), msgspec.json.encode(next(answers)), "GET", BASE)

    pages, _ = drain(CursorPages(total_field="n"), fetch)
    assert [reached.total for reached in pages] == [2, 2]


def answering(answer: Any) -> Any:
    """A service that answers the n-th request, from 0 on, with what the function makes of it."""
    numbers = count()

    def fetch(request: PageRequest) -> Response:
        return Response(200, headers_of(), msgspec.json.encode(answer(next(numbers))), "GET", BASE)

    return fetch


SAME = [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("paginator", "answer", "pages", "message"),
    [
        (CursorPages(), lambda n: {"data": SAME[n % 2 :], "next_cursor": "ab"[n % 2]}, 2, "page 3 .* back to page 2"),
        (CursorPages(), lambda n: {"data": [n], "next_cursor": n % 7}, 7, "page 8 .* back to page 2"),
        (NextUrlPages(), lambda n: {"data": [n], "next": f"?p={n % 3}"}, 3, "page 4 .* back to page 2"),
        (NextUrlPages(query_only=True), lambda n: {"data": [n], "next": "?a=1"}, 1, "page 2 .* back to page 2"),
        (KeysetPages(), lambda n: {"data": [{"id": n % 3}]}, 3, "page 4 .* back to page 2"),
        (
            OffsetPages(total_field=None, limit=2),
            lambda n: {"data": SAME},
            2,
            "3 pages in a row have the same 2 records",
        ),
        (OffsetPages(limit=2), lambda n: {"data": SAME, "total": 99}, 2, "3 pages in a row"),
        (NumberedPages(size=2, pages_field=None), lambda n: {"data": SAME}, 2, "read one page with SinglePage"),
        (CursorPages(), lambda n: {"data": [], "next_cursor": n}, 4, "5 empty pages in a row"),
        (NextUrlPages(), lambda n: {"data": [], "next": f"?p={n}"}, 4, "5 empty pages in a row"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"prefetch": True}, {"in_flight": 4}])
def test_a_read_that_would_never_end_is_ended(
    paginator: Paginator, answer: Any, pages: int, message: str, options: Mapping[str, Any]
) -> None:
    """In every scheme: circles of cursors and links, a service that passes over its parameters, pages of nothing."""
    got, error = drain(paginator, answering(answer), guard=GuardSettings(empty_pages=5), **options)
    assert isinstance(error, InvalidResponse)
    with pytest.raises(InvalidResponse, match=message):
        raise error
    assert len(got) == pages
    assert not airgate_threads()


def test_a_circle_longer_than_the_memory_is_noticed_in_its_second_round() -> None:
    """The guard's memory is bounded and it still ends every read."""
    fetch = answering(lambda n: {"data": [n], "next_cursor": (n + 1) % 100})
    pages, error = drain(CursorPages(), fetch, guard=GuardSettings(remembered=10))
    assert isinstance(error, InvalidResponse)
    assert 100 <= len(pages) <= 300


def test_pages_of_equal_records_may_be_allowed() -> None:
    """Where data is like that, the rule is switched off."""
    fetch = answering(lambda n: {"data": [0, 0], "total": 20})
    pages, error = drain(OffsetPages(limit=2), fetch, guard=GuardSettings(same_pages=0))
    assert (error, len(pages)) == (None, 10)
    with pytest.raises(ValueError, match="same_pages must be 2 or more, or 0 for any number, not 1"):
        GuardSettings(same_pages=1)


@pytest.mark.parametrize("options", [{}, {"in_flight": 4}, {"prefetch": True}])
def test_pages_and_records_are_capped(options: Mapping[str, Any]) -> None:
    """A read that has more fails and says which cap; what earlier tries read counts; nothing is asked for beyond."""
    service = PagedService(numbered(100))
    for cap, message in (
        ({"max_pages": 3}, "more than 3 pages; raise max_pages"),
        ({"max_pages": 5, "pages_before": 2}, "more than 5 pages"),
        ({"max_records": 25}, "more than 25 records; raise max_records"),
        ({"max_records": 30, "records_before": 5}, "more than 30 records"),
    ):
        service.asked.clear()
        with pytest.raises(ValueError, match=message):
            drain(OffsetPages(limit=10), service, **cap, **options)
        if "max_pages" in cap:
            assert len(service.asked) == 3
    assert len(drain(OffsetPages(limit=10), service, max_pages=10, max_records=100, **options)[0]) == 10


@pytest.mark.parametrize("option", ["in_flight", "max_pages", "max_records"])
def test_options_that_mean_nothing_are_refused_at_once(option: str) -> None:
    """Before anything is sent, and by name."""
    with pytest.raises(ValueError, match=f"{option} must be 1 or more, not 0"):
        read_pages(SinglePage(), PagedService([]), "data", {}, **{option: 0})


@pytest.mark.parametrize(
    ("answer", "records", "whole", "got"),
    [
        ({"data": [{"id": 1}, {"id": 2}]}, "data", False, [1, 2]),
        ([{"id": 1}], "", False, [1]),
        ({"id": 1}, "", True, [1]),
        ({"user": {"id": 1}, "n": 3}, "user", True, [1]),
    ],
)
def test_a_single_page_is_read_once(answer: Any, records: str, whole: bool, got: list[int]) -> None:
    """A list of records, or one object that is the record."""
    pages = list(read_pages(SinglePage(whole=whole), answering(lambda n: answer), records, {}))
    assert (ids(pages), pages[0].following, pages[0].total) == (got, None, len(got))


def test_null_in_place_of_records_does_not_end_a_read_silently() -> None:
    """Where something beside it says that there is nothing it is an empty page, elsewhere an error."""
    pages, error = drain(CursorPages(), answering(lambda n: {"data": None, "next_cursor": None}))
    assert (error, ids(pages)) == (None, [])
    for paginator in (CursorPages(), OffsetPages(), SinglePage()):
        _, error = drain(paginator, answering(lambda n: {"data": None, "errors": ["no"]}))
        assert isinstance(error, InvalidResponse)


@dataclass(frozen=True)
class WeekPages:
    """One of one's own: a page a week; a setting happens to be called as an ability is."""

    weeks: int
    total: str = "n"

    def first(self) -> Position:
        return {"week": 1}

    def params(self, position: Position) -> dict[str, Any]:
        return {"week": position["week"]}

    def after(self, position: Position, page: Any) -> Position | None:
        return {"week": position["week"] + 1} if position["week"] < self.weeks else None


@pytest.mark.parametrize("options", [{}, {"in_flight": 4}, {"prefetch": True}])
def test_a_paginator_of_ones_own_needs_three_methods(options: Mapping[str, Any]) -> None:
    """All options work with it, and a setting named like an ability does no harm."""

    def fetch(request: PageRequest) -> Response:
        body = {"data": [{"id": request.params["week"]}]}
        return Response(200, headers_of(), msgspec.json.encode(body), "GET", BASE)

    pages, _ = drain(WeekPages(3), fetch, **options)
    assert (ids(pages), pages[0].total) == ([1, 2, 3], None)


def test_a_page_is_asked_for_through_the_gateway(server: ScriptedServer) -> None:
    """Path, query, headers and body of collection and page go out together; a link replaces path and query."""
    session = GatewaySession(Gateway(f"{server.url}/v1", retry=RetrySettings(attempts=1)))

    def call(method: str, path: str, **fields: Any) -> Response:
        from airgate.client.message import Request, join_url

        assert fields["idempotency_key"] is (None if method == "GET" else False)
        url = join_url(session.gateway.base_url, path, fields["path_params"], fields["params"])
        body = None if fields["json"] is None else msgspec.json.encode(fields["json"])
        return session.call(Request(method, url, fields["headers"] or {}, body))

    links = LinkScope(session.gateway.base_url, ("s3cret",))
    server.answers = [
        Answer(200, b'{"data": [1], "next": "?page=2&key=s3cret&q=a"}'),
        Answer(200, b'{"data": [2], "next": null}'),
        Answer(200, b'{"data": [3], "next_cursor": "b"}'),
        Answer(200, b'{"data": [4]}'),
    ]
    fetch = PageFetch(call, "/{shop}/items", {"q": "a"}, path_params={"shop": "x/y"}, headers={"X-A": "1"}, links=links)
    pages = list(read_pages(NextUrlPages(limit=5), fetch, "data", {"link": None}))
    assert [reached.following for reached in pages] == [{"link": "/x%2Fy/items?page=2&q=a"}, None]
    search = PageFetch(call, "/search", method="POST", json={"where": "y"}, links=links)
    assert len(list(read_pages(CursorPages(sent_in="body"), search, "data", {"cursor": None}))) == 2
    session.close()
    assert [(seen.method, seen.path, seen.query, seen.headers.get("x-a"), seen.body) for seen in server.seen] == [
        ("GET", "/v1/x%2Fy/items", {"q": ["a"], "limit": ["5"]}, "1", b""),
        ("GET", "/v1/x%2Fy/items", {"page": ["2"], "q": ["a"]}, "1", b""),
        ("POST", "/v1/search", {}, None, b'{"where":"y","limit":100}'),
        ("POST", "/v1/search", {}, None, b'{"where":"y","limit":100,"cursor":"b"}'),
    ]


def test_a_hook_knows_where_its_links_may_lead() -> None:
    """PageFetch.through takes address and secrets from the hook's gateway; neither secrets nor query are shown."""

    class Hook:
        gateway = Gateway("https://gw.example/v1", ApiKeyAuth("s3cret", name="key", place="query"))

        def call(self, method: str, path: str, **fields: Any) -> Response:
            raise AssertionError(f"{method} {path}")

    fetch = PageFetch.through(Hook(), "/items", {"token": "t0ken"})
    assert fetch.links == LinkScope("https://gw.example/v1", ("s3cret", "s3cret"))
    assert not {"s3cret", "t0ken"} & set(repr(fetch).replace("'", " ").split())
    with pytest.raises(AssertionError, match="GET /items"):
        fetch(PageRequest())
