"""A checkpoint that stays small, and the list of durable parts that it vouches for."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Collection as Collection_
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.client.streamed import StreamedResponse
from airgate.data.extract import Collection, extract
from airgate.data.progress import Progress
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.standing import CHECKPOINT_VERSION
from airgate.data.store import part_list
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import File, Manifest
from airgate.data.store.part_list import PartList, PartListLost, recall
from airgate.data.store.parts import PartWriter
from airgate.data.store.sink import Sink
from airgate.data.store.storage import Content, Folder
from airgate.pagination import OffsetPages
from airgate.policy.errors import NotFound
from tests.data.reads import FileCheckpoint, Texts, letters_of, local, table_of

SCHEMA = pa.schema([("id", pa.int64()), ("g", pa.string())])
SHA = "ab" * 32


class Kept:
    """A checkpoint in memory that knows how large it was."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.sizes: list[int] = []

    def load(self) -> dict[str, Any] | None:
        return self.state

    def save(self, state: dict[str, Any]) -> None:
        text = json.dumps(state)
        self.sizes.append(len(text))
        self.state = json.loads(text)

    def clear(self) -> None:
        self.state = None


class Weighed(Folder):
    """A folder that knows how many bytes were written for lists of parts."""

    listed: ClassVar[list[int]] = []

    def write(self, name: str, content: Content) -> None:
        if name.startswith("part-list"):
            self.listed.append(len(content))
        super().write(name, content)


def texts(count: int, bad_every: int = 0) -> list[bytes]:
    return [
        json.dumps({"id": "bad" if bad_every and n % bad_every == 0 else n, "g": "xy"[n % 2]}).encode()
        for n in range(count)
    ]


def collection(**layout: Any) -> Collection:
    return Collection("GET /n", OffsetPages(limit=10), SCHEMA, layout=Layout(**{"part_rows": 10, **layout}))


def grown(folder: Folder, counts: list[int]) -> Iterator[Manifest]:
    """A manifest that grows by so many parts, and a dead letter, at a time; the parts lie in the folder."""
    manifest = Manifest(path=folder.uri)
    for count in counts:
        for _ in range(count):
            name = f"part-{len(manifest.parts):05d}.parquet"
            folder.write(name, b"1234")
            manifest.parts.append(File(name=name, records=3, bytes=4, sha256=SHA))
        name = f"dead-letters-{len(manifest.dead_letters):05d}.jsonl"
        manifest.dead_letters.append(File(name=name, records=1, bytes=9, sha256=SHA))
        manifest.written += 3 * count
        manifest.dead_lettered += 1
        manifest.received += 3 * count + 1
        yield manifest


@pytest.mark.parametrize("counts", [[1], [10, 10, 10], [100], [1] * 70, [200, 1, 1, 200, 1]])
def test_what_was_noted_is_found_again(folder: Folder, counts: list[int]) -> None:
    """At each point, from what the checkpoint holds and the folder alone, on every file system; and it can go on."""
    listed = PartList(folder)
    for manifest in grown(folder, counts):
        noted = json.loads(json.dumps(listed.note(manifest)))
        assert len(json.dumps(noted)) < part_list.PIECE_BYTES + 600
    found, goes_on = recall(folder, noted)
    assert found == manifest
    again = json.loads(json.dumps(goes_on.note(found)))
    assert again == noted


