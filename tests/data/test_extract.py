"""Reading a collection to its end, whatever happens on the way."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection, extract
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages
from airgate.policy.errors import GatewayError, NotFound, Unauthorized, Unavailable

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False)])


class FileCheckpoint:
    """Keeps the checkpoint in a file, as Airflow keeps it in its database: it outlives the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.saves = 0

    def load(self) -> dict[str, Any] | None:
        return json.loads(self.path.read_text()) if self.path.exists() else None

    def save(self, state: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(state))
        temporary.replace(self.path)
        self.saves += 1

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


class Service:
    """A collection of numbers, every ``bad_every``-th of them damaged."""

    def __init__(self, total: int, *, bad_every: int = 0, fails_at: int | None = None, pause: float = 0.0) -> None:
        self.total, self.bad_every, self.fails_at, self.pause = total, bad_every, fails_at, pause
        self.asked: list[int] = []

    def __call__(self, asked: Any) -> Response:
        offset, limit = asked.params["offset"], asked.params["limit"]
        self.asked.append(offset)
        if offset == self.fails_at:
            raise Unavailable("answered 503", status=503)
        time.sleep(self.pause)
        records = [
            {"id": "bad" if self.bad_every and number % self.bad_every == 0 else number}
            for number in range(offset, min(offset + limit, self.total))
        ]
        body = msgspec.json.encode({"data": records, "total": self.total})
        return Response(200, headers_of(), body, "GET", "http://gw/n", attempts=2, waited=0.5, faults=("503",))


def folder(path: Path) -> Folder:
    return Folder(fsspec.filesystem("file"), str(path / "out"), f"file://{path}/out")


def collection(**kwargs: Any) -> Collection:
    return Collection("GET /n", OffsetPages(limit=10), SCHEMA, **{"part_rows": 25, **kwargs})


def rows(manifest: Manifest, place: Folder) -> list[int]:
    tables = [pq.read_table(io.BytesIO(place.read(part.name))) for part in manifest.parts]
    return pa.concat_tables(tables).column("id").to_pylist()


def test_a_collection_becomes_parts_dead_letters_and_a_manifest(tmp_path: Path) -> None:
    """Every record is in a part or dead-lettered with page, position, reason and its raw text."""
    place = folder(tmp_path)
    checkpoint = FileCheckpoint(tmp_path / "c")
    manifest = extract(collection(), Service(100, bad_every=30), place, checkpoint)
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (100, 96, 4)
    assert rows(manifest, place) == [number for number in range(100) if number % 30]
    assert [part.name for part in manifest.parts] == [f"part-{n:05d}.parquet" for n in range(4)]
    letters = [json.loads(line) for file in manifest.dead_letters for line in place.read(file.name).splitlines()]
    assert [(letter["page"], letter["index"], letter["position"]) for letter in letters] == [
        (0, 0, {"offset": 0}),
        (3, 0, {"offset": 30}),
        (6, 0, {"offset": 60}),
        (9, 0, {"offset": 90}),
    ]
    assert letters[0]["record"] == '{"id":"bad"}'
    assert letters[0]["reason"] == 'id is "bad", not int64'
    assert Manifest.from_json(json.loads(place.read("manifest.json"))) == manifest
    assert checkpoint.load() is None


def test_the_manifest_tells_what_it_took(tmp_path: Path) -> None:
    """Requests, repetitions, waits and faults are added up over all pages."""
    calls = extract(collection(), Service(50), folder(tmp_path), FileCheckpoint(tmp_path / "c")).calls
    assert (calls.pages, calls.requests, calls.retries, calls.waited, calls.faults) == (5, 10, 5, 2.5, {"503": 5})


def test_an_empty_collection_keeps_its_schema(tmp_path: Path) -> None:
    """Whoever reads the data set gets typed columns."""
    place = folder(tmp_path)
    manifest = extract(collection(), Service(0), place, FileCheckpoint(tmp_path / "c"))
    assert (manifest.received, rows(manifest, place)) == (0, [])
    assert pq.read_schema(io.BytesIO(place.read("part-00000.parquet"))) == SCHEMA


def test_a_failed_read_goes_on_behind_its_last_part(tmp_path: Path) -> None:
    """The retry asks for no page again that is durable, and the counts span both tries."""
    place, checkpoint = folder(tmp_path), FileCheckpoint(tmp_path / "c")
    first = Service(100, bad_every=7, fails_at=70)
    with pytest.raises(Unavailable):
        extract(collection(), first, place, checkpoint)
    second = Service(100, bad_every=7)
    manifest = extract(collection(), second, place, checkpoint)
    assert second.asked[0] == 70
    assert (manifest.received, manifest.calls.pages) == (100, 10)
    assert rows(manifest, place) == [number for number in range(100) if number % 7]


