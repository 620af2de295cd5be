"""Dead letters are read back, masked, replayed once and deleted in time."""

from __future__ import annotations

import dataclasses
import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import airgate.data.store.replay as replay_module
from airgate.data.shape.decode import RecordDecoder
from airgate.data.store.dead_letters import kind_of, open_dead_letters, read_manifest, redact_letter, redact_record
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import DeadLetter, PartWriter
from airgate.data.store.replay import NothingFits, replay
from airgate.data.store.retention import find_expired, parse_age, purge
from airgate.data.store.sink import Sink
from airgate.data.store.storage import Content, Folder

STRICT = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("size", pa.int64())])
MENDED = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("size", pa.float64())])

PAGES = (
    ('{"id":0,"size":1}', '{"id":1,"size":1.5}', '{"id":2,"size":"big"}'),
    ('{"id":3}', '{"size":4}'),
    ('{"id":5,"size":5.25}', '{"id":6,"size":6.5, "size":7}'),
)
"""Three fit; with sizes as numbers two more do."""


def place(path: Path | str, kind: str = "file") -> Folder:
    return Folder(fsspec.filesystem(kind), str(path), f"{kind}://{path}")


def fill(
    folder: Folder, pages: Sequence[Sequence[str]] = PAGES, *, part_rows: int = 2, commit: bool = True
) -> Manifest:
    """Write a data set as a read does."""
    writer, decoder = PartWriter(folder, STRICT, part_rows=part_rows), RecordDecoder(STRICT)
    for number, page in enumerate(pages):
        table, misfits = decoder.decode([msgspec.Raw(record.encode()) for record in page])
        writer.add(table, misfits, page=number, position={"page": number})
        if writer.due or not commit:
            writer.flush()
    return writer.commit() if commit else writer.manifest


def rows(folder: Folder, manifest: Manifest) -> list[dict[str, Any]]:
    tables = [pq.read_table(io.BytesIO(folder.read(part.name))) for part in manifest.parts]
    return pa.concat_tables(tables).to_pylist()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_dead_letters_are_read_back_in_order(tmp_path: Path, kind: str) -> None:
    """Over several files, each with page, position, index, reason and the record to the byte."""
    folder = place(tmp_path / "set", kind)
    manifest = fill(folder)
    letters = open_dead_letters(folder)
    assert len(letters.files) > 1
    found = [(letter.page, letter.index, letter.position, letter.record) for letter in letters]
    assert found == [
        (page, index, {"page": page}, PAGES[page][index]) for page, index in ((0, 1), (0, 2), (1, 1), (2, 0), (2, 1))
    ]
    assert manifest.dead_lettered == 5
    assert [letter.reason for letter in letters][:2] == ["size is 1.5, not int64", 'size is "big", not int64']


def test_a_data_set_that_is_not_complete_shows_what_is_durable(tmp_path: Path) -> None:
    """A failed task leaves no manifest; its dead letters are most wanted then."""
    folder = place(tmp_path)
    fill(folder, commit=False)
    letters = open_dead_letters(folder)
    assert (letters.manifest, len(list(letters))) == (None, 5)


def test_what_is_no_data_set_says_so(tmp_path: Path) -> None:
    """An empty folder, one that is not there, a broken manifest, a file that is missing or has changed."""
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="holds no data set"):
            open_dead_letters(place(path))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON"):
        open_dead_letters(place(tmp_path))
    file = tmp_path / fill(place(tmp_path)).dead_letters[0].name
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="has run again since"):
        list(open_dead_letters(place(tmp_path)))
    file.unlink()
    with pytest.raises(ValueError, match="listed by the manifest and missing"):
        open_dead_letters(place(tmp_path))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ('distance is "n/a", not int64', "distance is …, not int64"),
        ("a is 1.5, not int64; b is null but required", "a is …, not int64; b is null but required"),
        ("a is 1, not string; b is [2,\n3], not int64", "a is …, not string; b is …, not int64"),
        ("id is missing but required; b is 1, not string", "id is missing but required; b is …, not string"),
        ("a record must be a JSON object", "a record must be a JSON object"),
    ],
)
def test_reasons_are_counted_without_their_values(reason: str, kind: str) -> None:
    """Else every record would have a reason of its own."""
    assert kind_of(reason) == kind


