"""What an answer to the first page behind a stored position means: a refusal of the position, or something else."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection, extract
from airgate.data.read.children import Children, extract_children
from airgate.data.read.parents import parents_of
from airgate.data.read.readthrough import REFUSALS, refuses_position
from airgate.data.store.manifest import Manifest
from airgate.pagination import CursorPages, OffsetPages
from airgate.policy.errors import GatewayError, InvalidResponse, Unauthorized, Unavailable, error_for_status
from tests.data.reads import FileCheckpoint, local, table_of

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])
HTML = b"<html><body>We are down for maintenance</body></html>"
STEPS = range(0, 100, 10)

Act = Callable[[], Response]


def answer(body: bytes) -> Response:
    return Response(200, headers_of(), body, "GET", "http://gw/n?limit=10")


def answers(body: bytes) -> Act:
    return lambda: answer(body)


def refuses(status: int) -> Act:
    def act() -> Response:
        raise error_for_status(status)(f"answered {status}", method="GET", url="http://gw/n", status=status)

    return act


class Numbers:
    """A hundred numbers, ten a page; where an offset stands in ``at``, that is done instead, from the first on."""

    def __init__(self) -> None:
        self.at: dict[int, list[Act]] = {}
        self.asked: list[int] = []

    def __call__(self, asked: Any) -> Response:
        offset = asked.params["offset"]
        self.asked.append(offset)
        if self.at.get(offset):
            return self.at[offset].pop(0)()
        records = [{"id": number} for number in range(offset, offset + 10)]
        return answer(msgspec.json.encode({"data": records, "total": 100}))


class Read:
    """Tries of one read, of a collection or of the children of one parent."""

    def __init__(self, path: Path, *, children: bool) -> None:
        self.service = Numbers()
        self.checkpoint = FileCheckpoint(path / "checkpoint")
        self.folder = local(path / "out")
        self._children = children

    def __call__(self) -> Manifest:
        self.service.asked.clear()
        paginator = OffsetPages(limit=10)
        if not self._children:
            collection = Collection("GET /n", paginator, SCHEMA, part_rows=20)
            return extract(collection, self.service, self.folder, self.checkpoint)
        collection = Collection("GET /n/{of}", paginator, SCHEMA, part_rows=20)
        children = Children(parents_of([{"id": "a"}], ["id"], ["id"]), {"of": "id"})
        below = partial(lambda service, params: service, self.service)
        return extract_children(collection, children, below, self.folder, self.checkpoint)

    def dies_at(self, offset: int) -> None:
        """A first try that makes all before that page durable."""
        self.service.at[offset] = [refuses(503)]
        with pytest.raises(Unavailable):
            self()
        assert self.durable == offset

    @property
    def durable(self) -> int:
        state = self.checkpoint.load()
        return 0 if state is None else state["manifest"]["received"]

    def rows(self, manifest: Manifest) -> list[int]:
        return table_of(manifest, self.folder).column("id").to_pylist()


@pytest.fixture(params=["collection", "children"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    return Read(tmp_path, children=request.param == "children")


@pytest.mark.parametrize("body", [HTML, b"", b'{"data":[{"id":80},', b"[]", b'"try later"', b'{"gr\xf6\xdfe":1}'])
def test_a_page_that_cannot_be_read_keeps_what_is_durable(read: Read, body: bytes) -> None:
    """A maintenance page with status 200 fails the try as it fails any, and the next one goes on there."""
    read.dies_at(80)
    read.service.at[80] = [answers(body)]
    with pytest.raises(InvalidResponse):
        read()
    assert (read.service.asked, read.durable) == ([80], 80)
    manifest = read()
    assert read.service.asked == [80, 90]
    assert read.rows(manifest) == list(range(100))


@pytest.mark.parametrize("body", [HTML, b'{"data": 7'])
def test_a_page_that_is_broken_for_good_fails_every_try_alike(read: Read, body: bytes) -> None:
    """The same error as the first time, and nothing that is durable is asked for again."""
    read.service.at[80] = [answers(body)] * 4
    said = []
    for number in range(4):
        with pytest.raises(InvalidResponse) as caught:
            read()
        assert read.service.asked == ([80] if number else [*STEPS][:9])
        said.append(str(caught.value))
        assert not caught.value.retryable
    assert len(set(said)) == 1
    assert read.durable == 80


@pytest.mark.parametrize("status", sorted(REFUSALS))
def test_a_refused_position_starts_from_the_beginning(
    read: Read, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An expired cursor: the log says with what status, and no record is lost or doubled."""
    read.dies_at(80)
    read.service.at[80] = [refuses(status)]
    with caplog.at_level(logging.WARNING):
        manifest = read()
    assert read.service.asked == [80, *STEPS]
    assert read.rows(manifest) == list(range(100))
    assert f"refuses the stored position of page 8 (status {status}: " in caplog.text
    assert f"answered {status}); starting from the beginning" in caplog.text