def test_five_thousand_parts_make_a_small_checkpoint_and_few_bytes() -> None:
    """No checkpoint exceeds 8 KB, and twice the parts cost twice the bytes of bookkeeping, not four times."""
    costs = []
    for count in (2500, 5000):
        fs = fsspec.filesystem("memory")
        place = Weighed(fs, f"/many-{count}", f"memory://many-{count}")
        place.listed.clear()
        writer, listed, kept = PartWriter(place, SCHEMA, part_rows=1), PartList(place), Kept()
        row = pa.table([[1], ["x"]], schema=SCHEMA)
        for number in range(count):
            writer.add(row, position={"row": number})
            writer.flush()
            kept.save(listed.note(writer.manifest))
        kept.save(listed.note(writer.complete(), final=True))
        assert recall(place, kept.state or {})[0].parts == writer.manifest.parts
        costs.append(sum(kept.sizes) + sum(place.listed))
        assert max(kept.sizes) < 8 << 10
        assert sum(place.listed) < 256 * count
        writer.commit()
        assert not [name for name in place.sizes() if name.startswith("part-list")]
        fs.rm(place.path, recursive=True)
    assert costs[1] < 2.1 * costs[0]


def test_the_checkpoint_of_a_read_does_not_grow(tmp_path: Path) -> None:
    """Dead letters and partitions included: the last checkpoint is about as large as one after a few parts."""
    kept = Kept()
    collection_ = collection(partition_by=("g",))
    manifest = extract(collection_, Texts(texts(2000, bad_every=11)), local(tmp_path), kept)
    assert len(manifest.parts) > 200 > len(manifest.dead_letters) > 90
    assert max(kept.sizes) < 8 << 10
    assert max(kept.sizes[-20:]) < 1.2 * max(kept.sizes[:30])


def broken_off(folder: Folder, kept: Any, **layout: Any) -> Texts:
    """A read of 100 pages that fails at the 81st; gives the service, which can be asked again."""
    service = Texts(texts(1000, bad_every=7), broken={800})
    with pytest.raises(Exception, match="503"):
        extract(collection(**layout), service, folder, kept)
    service.asked.clear()
    return service