def test_redaction_leaves_the_evidence() -> None:
    """Named fields go, from the record and from the reason that quotes them; everything else stays to the byte."""
    record = '{"id":"x-7",  "customer":{"email":"ann@example.com"},"note":null}'
    assert redact_record(record, ["customer.email", "note"]) == record.replace("ann@example.com", "***")
    letter = DeadLetter('customer is {"email":"ann@exam, not string', 0, {}, 1, record)
    assert redact_letter(letter, ["customer.email"]) == DeadLetter(
        'customer is {"email":"***, not string', 0, {}, 1, record.replace("ann@example.com", "***")
    )
    assert redact_letter(letter, ["absent"]) is letter


def test_a_replay_writes_what_fits_now(tmp_path: Path) -> None:
    """As a data set with a balance of its own, misfits with their old place; the source's files stay as they are."""
    folder = place(tmp_path)
    fill(folder)
    before = content(tmp_path)
    replayed = replay(folder, MENDED)
    manifest = replayed.manifest
    assert manifest is not None
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (5, 2, 3)
    target = dataclasses.replace(folder, path=manifest.path.removeprefix("file://"), uri=manifest.path)
    assert read_manifest(target) == manifest
    assert rows(target, manifest) == [{"id": 1, "size": 1.5}, {"id": 5, "size": 5.25}]
    left = [(letter.page, letter.index, letter.record) for letter in open_dead_letters(target)]
    assert left == [(page, index, PAGES[page][index]) for page, index in ((0, 2), (1, 1), (2, 1))]
    after = content(tmp_path)
    assert after.pop("dead-letters-replayed.json")
    assert after == before


def test_a_second_replay_does_nothing(tmp_path: Path) -> None:
    """Its records would be loaded twice; what did not fit is replayed from where it is now."""
    folder = place(tmp_path / "set")
    fill(folder)
    first = replay(folder, MENDED, place(tmp_path / "more")).manifest
    assert first is not None
    again = replay(folder, MENDED, place(tmp_path / "third"))
    assert (again.manifest, [earlier.into for earlier in again.earlier]) == (None, [first.path])
    assert not (tmp_path / "third").exists()
    loose = pa.schema([pa.field("id", pa.int64()), pa.field("size", pa.int64())])
    rest = replay(place(tmp_path / "more"), loose).manifest
    assert rest is not None
    assert (rest.received, rest.written) == (3, 1)


def test_a_task_that_ran_again_has_new_dead_letters(tmp_path: Path) -> None:
    """Same names, other content: they have not been replayed yet."""
    folder = place(tmp_path)
    fill(folder)
    one = replay(folder, MENDED).manifest
    fill(folder, [['{"id":9,"size":9.5}']])
    two = replay(folder, MENDED).manifest
    assert one is not None
    assert two is not None
    assert (two.written, two.path == one.path) == (1, False)
    assert replay(folder, MENDED).manifest is None


def test_a_schema_that_helps_nobody_writes_nothing(tmp_path: Path) -> None:
    """The reasons are counted, and a better schema can still be tried."""
    folder = place(tmp_path)
    fill(folder)
    with pytest.raises(NothingFits, match=r"none of 5 records fits.*\n  3 x size is …, not int64\n  1 x id is missing"):
        replay(folder, STRICT)
    assert not list(tmp_path.glob("*replay*"))


def test_a_replay_needs_a_place_of_its_own(tmp_path: Path) -> None:
    """Neither the data set itself nor any folder with something in it; nor is an unfinished data set replayed."""
    folder = place(tmp_path / "set")
    fill(folder)
    for into in (folder, place(tmp_path)):
        with pytest.raises(ValueError, match="is not empty"):
            replay(folder, MENDED, into)
    fill(place(tmp_path / "unfinished"), commit=False)
    with pytest.raises(ValueError, match="is not complete"):
        replay(place(tmp_path / "unfinished"), MENDED)


def test_bytes_that_were_no_text_do_not_become_some(tmp_path: Path) -> None:
    """A record that was not UTF-8 is kept with escapes; a replay must not take those for what the service sent."""
    folder = place(tmp_path)
    schema = pa.schema([pa.field("name", pa.string())])
    writer, decoder = PartWriter(folder, schema), RecordDecoder(schema)
    table, misfits = decoder.decode([msgspec.Raw(b'{"name":"caf\xe9"}')])
    writer.add(table, misfits, position={})
    writer.commit()
    with pytest.raises(NothingFits):
        replay(folder, schema)


STEPS = ("journal", "dead letters", "part", "manifest", "journal again")


class Killed(Folder):
    """A folder in which the n-th write of the process is its last."""

    left = 0

    def create(self, name: str) -> Sink:
        if name.startswith("part-"):
            self._count()
        return super().create(name)

    def write(self, name: str, content: Content) -> None:
        self._count()
        super().write(name, content)

    def _count(self) -> None:
        if Killed.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Killed.left -= 1


