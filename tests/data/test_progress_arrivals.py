"""A read is seen to move while its pages wait to be decoded together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection, extract
from airgate.data.progress import Progress
from airgate.data.read.children import Children, extract_children
from airgate.data.read.parents import parents_of
from airgate.data.shape.batch import Batch
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest
from airgate.pagination import OffsetPages
from airgate.policy.errors import NotFound, Unavailable
from tests.data.reads import FileCheckpoint, local

SCHEMA = pa.schema([("id", pa.int64())])


class Slow:
    """A service whose pages take so many seconds of an instant clock, and what the log says meanwhile."""

    def __init__(self, total: int, *, page_seconds: float = 1.0, bad_every: int = 0) -> None:
        self.total, self.page_seconds, self.bad_every = total, page_seconds, bad_every
        self.now = 1000.0
        self.fails_at: int | None = None
        self.expired_at: int | None = None
        self.lines: list[tuple[float, str, dict[str, float]]] = []

    def __call__(self, asked: Any) -> Response:
        offset, limit = asked.params["offset"], asked.params["limit"]
        if offset == self.fails_at:
            raise Unavailable("answered 503", status=503)
        if offset == self.expired_at:
            self.expired_at = None
            raise NotFound("answered 410", status=410)
        self.now += self.page_seconds
        records = [
            {"id": "x" if self.bad_every and number % self.bad_every == 0 else number}
            for number in range(offset, min(offset + limit, self.total))
        ]
        return Response(
            200, headers_of(), msgspec.json.encode({"data": records, "total": self.total}), "GET", "http://gw/n"
        )

    def progress(self, **more: Any) -> Progress:
        began = self.now
        return Progress(
            "GET /n",
            clock=lambda: self.now,
            say=lambda event, **figures: self.lines.append((self.now - began, event, figures)),
            **more,
        )

    @property
    def events(self) -> list[tuple[float, str]]:
        return [(second, event) for second, event, _ in self.lines]


def read(path: Path, service: Slow, schema: pa.Schema | None = SCHEMA, **more: Any) -> Manifest:
    collection = Collection("GET /n", OffsetPages(limit=10), schema, **more)
    with service.progress() as progress:
        manifest = extract(collection, service, local(path / "out"), FileCheckpoint(path / "c"), [progress])
    summary = progress.summary(manifest)
    assert summary["received"] == manifest.received
    return manifest


@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["declared", "inferred"])
def test_lines_come_while_nothing_is_decoded_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: pa.Schema | None
) -> None:
    """Also while the pages are read from which a schema is inferred; they are still decoded together."""
    service, decoded = Slow(150), []
    true = RecordDecoder.decode

    def decode(self: RecordDecoder, records: Sequence[Any]) -> Any:
        decoded.append((service.now - 1000.0, len(records)))
        return true(self, records)

    monkeypatch.setattr(RecordDecoder, "decode", decode)
    read(tmp_path, service, schema)
    assert decoded == [(15.0, 150)]
    assert service.events == [
        (1.0, "GET /n: 10 of 150 records, 6 % done, about 14 s left"),
        (6.0, "GET /n: 60 of 150 records, 40 % done, about 9.0 s left"),
        (11.0, "GET /n: 110 of 150 records, 73 % done, about 4.0 s left"),
        (15.0, "GET /n: read to its end after 15 s, 150 records"),
    ]
    [_, second, _, last] = [figures for *_, figures in service.lines]
    assert (second["rows_per_s"], second["pages"], second["calls"]) == (10, 6, 6)
    assert (last["rows_per_s_overall"], last["pages"], last["calls"]) == (10, 15, 15)


def test_dead_letters_are_told_when_they_are_known(tmp_path: Path) -> None:
    """The records of a page count at once; which of them do not fit is in the line behind its decoding."""
    service = Slow(150, bad_every=10)
    manifest = read(tmp_path, service, part_rows=60)
    assert (manifest.received, manifest.dead_lettered) == (150, 15)
    assert [(event.partition(" records")[0], figures["dead_letters"]) for _, event, figures in service.lines] == [
        ("GET /n: 10 of 150", 0),
        ("GET /n: 60 of 150", 0),
        ("GET /n: 110 of 150", 7),
        ("GET /n: read to its end after 15 s, 150", 15),
    ]


def test_a_resumed_read_counts_each_record_once(tmp_path: Path) -> None:
    """What an earlier try made durable is added to what has arrived, decoded or not, also behind further parts."""
    service = Slow(150)
    service.fails_at = 70
    with pytest.raises(Unavailable):
        read(tmp_path, service, part_rows=40)
    assert service.events[-1] == (7.0, "GET /n: stopped by Unavailable after 7.0 s, 70 records")
    service.fails_at = None
    service.lines.clear()
    read(tmp_path, service, part_rows=40)
    assert [event.partition(",")[0] for _, event in service.events] == [
        "GET /n: 80 of 150 records",
        "GET /n: 130 of 150 records",
        "GET /n: read to its end after 8.0 s",
    ]
    assert service.events[-1][1].endswith(", 150 records, 70 of them by earlier tries")


@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["declared", "inferred"])
def test_a_read_that_begins_again_counts_from_nothing(tmp_path: Path, schema: pa.Schema | None) -> None:
    """From its first page on, also where that waits for a schema to be inferred."""
    service = Slow(150)
    service.fails_at = 70
    with pytest.raises(Unavailable):
        read(tmp_path, service, schema)
    service.fails_at, service.expired_at = None, 70
    service.lines.clear()
    read(tmp_path, service, schema)
    assert [event.partition(",")[0] for _, event in service.events] == [
        "GET /n: 10 of 150 records",
        "GET /n: 60 of 150 records",
        "GET /n: 110 of 150 records",
        "GET /n: read to its end after 15 s",
    ]
    assert service.events[-1][1].endswith(", 150 records")


def test_the_share_of_the_parents_is_told_as_their_pages_arrive(tmp_path: Path) -> None:
    """Where nobody knows the total: four parents of ten, four seconds."""
    service = Slow(10)
    names = [{"id": name} for name in "abcdefghij"]
    children = Children(parents_of(names, ["id"], ["id"]), {"order": "id"}, in_flight=1)
    collection = Collection("GET /n", OffsetPages(limit=10), SCHEMA)
    with service.progress(every=3.0) as progress:
        extract_children(
            collection, children, lambda _: service, local(tmp_path), FileCheckpoint(tmp_path / "c"), [progress]
        )
    assert service.events[:2] == [
        (1.0, "GET /n: 10 records, 10 % done, about 9.0 s left"),
        (4.0, "GET /n: 40 records, 40 % done, about 6.0 s left"),
    ]


class Decoded:
    """An onlooker that does not ask for arrivals."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def took(self, batch: Batch, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        self.seen.append((batch.position["offset"], table.num_rows, len(misfits)))

    def durable(self, manifest: Manifest) -> None:
        self.seen.append(manifest.received)


class Eager(Decoded):
    """One that does."""

    def arrived(self, batch: Batch) -> None:
        self.seen.append((batch.position["offset"], len(batch.records)))


def test_an_onlooker_sees_a_page_arrive_then_its_rows_then_the_part(tmp_path: Path) -> None:
    """One without the method for arrivals sees all the rest; rows are seen as they are decoded, not before."""
    eager, plain = Eager(), Decoded()
    collection = Collection("GET /n", OffsetPages(limit=10), SCHEMA, part_rows=20)
    checkpoint = FileCheckpoint(tmp_path / "c")
    extract(collection, Slow(30, bad_every=10), local(tmp_path / "out"), checkpoint, [eager, plain])
    rest = [0, (0, 9, 1), (10, 9, 1), (20, 9, 1), 30, 30]
    assert plain.seen == rest
    assert eager.seen == [0, (0, 10), (10, 10), (0, 9, 1), (10, 9, 1), (20, 10), (20, 9, 1), 30, 30]
