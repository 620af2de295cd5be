"""Exports: one long body, read into parts while it comes in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import airgate.data.read.cutting as cutting
from airgate.client.gateway import Gateway
from airgate.client.message import Request, headers_of
from airgate.client.session import GatewaySession
from airgate.client.streamed import BrokenOff, StreamedResponse
from airgate.data.read.cutting import Unreadable, cut, unpacked
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.fileformats import CsvFile, FileFormat, NdjsonFile
from airgate.data.read.opening import OpenStream
from airgate.data.shape.evolution import Evolution
from airgate.policy.errors import InvalidResponse, Unavailable
from airgate.policy.outcome import Unanswered
from tests.data.reads import FileCheckpoint, letters_of, local, table_of
from tests.scripted_server import Answer, ScriptedServer

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string())])
NDJSON, CSV = NdjsonFile(), CsvFile()


class Body:
    """A body in pieces of some size; in ``breaks`` stand the bytes behind which it breaks off, once each."""

    def __init__(self, content: bytes, *, size: int = 70_000, breaks: tuple[int, ...] = ()) -> None:
        self.content, self.size, self.breaks = content, size, list(breaks)
        self.opened = 0

    def __call__(self, headers: Mapping[str, str]) -> StreamedResponse:
        self.opened += 1
        end = self.breaks.pop(0) if self.breaks else None
        content, size = self.content[:end], self.size

        class Source:
            def pieces(self) -> Iterator[bytes]:
                for at in range(0, len(content), size):
                    yield content[at : at + size]
                if end is not None:
                    raise BrokenOff(Unanswered("the connection broke"))

            def close(self) -> None: ...

        head = headers_of([("Content-Length", str(len(self.content)))])
        return StreamedResponse(200, head, b"", "GET", "http://gw/export", source=Source())


def lines(count: int) -> bytes:
    return b"".join(b'{"id":%d,"name":"n%d"}\n' % (number, number) for number in range(count))


def csv(count: int) -> bytes:
    return b"id,name\n" + b"".join(b'%d,"n%d"\r\n' % (number, number) for number in range(count))


def read(path: Path, body: OpenStream, **more: Any) -> tuple[Any, list[dict[str, Any]], list[Any]]:
    export = Export("GET /export", **{"schema": SCHEMA, "part_rows": 20_000, "backoff": 0.0, **more})
    place = local(path / "out")
    manifest = extract_export(export, body, place, FileCheckpoint(path / "c"))
    return manifest, table_of(manifest, place).to_pylist(), letters_of(manifest, place)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("file", "make"), [(NDJSON, lines), (CSV, csv)])
def test_an_export_becomes_parts(tmp_path: Path, file: FileFormat, make: Callable[[int], bytes], packed: bool) -> None:
    """NDJSON and CSV, plain and as gzip files, cut in the same places however they come over the network."""
    content = make(90_000)
    content = (
        gzip.compress(content[: len(content) // 2], 1) + gzip.compress(content[len(content) // 2 :], 1)
        if packed
        else content
    )
    manifest, rows, letters = read(tmp_path / "a", Body(content), file=file)
    assert letters == []
    assert rows == [{"id": number, "name": f"n{number}"} for number in range(90_000)]
    assert len(manifest.parts) > 1
    other, _, _ = read(tmp_path / "b", Body(content, size=1009), file=file)
    assert other.parts == manifest.parts


@pytest.mark.parametrize(("file", "make"), [(NDJSON, lines), (CSV, csv)])
def test_a_body_that_breaks_off_is_asked_for_again(
    tmp_path: Path, file: FileFormat, make: Callable[[int], bytes]
) -> None:
    """What was read is passed over and nothing is lost or doubled; breaks without progress end the read."""
    content = make(120_000)
    body = Body(content, breaks=(100, len(content) // 2, len(content) - 1))
    manifest, rows, _ = read(tmp_path / "a", body, file=file)
    assert [row["id"] for row in rows] == list(range(120_000))
    assert (body.opened, manifest.received) == (4, 120_000)
    stuck = Body(content, breaks=(9,) * 9)
    with pytest.raises(Unavailable):
        read(tmp_path / "b", stuck, file=file, reopens=2)
    assert stuck.opened == 3


@pytest.mark.parametrize(("file", "make"), [(NDJSON, lines), (CSV, csv)])
def test_a_read_that_failed_goes_on_behind_its_last_part(
    tmp_path: Path, file: FileFormat, make: Callable[[int], bytes]
) -> None:
    """The next try finds the position in the checkpoint, and the header again."""
    content = make(120_000)
    with pytest.raises(Unavailable):
        read(tmp_path, Body(content, breaks=(2_000_000,)), file=file, reopens=0)
    before = json.loads((tmp_path / "c").read_text())["manifest"]["written"]
    assert 0 < before < 120_000
    manifest, rows, _ = read(tmp_path, Body(content), file=file)
    assert [row["id"] for row in rows] == list(range(120_000))
    assert manifest.received == 120_000


def test_an_export_that_is_another_one_is_read_from_the_beginning(tmp_path: Path) -> None:
    """Its beginning is held against the digest of what was read: two exports are never mixed."""
    with pytest.raises(Unavailable):
        read(tmp_path, Body(lines(120_000), breaks=(2_000_000,)), reopens=0)
    changed = lines(120_000).replace(b'n5"', b'N5"')
    manifest, rows, _ = read(tmp_path, Body(changed))
    assert (manifest.received, rows[5]["name"], len(rows)) == (120_000, "N5", 120_000)
    short = Body(lines(120_000), breaks=(2_000_000,))

    def shrinks(headers: Mapping[str, str]) -> StreamedResponse:
        answer = short(headers)
        short.content = lines(10)
        return answer

    with pytest.raises(ValueError, match="has changed while it was read"):
        read(tmp_path / "b", shrinks)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":"x"}', 'id is "x", not int64'),
        (b"null", "a record must be a JSON object"),
        (b"not json", "a record must be a JSON object"),
        (b'{"id":1', "the record is not JSON"),
        (b'{"id":1}{"id":2}', "the record is not JSON"),
        (b'{"id":1},{"id":2}', "the record is not JSON"),
        (b'{"id":NaN}', "the record is not JSON"),
        (b'{"id":1,"name":"\xff"}', "name is"),
    ],
)
def test_a_line_that_is_no_record_is_a_dead_letter(tmp_path: Path, line: bytes, reason: str) -> None:
    """With the byte at which its piece begins, its place in it and its text; the others are kept."""
    content = b'{"id":1}\n\n' + line + b'\n{"id":2}'
    manifest, rows, [letter] = read(tmp_path, Body(content))
    assert ([row["id"] for row in rows], manifest.received) == ([1, 2], 3)
    assert (letter["position"], letter["index"]) == ({"offset": 0}, 1)
    assert letter["record"] == line.decode("utf-8", "backslashreplace")
    assert reason in letter["reason"]


def test_two_broken_lines_do_not_pass_for_records(tmp_path: Path) -> None:
    """Read together these lines would be two valid objects; neither is one by itself."""
    content = b'{"id":1},{"id":[2\n3]}\n{"id":4}\n'
    manifest, rows, letters = read(tmp_path, Body(content))
    assert ([row["id"] for row in rows], manifest.received, len(letters)) == ([4], 3, 2)


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (b'7,"a,b"', {"id": 7, "name": "a,b"}),
        (b'7,"say ""hi"""', {"id": 7, "name": 'say "hi"'}),
        (b'7,"two\nlines"', {"id": 7, "name": "two\nlines"}),
        (b"7,", {"id": 7, "name": None}),
        (b'7,""', {"id": 7, "name": ""}),
        ("7,é".encode(), {"id": 7, "name": "é"}),
        (b",x", None),
        (b"7.5,x", None),
        (b"x,y", None),
        (b"7", None),
        (b"7,x,y", None),
        (b"7,\xff", None),
    ],
)
def test_fields_of_csv_are_typed(tmp_path: Path, record: bytes, row: dict[str, Any] | None) -> None:
    """Quoting as in RFC 4180, empty is null; what does not fit is a dead letter with its text."""
    manifest, rows, letters = read(tmp_path, Body(b"id,name\n1,a\n" + record + b"\n2,b\n"), file=CSV)
    assert manifest.received == 3
    assert rows == [{"id": 1, "name": "a"}, *([row] if row else []), {"id": 2, "name": "b"}]
    assert [letter["record"].encode() for letter in letters] == ([] if row else [record.replace(b"\xff", b"\\xff")])