def test_an_expired_position_starts_from_the_beginning(tmp_path: Path) -> None:
    """A cursor that the service no longer knows must not wedge the task for ever; nothing is doubled."""
    place, checkpoint = folder(tmp_path), FileCheckpoint(tmp_path / "c")
    with pytest.raises(Unavailable):
        extract(collection(), Service(100, fails_at=70), place, checkpoint)
    service = Service(45)
    asked = []

    def forgetful(params: Any) -> Response:
        asked.append(params.params["offset"])
        if params.params["offset"] == 70:
            raise NotFound("answered 410 Gone", status=410)
        return service(params)

    manifest = extract(collection(), forgetful, place, checkpoint)
    assert asked == [70, 0, 10, 20, 30, 40]
    assert rows(manifest, place) == list(range(45))


def test_a_refusal_that_has_nothing_to_do_with_the_position_stays_one(tmp_path: Path) -> None:
    """A first read that is refused fails, and so does a resumed one whose credentials are refused."""

    def refuse(error: GatewayError) -> Any:
        def fetch(params: Any) -> Response:
            raise error

        return fetch

    place, checkpoint = folder(tmp_path), FileCheckpoint(tmp_path / "c")
    with pytest.raises(NotFound):
        extract(collection(), refuse(NotFound("gone")), place, checkpoint)
    with pytest.raises(Unavailable):
        extract(collection(), Service(100, fails_at=70), place, checkpoint)
    with pytest.raises(Unauthorized):
        extract(collection(), refuse(Unauthorized("expired")), place, checkpoint)
    assert checkpoint.load() is not None


def test_a_try_that_was_given_up_does_not_complete(tmp_path: Path) -> None:
    """Its store is out of reach: it fails before it writes a manifest or removes what its successor made."""

    class OutOfReach(FileCheckpoint):
        def save(self, state: dict[str, Any]) -> None:
            raise ConnectionError("the supervisor is gone")

    place = folder(tmp_path)
    successor = extract(collection(part_rows=10), Service(60), place, FileCheckpoint(tmp_path / "c"))
    with pytest.raises(ConnectionError):
        extract(collection(part_rows=1000), Service(60), place, OutOfReach(tmp_path / "d"))
    assert Manifest.from_json(json.loads(place.read("manifest.json"))) == successor
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 6


@pytest.mark.parametrize("change", [{"salt": "other"}, {"records": ""}])
def test_a_checkpoint_of_another_read_is_not_used(tmp_path: Path, change: dict[str, str]) -> None:
    """Changed parameters or code start from the beginning instead of mixing two reads."""
    place, checkpoint = folder(tmp_path), FileCheckpoint(tmp_path / "c")
    with pytest.raises(Unavailable):
        extract(collection(**change), Service(100, fails_at=70) if "salt" in change else bare, place, checkpoint)
    service = Service(40)
    manifest = extract(collection(), service, place, checkpoint)
    assert service.asked[0] == 0
    assert rows(manifest, place) == list(range(40))


def bare(params: Any) -> Response:
    """The same collection as a bare list; fails at 70."""
    answer = Service(100, fails_at=70)(params)
    return Response(200, answer.headers, msgspec.json.encode(answer.json()["data"]), "GET", "u")


def test_leftovers_of_an_abandoned_try_are_removed(tmp_path: Path) -> None:
    """The folder holds what the manifest lists, and what is not ours is left alone."""
    place = folder(tmp_path)
    extract(collection(part_rows=10), Service(100), place, FileCheckpoint(tmp_path / "c"))
    (tmp_path / "out" / ".part-00003.parquet.0123456789abcdef").write_bytes(b"half")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    manifest = extract(collection(), Service(30), place, FileCheckpoint(tmp_path / "c"))
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "manifest.json",
        "notes.txt",
        *(part.name for part in manifest.parts),
    }


def test_a_read_without_an_end_is_stopped(tmp_path: Path) -> None:
    """max_pages bounds a service that always has one more page."""
    with pytest.raises(ValueError, match="more than 3 pages"):
        extract(collection(max_pages=3), Service(100), folder(tmp_path), FileCheckpoint(tmp_path / "c"))