def _replay_until(path: Path, writes: int) -> None:
    Killed.left = writes
    folder = Killed(fsspec.filesystem("file"), str(path), f"file://{path}")
    replay(folder, MENDED)


@pytest.mark.faults
@pytest.mark.parametrize("writes", range(len(STEPS)), ids=STEPS)
def test_a_killed_replay_is_taken_up(tmp_path: Path, writes: int) -> None:
    """Kill -9 before any of its writes: the next one ends with the same single data set, and a third does nothing."""
    folder = place(tmp_path)
    fill(folder)
    process = multiprocessing.get_context("fork").Process(target=_replay_until, args=(tmp_path, writes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    manifest = replay(folder, MENDED).manifest
    assert manifest is not None
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (5, 2, 3)
    assert len(list(tmp_path.glob("replay-*"))) == 1
    assert replay(folder, MENDED).manifest is None


def test_an_interrupted_replay_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another one the same records could be loaded from both."""
    folder = place(tmp_path / "set")
    fill(folder)

    def fail(*_: object) -> Manifest:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "_write", fail)
        with pytest.raises(OSError, match="disk full"):
            replay(folder, MENDED, place(tmp_path / "one"))
    with pytest.raises(ValueError, match="was interrupted; complete it first, with --into"):
        replay(folder, MENDED, place(tmp_path / "two"))
    assert replay(folder, MENDED, place(tmp_path / "one")).manifest is not None


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        (" 2w", timedelta(weeks=2)),
        ("5m", timedelta(minutes=5)),
    ],
)
def test_ages(text: str, age: timedelta) -> None:
    """As a person writes them."""
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y"])
def test_what_is_no_age_is_refused(text: str) -> None:
    """A guess could delete what was to be kept."""
    with pytest.raises(ValueError, match="such as 30d"):
        parse_age(text)


def test_only_old_dead_letters_are_purged(tmp_path: Path) -> None:
    """In the folder and below; parts, manifests and young dead letters stay, and what is gone is told."""
    now = datetime.now(UTC)
    old, young = place(tmp_path / "d" / "old"), place(tmp_path / "d" / "young")
    for folder in (old, young):
        fill(folder)
    long_ago = time.time() - 31 * 86400
    for file in (tmp_path / "d" / "old").iterdir():
        os.utime(file, (long_ago, long_ago))
    (tmp_path / "d" / "old" / "dead-letters-of-mine.txt").write_text("mine")
    expired = find_expired(place(tmp_path), timedelta(days=30), now)
    assert {one.folder.uri for one in expired} == {f"file://{tmp_path}/d/old"}
    assert purge(expired, now) == 5
    assert not find_expired(place(tmp_path), timedelta(days=30), now)
    left = open_dead_letters(old)
    assert (left.files, [(purged.records, purged.at) for purged in left.purged]) == (
        (),
        [(file.records, now) for file in read_manifest(old).dead_letters],
    )
    assert (tmp_path / "d" / "old" / "dead-letters-of-mine.txt").exists()
    assert len(list(open_dead_letters(young))) == 5
    assert replay(old, MENDED).manifest is None


def test_a_purge_on_an_object_store(tmp_path: Path) -> None:
    """Ages come from the store; the in-memory one stands for them."""
    folder = place(f"/{tmp_path.name}/set", "memory")
    fill(folder)
    root, later = place(f"/{tmp_path.name}", "memory"), datetime.now(UTC) + timedelta(days=31)
    assert not find_expired(root, timedelta(days=30), datetime.now(UTC))
    expired = find_expired(root, timedelta(days=30), later)
    assert purge(expired, later) == 5
    assert not open_dead_letters(folder).files


def test_a_purge_of_nowhere_is_an_error(tmp_path: Path) -> None:
    """A typing mistake must not look like a clean folder."""
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_expired(place(tmp_path / "nowhere"), timedelta(days=1), datetime.now(UTC))


def test_the_replay_journal_is_readable(tmp_path: Path) -> None:
    """Plain JSON: which files, by content, and where their records are."""
    folder = place(tmp_path)
    manifest, replayed = fill(folder), replay(folder, MENDED)
    assert replayed.manifest is not None
    assert json.loads(folder.read("dead-letters-replayed.json")) == [
        {"files": [file.sha256 for file in manifest.dead_letters], "into": replayed.manifest.path, "complete": True}
    ]