@pytest.mark.parametrize(
    ("evolution", "columns"), [("discard", ["id", "name"]), ("evolve", ["id", "name", "more"]), ("freeze", None)]
)
def test_unknown_columns_of_csv(tmp_path: Path, evolution: Evolution, columns: list[str] | None) -> None:
    """They stand in the header, so that freeze refuses the file; evolve makes them text."""
    body = Body(b"more,id\n007,1\n")
    if columns is None:
        with pytest.raises(ValueError, match="the schema has no more"):
            read(tmp_path, body, file=CSV, evolution=evolution)
        return
    manifest, rows, _ = read(tmp_path, body, file=CSV, evolution=evolution)
    assert list(manifest.schema) == columns
    assert rows == [{"id": 1, "name": None, **({"more": "007"} if evolution == "evolve" else {})}]


def test_a_schema_of_csv_is_text_and_of_lines_inferred(tmp_path: Path) -> None:
    """Nobody can see in a field whether 007 is a number."""
    manifest, rows, _ = read(
        tmp_path / "a", Body(b"\xef\xbb\xbfid;n\n007;1\n"), schema=None, file=CsvFile(delimiter=";")
    )
    assert (manifest.schema, rows) == ({"id": "string", "n": "string"}, [{"id": "007", "n": "1"}])
    manifest, rows, _ = read(tmp_path / "b", Body(b'{"id":7,"at":"2013-01-01"}\n'), schema=None)
    assert manifest.schema == {"id": "int64", "at": "date32[day]"}


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        (b"id,id\n1,2\n", {"file": CSV}, "the header has a name"),
        (b"name\nx\n", {"file": CSV}, "column id is required, but the file has only name"),
        (gzip.compress(lines(50_000))[:-9], {}, "ends in the middle"),
        (b"\x1f\x8bnot gzip", {}, "damaged"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, more: dict[str, Any], message: str) -> None:
    """The error says what is wrong with it."""
    with pytest.raises((ValueError, InvalidResponse), match=message):
        read(tmp_path, Body(content), **more)