def test_the_same_data_makes_the_same_files(tmp_path: Path) -> None:
    """Names and content are deterministic, so that a repeated load can be recognised."""
    one = extract(collection(), Service(60), folder(tmp_path / "a"), FileCheckpoint(tmp_path / "c"))
    two = extract(collection(), Service(60), folder(tmp_path / "b"), FileCheckpoint(tmp_path / "c"))
    assert one.parts == two.parts


def test_any_fsspec_file_system_will_do() -> None:
    """The in-memory file system stands for the object stores: no rename, whole puts."""
    fs = fsspec.filesystem("memory")
    place = Folder(fs, "/bucket/out", "memory://bucket/out")

    class Nowhere:
        def load(self) -> None: ...
        def save(self, state: dict[str, Any]) -> None: ...
        def clear(self) -> None: ...

    manifest = extract(collection(), Service(60), place, Nowhere())
    assert rows(manifest, place) == list(range(60))


def _read_slowly(path: Path) -> None:
    extract(collection(), Service(400, bad_every=9, pause=0.01), folder(path), FileCheckpoint(path / "c"))


@pytest.mark.faults
@pytest.mark.parametrize("delay", [0.02, 0.06, 0.13, 0.21, 0.3])
def test_a_killed_process_loses_nothing(tmp_path: Path, delay: float) -> None:
    """Kill -9 at some moment of the read: the next try resumes, and the data set is the one of an undisturbed read."""
    process = multiprocessing.get_context("fork").Process(target=_read_slowly, args=(tmp_path,))
    process.start()
    while not (tmp_path / "out").exists():
        time.sleep(0.005)
    time.sleep(delay)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    service = Service(400, bad_every=9)
    place = folder(tmp_path)
    manifest = extract(collection(), service, place, FileCheckpoint(tmp_path / "c"))
    undisturbed = extract(
        collection(), Service(400, bad_every=9), folder(tmp_path / "other"), FileCheckpoint(tmp_path / "d")
    )
    assert manifest.parts == undisturbed.parts
    assert manifest.dead_letters == undisturbed.dead_letters
    assert manifest.received == 400
    assert len(service.asked) < 40


_IN_LITTLE_MEMORY = """
import json, resource, sys
from pathlib import Path
import fsspec, msgspec, pyarrow.json
from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection, extract
from airgate.data.shape.schema import arrow_schema
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages

path, total, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def peak():  # not ru_maxrss, which begins with the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

before = peak()
resource.setrlimit(resource.RLIMIT_DATA, (limit << 20, limit << 20))
record = msgspec.json.encode({"id": 123456789, "n": 1.25, "s": "some text of a record", "at": "2013-01-01T00:00:00Z"})
page = b",".join([record] * 1999)

def fetch(asked):
    offset = asked.params["offset"]
    first = b'{"id":%d}' % offset if offset else b'"bad"'
    body = b'{"total":%d,"data":[%s,%s]}' % (total, first, page)
    return Response(200, headers_of(), body, "GET", "http://gw/n")

class Kept:
    def load(self): return None
    def save(self, state): (path / "checkpoint").write_text(json.dumps(state))
    def clear(self): (path / "checkpoint").unlink()

schema = arrow_schema({"properties": {
    "id": {"type": "integer"}, "n": {"type": "number"}, "s": {"type": "string"},
    "at": {"type": "string", "format": "date-time"}}})
folder = Folder(fsspec.filesystem("file"), str(path / "out"), f"file://{path}/out")
manifest = extract(Collection("GET /n", OffsetPages(limit=2000), schema), fetch, folder, Kept())
print(json.dumps({"written": manifest.written, "dead": manifest.dead_lettered, "over_imports": peak() - before}))
"""


def test_two_million_records_pass_through_little_memory(tmp_path: Path) -> None:
    """A process that may have 256 MB of data reads them all, and needs no more than for a twentieth of them."""
    used = []
    for total in (100_000, 2_000_000):
        command = [sys.executable, "-c", _IN_LITTLE_MEMORY, str(tmp_path), str(total), "256"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["written"] + said["dead"] == total
        assert said["dead"] == 1
        used.append(said["over_imports"])
    assert max(used) <= 64
    assert used[1] <= used[0] + 16


def test_the_limit_of_memory_is_one(tmp_path: Path) -> None:
    """Under a limit that imports alone exceed the same process fails: the test above can."""
    command = [sys.executable, "-c", _IN_LITTLE_MEMORY, str(tmp_path), "100000", "8"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).returncode != 0
