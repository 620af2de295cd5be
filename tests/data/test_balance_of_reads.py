"""What comes in is written or dead-lettered, or the read fails: no fault of a decoder or a writer passes unnoticed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.client.streamed import StreamedResponse
from airgate.data.extract import Collection, extract
from airgate.data.frames.writing import FrameWriter
from airgate.data.read.children import Children, extract_children
from airgate.data.read.csvtext import CsvDecoder
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.fileformats import CsvFile, FileFormat, NdjsonFile
from airgate.data.read.parents import parents_of
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.misfit import Misfit
from airgate.data.store.growing import GrowingPart
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PartWriter
from airgate.pagination import OffsetPages
from airgate.policy.errors import Unavailable
from tests.data.reads import FileCheckpoint, Texts, letters_of, local, table_of

SCHEMA = pa.schema([("id", pa.int64())])
TEXTS = [b'{"id":%d}' % number for number in range(100)]
TEXTS[37] = TEXTS[62] = b'{"id":"x"}'


def read(path: Path, service: Any = None, schema: pa.Schema | None = SCHEMA, **more: Any) -> Manifest:
    """100 records in pages of 10, two of them misfits, in parts of 50."""
    collection = Collection("GET /n", OffsetPages(limit=10), schema, **{"part_rows": 50, **more})
    return extract(collection, service or Texts(TEXTS), local(path / "out"), FileCheckpoint(path / "c"))


Losing = Callable[[pytest.MonkeyPatch], None]


def decoding(change: Callable[[pa.Table, list[Misfit]], tuple[pa.Table, list[Misfit]]], decoder: type) -> Losing:
    """A decoder whose results are changed."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        true = decoder.decode  # type: ignore[attr-defined]
        monkeypatch.setattr(decoder, "decode", lambda self, records: change(*true(self, records)))

    return patch


def lose_row(table: pa.Table, misfits: list[Misfit]) -> tuple[pa.Table, list[Misfit]]:
    return table.slice(1), misfits


def lose_misfit(table: pa.Table, misfits: list[Misfit]) -> tuple[pa.Table, list[Misfit]]:
    return table, misfits[1:]


def double_row(table: pa.Table, misfits: list[Misfit]) -> tuple[pa.Table, list[Misfit]]:
    return pa.concat_tables([table, table.slice(0, 1)]), misfits


def displace(table: pa.Table, misfits: list[Misfit]) -> tuple[pa.Table, list[Misfit]]:
    """The misfits stand where no record is."""
    return table, [Misfit(one.index + 1000, one.record, one.reason) for one in misfits]


def writer_loses_row(monkeypatch: pytest.MonkeyPatch) -> None:
    true = GrowingPart.add
    monkeypatch.setattr(GrowingPart, "add", lambda self, table: true(self, table.slice(1)))


def writer_loses_misfit(monkeypatch: pytest.MonkeyPatch) -> None:
    true = PartWriter.reject

    def lossy(self: PartWriter, misfits: Sequence[Misfit], **more: Any) -> None:
        true(self, list(misfits)[1:], **more)

    monkeypatch.setattr(PartWriter, "reject", lossy)


@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["declared", "inferred"])
@pytest.mark.parametrize(
    ("losing", "became"),
    [
        (decoding(lose_row, RecordDecoder), "50 records .* pages 0 to 4 .* 48 rows and 1 dead letters"),
        (decoding(lose_misfit, RecordDecoder), "50 records .* pages 0 to 4 .* 49 rows and 0 dead letters"),
        (decoding(double_row, RecordDecoder), "50 records .* pages 0 to 4 .* 50 rows and 1 dead letters"),
        (decoding(displace, RecordDecoder), r"\d\d records .* pages 0 to \d .* 0 dead letters"),
        (writer_loses_row, r"\d\d records .* pages 0 to \d .* \d\d rows and 1 dead letters"),
        (writer_loses_misfit, r"\d\d records .* pages 0 to \d .* \d\d rows and 0 dead letters"),
    ],
)
def test_a_record_that_is_lost_on_the_way_fails_the_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losing: Losing, became: str, schema: pa.Schema | None
) -> None:
    """The error names the source, the pages and the three numbers; nothing is complete and no checkpoint has them."""
    losing(monkeypatch)
    texts = [text.replace(b'"x"', b"[]") for text in TEXTS] if schema is None else TEXTS
    more = {"sample_records": 20} if schema is None else {}
    with pytest.raises(ValueError, match=f"^GET /n: {became}"):
        read(tmp_path, Texts(texts), schema, **more)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "c").exists()


