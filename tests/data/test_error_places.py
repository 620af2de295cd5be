"""An error of a read says where in the read it happened: source, parent and page."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

import airgate.data.read.cutting as cutting
from airgate.client.message import Response, headers_of
from airgate.client.paging.links import LinkScope
from airgate.client.streamed import BrokenOff, StreamedResponse
from airgate.data.extract import Collection, extract
from airgate.data.read.children import Children, extract_children
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.pages import read_pages
from airgate.data.read.parents import parents_of
from airgate.hooks.failures import error_from_json, error_to_json
from airgate.pagination import CursorPages, OffsetPages, PageFetch
from airgate.policy.errors import GatewayError, InvalidResponse, NotFound, OutcomeUnknown, RateLimited, Unavailable
from airgate.policy.outcome import Unanswered
from tests.data.reads import FileCheckpoint, Texts, letters_of, local

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])
NUMBERS = [b'{"id":%d}' % number for number in range(100)]


class Fails(Texts):
    """A collection whose page at some offset fails, always."""

    def __init__(self, at: int, error: GatewayError | None = None) -> None:
        super().__init__(NUMBERS)
        self.at = at
        self.error = error or NotFound(
            "answered 404 Not Found", method="GET", url=f"http://gw/n?limit=10&offset={at}", status=404, attempts=1
        )

    def __call__(self, asked: Any) -> Response:
        if asked.params["offset"] == self.at:
            raise self.error
        return super().__call__(asked)


def collection(**more: Any) -> Collection:
    return Collection("GET /n", OffsetPages(limit=10), SCHEMA, **{"part_rows": 25, **more})


def failing(path: Path, service: Any, of: Collection | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        extract(of or collection(), service, local(path / "out"), FileCheckpoint(path / "c"))
    return caught.value


@pytest.mark.parametrize("options", [{}, {"in_flight": 4}, {"prefetch": True}])
@pytest.mark.parametrize(("at", "page"), [(0, 0), (30, 3)])
def test_an_error_names_source_and_page(tmp_path: Path, at: int, page: int, options: Mapping[str, Any]) -> None:
    """In front of the call as it was made, whose status and class stay; each page has its own number."""
    error = failing(tmp_path, Fails(at), collection(**options))
    assert str(error).startswith(
        f"GET /n, page {page} (the first is 0): GET http://gw/n?limit=10&offset={at}: answered 404 Not Found, after 1"
    )
    assert str(error).endswith("Check the path and the gateway's routes.")
    assert (type(error), error.status, error.retryable) == (NotFound, 404, False)
    assert error.reason == "answered 404 Not Found"


def test_the_number_of_a_page_spans_all_tries_as_dead_letters_have_it(tmp_path: Path) -> None:
    """Page 6 of the read is the second one that this try asks for."""
    failing(tmp_path, Fails(50, Unavailable("answered 503", status=503)))
    error = failing(tmp_path, Fails(60))
    assert error.where == "GET /n, page 6 (the first is 0)"
    service = Texts([*NUMBERS[:60], b'{"id":"no number"}', *NUMBERS[61:]])
    place = local(tmp_path / "out")
    manifest = extract(collection(), service, place, FileCheckpoint(tmp_path / "c"))
    assert service.asked[0] == 60
    assert [letter["page"] for letter in letters_of(manifest, place)] == [6]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "the body has no list"),
        (b'{"data":[{"id":2}],"next_cursor":"b"}', "reading would never end"),
        (b'{"data":[{"id":2}],"next_cursor":{"x":1}}', "'next_cursor'"),
    ],
)
def test_a_page_whose_cursor_is_in_a_body_is_known_by_its_number(tmp_path: Path, body: bytes, says: str) -> None:
    """Every URL of a search by POST is the same."""

    def fetch(request: Any) -> Response:
        cursor = request.json.get("cursor")
        first = b'{"data":[{"id":1}],"next_cursor":"b"}'
        return Response(200, headers_of(), body if cursor else first, "POST", "http://gw/search")

    error = failing(tmp_path, fetch, Collection("POST /search", CursorPages(sent_in="body"), SCHEMA))
    assert str(error).startswith("POST /search, page 1 (the first is 0): POST http://gw/search: ")
    assert says in str(error)


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ({"max_pages": 3}, "GET /n, page 2 (the first is 0): the collection has more than 3 pages; raise max_pages"),
        (
            {"max_records": 25},
            "GET /n, page 2 (the first is 0): the collection has more than 25 records; raise max_rec",
        ),
    ],
)
def test_a_cap_names_source_and_page(tmp_path: Path, cap: Mapping[str, int], said: str) -> None:
    """Of a collection, and of the children of many parents."""
    with pytest.raises(ValueError, match="raise max_") as caught:
        extract(collection(**cap), Texts(NUMBERS), local(tmp_path / "a"), FileCheckpoint(tmp_path / "c"))
    assert str(caught.value).startswith(said)
    below = partial(lambda service, params: service, Texts(NUMBERS[:20]))
    children = Children(parents_of([{"id": 1}, {"id": 2}], ["id"], ["id"]), {"of": "id"})
    of = Collection("GET /p/{of}/n", OffsetPages(limit=10), SCHEMA, **cap)
    with pytest.raises(ValueError, match="raise max_") as caught:
        extract_children(of, children, below, local(tmp_path / "b"), FileCheckpoint(tmp_path / "d"))
    assert str(caught.value).startswith(said.replace("/n,", "/p/{of}/n,"))


def test_the_guard_against_circles_names_source_and_page(tmp_path: Path) -> None:
    """Its own numbers count from 1 within the try."""
    service = Texts(NUMBERS)
    same = lambda asked: Response(200, headers_of(), b'{"data":[1,2],"total":99}', "GET", "http://gw/n")  # noqa: E731
    failing(tmp_path, Fails(50, Unavailable("answered 503", status=503)))
    error = failing(tmp_path, same)
    assert isinstance(error, InvalidResponse)
    assert str(error).startswith("GET /n, page 7 (the first is 0): GET http://gw/n: 3 pages in a row")
    assert not service.asked


def of_orders(path: Path, service: Any, in_flight: int, links: LinkScope | None = None) -> GatewayError:
    class Below:
        def __init__(self, order: str) -> None:
            self.order = order
            self.links = links or LinkScope()

        def __call__(self, asked: Any) -> Response:
            return service(self.order, asked.params["offset"])

    of = Collection("GET /orders/{order_id}/items", OffsetPages(limit=1), SCHEMA)
    parents = parents_of([{"id": name} for name in ("a", "b/c", "d")], ["id"], ["id"])
    children = Children(parents, {"order_id": "id"}, in_flight=in_flight)
    with pytest.raises(GatewayError) as caught:
        extract_children(of, children, lambda p: Below(p["order_id"]), local(path / "out"), FileCheckpoint(path / "c"))
    return caught.value


@pytest.mark.parametrize("in_flight", [1, 3])
def test_an_error_of_a_child_names_template_parent_and_page(tmp_path: Path, in_flight: int) -> None:
    """The page counts over all parents, as in dead letters; over all tries, too."""
    broken = {("b/c", 1): Unavailable("answered 503", method="GET", url="http://gw/orders/b%2Fc/items?offset=1")}

    def service(order: str, offset: int) -> Response:
        if (order, offset) in broken:
            raise broken[order, offset]
        return Response(200, headers_of(), b'{"data":[{"id":1}],"total":2}', "GET", f"http://gw/orders/{order}/items")

    error = of_orders(tmp_path, service, in_flight)
    assert str(error) == (
        "GET /orders/{order_id}/items, parent 1 (order_id=b/c), page 3 (the first is 0): "
        "GET http://gw/orders/b%2Fc/items?offset=1: answered 503"
    )
    broken.clear()
    broken["d", 0] = NotFound("answered 404", status=404)
    error = of_orders(tmp_path, service, in_flight)
    assert error.where == "GET /orders/{order_id}/items, parent 2 (order_id=d), page 4 (the first is 0)"


def test_pages_read_in_a_task_function_name_what_they_are_of() -> None:
    """By what asks for them; an explicit source comes first, and without one the number stands alone."""

    def call(method: str, path: str, **rest: Any) -> Response:
        if rest["params"]["offset"] == 20:
            raise Unavailable("answered 503", method=method, url="http://gw/n", status=503)
        return Texts(NUMBERS)(type("Asked", (), {"params": rest["params"]}))

    paginator = OffsetPages(limit=10)
    fetch = PageFetch(call, "/n/{of}?api_key=abcdefgh&kind=a", method="POST", links=LinkScope(secrets=("topsecret",)))
    for source, said in (
        (None, "POST /n/{of}?api_key=***&kind=a, page 2 (the first is 0): POST http://gw/n: "),
        ("the numbers of topsecret", "the numbers of ***, page 2 (the first is 0): "),
        ("", "page 2 (the first is 0): POST http://gw/n: "),
    ):
        with pytest.raises(Unavailable) as caught:
            list(read_pages(paginator, fetch, "data", paginator.first(), source=source))
        assert str(caught.value).startswith(said)


def test_a_secret_in_a_path_or_parent_is_not_shown(tmp_path: Path) -> None:
    """What the connection calls secret is masked wherever it stands."""

    def service(order: str, offset: int) -> Response:
        raise NotFound("answered 404", status=404)

    error = of_orders(tmp_path, service, 1, LinkScope(secrets=("order_id=a", "items")))
    assert str(error).startswith("GET /orders/{order_id}/***, parent 0 (***), page 0 (the first is 0): answered 404")


@pytest.mark.parametrize("error", [Unavailable("broke off"), OutcomeUnknown("broke off")])
def test_an_error_of_an_export_names_source_and_piece(
    tmp_path: Path, error: GatewayError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number that dead letters have; pieces of earlier tries count."""
    monkeypatch.setattr(cutting, "PIECE_BYTES", 1000, raising=True)
    lines = b"".join(line + b"\n" for line in NUMBERS) * 10

    def open_stream(headers: Mapping[str, str]) -> StreamedResponse:
        class Source:
            def pieces(self) -> Iterator[bytes]:
                yield lines[:3500]
                raise BrokenOff(Unanswered("the connection broke"))

            def close(self) -> None: ...

        head = headers_of([("Content-Length", str(len(lines)))])
        return StreamedResponse(200, head, b"", "GET", "http://gw/export", source=Source())

    export = Export("GET /export", SCHEMA, part_rows=50, reopens=0, backoff=0.0, max_records=50)
    with pytest.raises(ValueError, match="raise max_records") as capped:
        extract_export(export, open_stream, local(tmp_path / "a"), FileCheckpoint(tmp_path / "c"))
    assert str(capped.value).startswith(
        "GET /export, piece 0 (the first is 0): the collection has more than 50 records"
    )
    export = Export("GET /export", SCHEMA, part_rows=50, reopens=0, backoff=0.0)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            extract_export(export, open_stream, local(tmp_path / "b"), FileCheckpoint(tmp_path / "d"))
        assert caught.value.where == "GET /export, piece 3 (the first is 0)"

    def refuses(headers: Mapping[str, str]) -> StreamedResponse:
        raise error

    with pytest.raises(type(error)) as refused:
        extract_export(export, refuses, local(tmp_path / "b"), FileCheckpoint(tmp_path / "d"))
    assert str(refused.value).startswith("GET /export, piece 3 (the first is 0): broke off")


def test_an_error_that_says_where_is_the_same_otherwise() -> None:
    """What a retry goes by, and what is stored or sent of it, does not change."""
    error = RateLimited(
        "answered 429", method="GET", url="http://gw/n", status=429, attempts=2, retry_after=60, excerpt="slow down"
    )
    error.in_doubt, error.place = True, "a place in line"
    plain, before = str(error), error_to_json(error)
    error.at("GET /n, page 3 (the first is 0)")
    assert str(error) == f"GET /n, page 3 (the first is 0): {plain}"
    error.at("GET /n, page 4 (the first is 0)")
    assert str(error) == f"GET /n, page 4 (the first is 0): {plain}"
    assert error_to_json(error) == before
    assert str(error_from_json(before)) == plain
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), vars(other), str(other)) == (RateLimited, vars(error), str(error))
    assert msgspec.json.encode(before)