@pytest.mark.parametrize(("content", "file"), [(b"", NDJSON), (b"\n\n", NDJSON), (b"id,name\n", CSV)])
def test_an_empty_export_keeps_its_schema(tmp_path: Path, content: bytes, file: FileFormat) -> None:
    """No records, one empty part."""
    manifest, rows, _ = read(tmp_path, Body(content), file=file)
    assert (manifest.received, rows, list(manifest.schema)) == (0, [], ["id", "name"])


def through(session: GatewaySession, server: ScriptedServer) -> OpenStream:
    """Asks a server for its export."""
    return lambda headers: session.call(Request("GET", f"{server.url}/export", headers), stream=True)


def test_an_export_comes_through_the_client(tmp_path: Path, server: ScriptedServer) -> None:
    """Over a real connection, compressed by the server on top."""
    content = lines(30_000)
    server.answers = [Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(content))]
    with GatewaySession(Gateway(server.url)) as session:
        manifest, rows, _ = read(tmp_path, through(session, server))
    assert (len(rows), manifest.calls.requests) == (30_000, 1)


def test_a_record_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that is never closed does not fill the memory with the rest of the file."""
    monkeypatch.setattr(cutting, "MAX_RECORD_BYTES", 5_000_000)
    with pytest.raises(Unreadable, match="no record ends within"):
        list(cut((b'"' + b"x" * 999_999 for _ in range(100)), quoted=True))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=9), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(1, 60),
    st.booleans(),
)
def test_pieces_hold_whole_records(fields: list[str], piece: int, network: int, packed: bool) -> None:
    """Whatever is quoted, however small the pieces and however it arrives: each record comes once and whole."""
    records = [b'"' + field.replace('"', '""').encode() + b'"' for field in fields]
    content = b"\n".join(records)
    stream = gzip.compress(content) if packed else content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "PIECE_BYTES", piece)
        arriving = (stream[at : at + network] for at in range(0, len(stream), network))
        found = list(cut(unpacked(arriving)[0], quoted=True))
        assert [record for each in found for record in each.records] == records
        for each in found:
            behind = [later for later in found if later.start.offset >= each.end.offset]
            assert list(cut([content], start=each.end, quoted=True)) == behind
            assert list(cut([content[each.end.offset :]], begin=each.end, start=each.end, quoted=True)) == behind