def test_a_single_page_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number that its dead letters have."""
    decoding(lose_row, RecordDecoder)(monkeypatch)
    with pytest.raises(ValueError, match=r"GET /n: 10 records were received with page 0 \(the first is 0\)"):
        read(tmp_path, part_rows=5)


@pytest.mark.parametrize("losing", [decoding(lose_row, RecordDecoder), writer_loses_row])
def test_a_resumed_read_counts_on_and_its_checkpoint_stays_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losing: Losing
) -> None:
    """A try that loses a record does not spoil what an earlier one made durable: the next one completes it."""
    with pytest.raises(Unavailable):
        read(tmp_path, Texts(TEXTS, broken={70}))
    kept = (tmp_path / "c").read_text()
    assert json.loads(kept)["manifest"]["received"] == 70
    with monkeypatch.context() as patch:
        losing(patch)
        with pytest.raises(ValueError, match=r"GET /n: 30 records .* pages 7 to 9 .* 29 rows and 0 dead letters"):
            read(tmp_path)
    assert (tmp_path / "c").read_text() == kept
    manifest = read(tmp_path)
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (100, 98, 2)
    place = local(tmp_path / "out")
    assert (table_of(manifest, place).num_rows, len(letters_of(manifest, place))) == (98, 2)


def test_a_partition_that_is_not_written_fails_the_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part that is spread over folders holds is counted in its files."""
    from airgate.data.store import growing

    true = growing.partitions
    monkeypatch.setattr(growing, "partitions", lambda table, columns: list(true(table, columns))[1:])
    texts = [b'{"id":%d,"p":"%s"}' % (number, b"ab"[number % 2 :][:1]) for number in range(10)]
    schema = pa.schema([("id", pa.int64()), ("p", pa.string())])
    with pytest.raises(ValueError, match=r"GET /n: 10 records .* page 0 .* 5 rows and 0 dead letters"):
        read(tmp_path, Texts(texts), schema, layout=Layout(partition_by=("p",)), part_rows=None)


def test_masked_dead_letters_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masking changes what a letter holds, not how many there are; one that it swallowed would be missed."""
    manifest = read(tmp_path / "whole", redact_fields=("id",))
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (100, 98, 2)
    true = PartWriter.reject
    monkeypatch.setattr(
        PartWriter, "reject", lambda self, misfits, **more: None if self._redact_fields else true(self, misfits, **more)
    )
    with pytest.raises(ValueError, match=r"GET /n: \d\d records .* \d\d rows and 0 dead letters"):
        read(tmp_path / "lossy", redact_fields=("id",))


class Answer:
    """A body that comes in one piece."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, headers: Mapping[str, str]) -> StreamedResponse:
        head = headers_of([("Content-Length", str(len(self.content)))])
        return StreamedResponse(200, head, b"", "GET", "http://gw/export", source=self)

    def pieces(self) -> Iterator[bytes]:
        yield self.content

    def close(self) -> None: ...


CSV_TEXT = b'id\n1\n\n"2"\r\n"x\ny"\n4\n'
NDJSON_TEXT = b'{"id":1}\n\n{"id":2}\r\n  {"id":"x"}  \n{"id":4}'


@pytest.mark.parametrize(
    ("file", "content", "decoder"), [(CsvFile(), CSV_TEXT, CsvDecoder), (NdjsonFile(), NDJSON_TEXT, RecordDecoder)]
)
def test_records_of_an_export_are_counted_as_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: FileFormat, content: bytes, decoder: type
) -> None:
    """Not the header, not empty lines, not the lines within quotes; what the decoder loses is missed."""
    export = Export("GET /export", SCHEMA, file)
    read = lambda name: extract_export(  # noqa: E731
        export, Answer(content), local(tmp_path / name), FileCheckpoint(tmp_path / "c")
    )
    manifest = read("whole")
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (4, 3, 1)
    for number, lose in enumerate((lose_row, lose_misfit)):
        with monkeypatch.context() as patch:
            decoding(lose, decoder)(patch)
            with pytest.raises(ValueError, match=r"GET /export: 4 records were received with page 0"):
                read(f"lossy{number}")


def test_children_are_counted_over_all_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent without children has none to lose; the pages are numbered through."""
    counts = {"a": 3, "b": 0, "c": 2}
    children = Children(parents_of([{"id": name} for name in counts], ["id"], ["id"]), {"order": "id"}, {"order": "id"})
    collection = Collection("GET /o/{order}/items", OffsetPages(limit=2), SCHEMA)

    def below(params: Mapping[str, str]) -> Any:
        return Texts(TEXTS[: counts[params["order"]]])

    def read(name: str) -> Manifest:
        return extract_children(collection, children, below, local(tmp_path / name), FileCheckpoint(tmp_path / "c"))

    assert read("whole").received == 5
    decoding(lose_row, RecordDecoder)(monkeypatch)
    with pytest.raises(ValueError, match=re.escape("GET /o/{order}/items: 5 records were received with pages 0 to 3")):
        read("lossy")


def test_frames_that_lose_rows_on_the_way_to_a_part_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no page brings them: what was given to the writer is held against what its files have."""
    writer_loses_row(monkeypatch)
    writer = FrameWriter(local(tmp_path / "out"))
    writer.add(pa.table({"id": [1, 2, 3]}))
    with pytest.raises(ValueError, match="received 3 records, but 2 are written"):
        writer.commit()
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_whole_is_held_against_its_files_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stretch may have added up when it was written: a part that has left the manifest since is missed."""
    true = PartWriter.flush

    def forgetful(self: PartWriter, received: int | None = None) -> None:
        true(self, received)
        del self.manifest.parts[:-1]

    monkeypatch.setattr(PartWriter, "flush", forgetful)
    with pytest.raises(ValueError, match=r"received 100 records, but 39 are written \(counted 98\)"):
        read(tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_read_without_a_fault_has_the_numbers_of_what_came(tmp_path: Path) -> None:
    """And so has one without any record."""
    manifest = read(tmp_path / "a")
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (100, 98, 2)
    nothing = lambda asked: Response(200, headers_of(), b'{"total":0,"data":[]}', "GET", "http://gw/n")  # noqa: E731
    manifest = read(tmp_path / "b", nothing)
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (0, 0, 0)