@pytest.mark.parametrize("status", [401, 403, 405, 407, 408, 413, 414, 415, 425, 429, 431, 451, 500, 503])
def test_a_refusal_of_another_kind_keeps_what_is_durable(read: Read, status: int) -> None:
    """It speaks of who asks, how, how often, or of the service's state; once that is mended the read goes on."""
    read.dies_at(80)
    read.service.at[80] = [refuses(status)]
    with pytest.raises(GatewayError, match=f"answered {status}") as caught:
        read()
    assert caught.value.status == status
    assert (read.service.asked, read.durable) == ([80], 80)
    assert read.rows(read()) == list(range(100))
    assert read.service.asked == [80, 90]


@pytest.mark.parametrize(
    "body", [b'{"ok":false,"error":"invalid_cursor"}', b'{"data":null,"errors":[{"message":"no such cursor"}]}']
)
def test_an_expired_cursor_may_be_told_with_status_200(
    read: Read, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A JSON object without records is how some services refuse; without that such a read could never go on."""
    read.dies_at(80)
    read.service.at[80] = [answers(body)]
    with caplog.at_level(logging.WARNING):
        assert read.rows(read()) == list(range(100))
    assert read.service.asked == [80, *STEPS]
    assert "(status 200: " in caplog.text


@pytest.mark.parametrize("act", [refuses(400), refuses(410), answers(b'{"error":"no"}')])
def test_a_page_makes_a_read_start_again_once(read: Read, act: Act, caplog: pytest.LogCaptureFixture) -> None:
    """A page that is refused whatever was read before: one restart over all tries, then its parts stay."""
    read.service.at[80] = [act] * 9
    tries = []
    for _ in range(5):
        with pytest.raises(GatewayError):
            read()
        tries.append([*read.service.asked])
        assert read.durable == 80
    to_eighty = [*STEPS][:9]
    assert tries == [to_eighty, [80, *to_eighty], [80], [80], [80]]
    assert "the stored position of page 8 is refused again" in caplog.text
    read.service.at.clear()
    assert read.rows(read()) == list(range(100))
    assert read.service.asked == [80, 90]


def test_another_page_may_make_it_start_once_more(read: Read) -> None:
    """The first one is remembered all the same."""
    read.dies_at(80)
    read.service.at = {80: [refuses(410)], 60: [refuses(503)]}
    with pytest.raises(Unavailable):
        read()
    read.service.at = {60: [refuses(410)], 80: [refuses(503)]}
    with pytest.raises(Unavailable):
        read()
    assert read.service.asked == [60, *STEPS][:10]
    assert read.checkpoint.load()["refused"] == [8, 6]  # type: ignore[index]
    read.service.at = {80: [refuses(410)]}
    with pytest.raises(GatewayError, match="answered 410"):
        read()
    assert read.service.asked == [80]


def test_a_read_that_resumes_well_keeps_no_such_memory(read: Read) -> None:
    """Its checkpoint is as it was."""
    read.dies_at(40)
    read.service.at[80] = [refuses(503)]
    with pytest.raises(Unavailable):
        read()
    assert "refused" not in (read.checkpoint.load() or {})


def test_the_beginning_of_a_collection_cannot_expire(tmp_path: Path) -> None:
    """A restart that was stopped before its first part stands there: a refusal then is one of the collection."""
    read = Read(tmp_path, children=False)
    read.dies_at(80)
    state = read.checkpoint.load()
    assert state is not None
    read.checkpoint.save({**state, "position": {"offset": 0}})
    read.service.at[0] = [refuses(404)]
    with pytest.raises(GatewayError, match="answered 404"):
        read()
    assert read.service.asked == [0]


def test_an_opaque_cursor_expires_and_the_page_is_found_again(tmp_path: Path) -> None:
    """Its text is another one after the restart; the number of the page is what counts."""
    lives, asked = [0], []

    def fetch(request: Any) -> Response:
        cursor = request.params.get("cursor")
        asked.append(cursor)
        life, number = (lives[0], 0) if cursor is None else map(int, cursor.split("-"))
        if life != lives[0]:
            raise error_for_status(410)("answered 410", status=410)
        if number == 2:
            lives[0] += 1
            raise Unavailable("answered 503", status=503)
        return answer(json.dumps({"data": [{"id": number}], "next_cursor": f"{life}-{number + 1}"}).encode())

    place, kept = local(tmp_path / "out"), FileCheckpoint(tmp_path / "c")
    collection = Collection("GET /n", CursorPages(limit=1), SCHEMA, part_rows=1)
    expected = [
        (Unavailable, [None, "0-1", "0-2"]),
        (Unavailable, ["0-2", None, "1-1", "1-2"]),
        (GatewayError, ["1-2"]),
        (GatewayError, ["1-2"]),
    ]
    for kind, calls in expected:
        asked.clear()
        with pytest.raises(kind):
            extract(collection, fetch, place, kept)
        assert asked == calls


def test_what_may_refuse_a_position() -> None:
    """By status, and never by class alone."""
    assert not refuses_position(Unauthorized("no", status=403))
    assert not refuses_position(error_for_status(404)("no status"))
    assert not refuses_position(InvalidResponse("HTML", status=200))
    assert {status for status in range(300, 600) if refuses_position(error_for_status(status)("", status=status))} == {
        *REFUSALS
    }