def test_a_read_with_a_list_resumes(folder: Folder) -> None:
    """On every file system, at the position behind the last part, and no list is left in the end."""
    kept = Kept()
    service = broken_off(folder, kept)
    assert kept.state is not None
    assert kept.state["pieces"] == 2
    manifest = extract(collection(), service, folder, kept)
    assert service.asked[0] == 800
    assert table_of(manifest, folder).column("id").to_pylist() == [n for n in range(1000) if n % 7]
    assert len(letters_of(manifest, folder)) == manifest.dead_lettered == 143
    assert set(folder.sizes()) == {"manifest.json", *(file.name for file in manifest.parts + manifest.dead_letters)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: next(path.glob("part-list-00001-*")).unlink(), r"part-list-00001-\w+.json is missing"),
        (
            lambda path: next(path.glob("part-list-00000-*")).write_text("{}"),
            r"part-list-00000-\w+.json has been",
        ),
        (lambda path: (path / "part-00003.parquet").unlink(), r"part-00003.parquet is missing"),
        (lambda path: (path / "part-00003.parquet").write_bytes(b"x"), r"part-00003.parquet has 1 bytes, not \d+"),
    ],
)
def test_a_lost_list_or_part_starts_afresh(
    tmp_path: Path, damage: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a line that names the file; never a manifest of files that are not there."""
    place, kept = local(tmp_path), Kept()
    service = broken_off(place, kept)
    damage(tmp_path)
    with pytest.raises(PartListLost, match=message):
        recall(place, kept.state or {})
    with caplog.at_level(logging.WARNING):
        manifest = extract(collection(), service, place, kept)
    assert service.asked[0] == 0
    assert "is lost (" in caplog.text
    assert "starting from the beginning" in caplog.text
    assert table_of(manifest, place).column("id").to_pylist() == [n for n in range(1000) if n % 7]


def earlier_release(kept: Kept, manifest: Manifest, schema: pa.Schema) -> dict[str, Any]:
    """The checkpoint that a release before this one would have stored."""
    assert kept.state is not None
    return {
        "version": 2,
        "fingerprint": kept.state["fingerprint"],
        "position": kept.state["position"],
        "manifest": manifest.to_json(),
        "schema": base64.b64encode(schema.serialize()).decode(),
    }


def test_a_run_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    """Its checkpoint holds the whole manifest: it is taken over, and the next one is small."""
    place, kept = local(tmp_path), Kept()
    service = broken_off(place, kept)
    kept.state = earlier_release(kept, recall(place, kept.state or {})[0], SCHEMA)
    for path in tmp_path.glob("part-list-*"):
        path.unlink()
    kept.sizes.clear()
    manifest = extract(collection(), service, place, kept)
    assert service.asked[0] == 800
    assert max(kept.sizes) < 8 << 10
    assert table_of(manifest, place).column("id").to_pylist() == [n for n in range(1000) if n % 7]


def test_a_run_of_a_later_release_starts_afresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a line that says why."""
    place, kept = local(tmp_path), Kept()
    service = broken_off(place, kept)
    kept.state = {**(kept.state or {}), "version": CHECKPOINT_VERSION + 1}
    with caplog.at_level(logging.WARNING):
        manifest = extract(collection(), service, place, kept)
    assert f"has version {CHECKPOINT_VERSION + 1}, which this release does not read" in caplog.text
    assert service.asked[0] == 0
    assert manifest.received == 1000


class Completed(FileCheckpoint):
    """Outlives the completion, as Airflow's does."""

    def clear(self) -> None:
        """Nothing is forgotten."""


class Killed(BaseException):
    """Stands for a kill where there is no process to kill: the memory of one is its file system."""


class Mortal:
    """Counts the steps of a read, and ends it at one of them."""

    def __init__(self, last: int) -> None:
        self.last, self.steps = last, 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps == self.last:
            raise Killed


class MortalFolder(Folder):
    """A folder whose every write, before and after it, is a step."""

    step: ClassVar[Mortal]

    def write(self, name: str, content: Content) -> None:
        self.step()
        super().write(name, content)
        self.step()

    def create(self, name: str) -> Sink:
        self.step()
        return super().create(name)

    def remove(self, names: re.Pattern[str], *, but: Collection_[str]) -> None:
        self.step()
        super().remove(names, but=but)
        self.step()


class MortalCheckpoint(Completed):
    def __init__(self, path: Path, step: Mortal) -> None:
        super().__init__(path)
        self.step = step

    def save(self, state: dict[str, Any]) -> None:
        self.step()
        super().save(state)
        self.step()


@pytest.mark.parametrize("folder", ["file", "memory"], indirect=True)
@pytest.mark.parametrize("partition_by", [(), ("g",)])
def test_whichever_step_is_the_last_the_next_try_completes(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partition_by: tuple[str, ...]
) -> None:
    """Nothing is lost, doubled, or left behind, and one part at the most is asked for again."""
    monkeypatch.setattr(part_list, "PIECE_BYTES", 400)
    read, wanted = collection(part_rows=20, partition_by=partition_by), [n for n in range(100) if n % 7]
    last, died = 0, True
    while died:
        last += 1
        MortalFolder.step = step = Mortal(last)
        place = Folder(folder.fs, f"{folder.path}/{last}", f"{folder.uri}/{last}")
        path, service = tmp_path / f"c{last}", Texts(texts(100, bad_every=7))
        try:
            extract(read, service, MortalFolder(place.fs, place.path, place.uri), MortalCheckpoint(path, step))
            died = False
        except Killed:
            asked, service.asked = set(service.asked), []
            manifest = extract(read, service, place, Completed(path))
            assert len(asked & set(service.asked)) <= 3
            assert sorted(table_of(manifest, place).column("id").to_pylist()) == wanted
            assert len(letters_of(manifest, place)) == 15
            named = {file.name for file in manifest.parts + manifest.dead_letters}
            assert set(place.sizes()) == {"manifest.json", *named}
    assert last > 25


@pytest.mark.parametrize("saves", [1, 5, 9])
def test_an_export_resumes_behind_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """Its positions stand in the same checkpoint."""
    monkeypatch.setattr(part_list, "PIECE_BYTES", 400)
    export = Export("GET /export", SCHEMA, layout=Layout(part_rows=100))
    body = b"\n".join(b'{"id":%d,"g":"%s"}' % (n, b"x" * 20_000) for n in range(1000))

    def open_stream(headers: Mapping[str, str]) -> StreamedResponse:
        return StreamedResponse.of(Response(200, headers_of(), body, "GET", "http://gw/export"))

    place, step = local(tmp_path / "out"), Mortal(2 * saves)
    with pytest.raises(Killed):
        extract_export(export, open_stream, place, MortalCheckpoint(tmp_path / "c", step))
    before = (Completed(tmp_path / "c").load() or {})["manifest"]["received"]
    manifest = extract_export(export, open_stream, place, Completed(tmp_path / "c"))
    assert 0 < before < 1000
    assert table_of(manifest, place).column("id").to_pylist() == list(range(1000))
    assert not [name for name in place.sizes() if name.startswith("part-list")]


def test_a_read_that_is_complete_asks_for_nothing(folder: Folder, tmp_path: Path) -> None:
    """The list is gone by then; the manifest that the checkpoint names by its checksum takes its place."""
    checkpoint = Completed(tmp_path / "c")
    manifest = extract(collection(), Texts(texts(1000)), folder, checkpoint)
    state = checkpoint.load()
    assert state is not None
    assert state["pieces"] > 2
    assert state["position"] is None
    service = Texts(texts(1000))
    assert extract(collection(), service, folder, checkpoint) == manifest
    assert service.asked == []


def test_a_read_that_only_lacks_its_manifest_asks_for_nothing(folder: Folder, tmp_path: Path) -> None:
    """An older manifest that lies there is not taken for it."""
    folder.write("manifest.json", Manifest(path="older").content)

    class Dies(Folder):
        def write(self, name: str, content: Content) -> None:
            if name == "manifest.json":
                raise Killed
            super().write(name, content)

    checkpoint, service = Completed(tmp_path / "c"), Texts(texts(1000, bad_every=7))
    with pytest.raises(Killed):
        extract(collection(), service, Dies(folder.fs, folder.path, folder.uri), checkpoint)
    service.asked.clear()
    manifest = extract(collection(), service, folder, checkpoint)
    assert service.asked == []
    assert (manifest.received, manifest.dead_lettered) == (1000, 143)
    assert Manifest.from_json(json.loads(folder.read("manifest.json"))) == manifest


def test_progress_counts_from_what_is_durable(tmp_path: Path) -> None:
    """The first line of a retry stands on what an earlier try made durable, before this one has written anything."""
    place, kept = local(tmp_path), Kept()
    service = broken_off(place, kept)
    lines: list[str] = []
    progress = Progress("GET /n", every=0, say=lambda event, **figures: lines.append(event))
    extract(collection(), service, place, kept, [progress])
    assert lines[0].startswith("GET /n: 810 of 1,000 records, 81 % done")


def test_an_abandoned_position_is_forgotten_before_its_parts_are_replaced(tmp_path: Path) -> None:
    """A read that had to start over is killed behind its first part; then the old position works again.

    The old parts are gone under the same names, so the old position must be gone as well.
    """
    place, kept = local(tmp_path), Kept()
    service = broken_off(place, kept, part_rows=100)

    def refuses_then_dies(asked: Any) -> Any:
        if asked.params["offset"] == 800:
            raise NotFound("answered 404", status=404)
        if asked.params["offset"] == 150:
            raise Killed
        return service(asked)

    changed = collection(part_rows=100)
    with pytest.raises(Killed):
        extract(changed, refuses_then_dies, place, kept)
    service.texts = texts(900, bad_every=5)
    service.asked.clear()
    manifest = extract(changed, service, place, kept)
    assert service.asked[0] < 800
    assert manifest.received == 900
    for part in manifest.parts:
        assert hashlib.sha256(place.read(part.name)).hexdigest() == part.sha256
