"""Parts whose row groups are written as they fill: little memory, and nothing to be seen of one that is given up."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.asyn import sync

from airgate.data.extract import Collection, extract
from airgate.data.store import growing
from airgate.data.store.layout import Layout
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages
from tests.data.reads import FileCheckpoint, Texts, letters_of, local, table_of
from tests.s3_server import BUCKET

SCHEMA = pa.schema([("id", pa.int64()), ("noise", pa.binary())])


def rows(start: int, count: int, width: int = 8) -> pa.Table:
    """Rows that do not compress."""
    noise = np.random.default_rng(start).bytes(count * width)
    columns = [range(start, start + count), [noise[n * width :][:width] for n in range(count)]]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def groups(content: bytes) -> list[int]:
    metadata = pq.read_metadata(io.BytesIO(content))
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


@pytest.mark.parametrize("sizes", [[1000], [100] * 10, [7, 493, 500], [1] * 50 + [950]])
def test_how_rows_come_does_not_matter(folder: Folder, sizes: list[int]) -> None:
    """The same rows make the same file, in row groups of the size that was asked for."""
    writer = PartWriter(folder, SCHEMA, layout=Layout(part_rows=10_000, row_group_rows=300))
    whole, start = rows(0, 1000), 0
    for size in sizes:
        writer.add(whole.slice(start, size), position={})
        start += size
    [part] = writer.commit().parts
    content = folder.read(part.name)
    assert groups(content) == [300, 300, 300, 100]
    assert (part.bytes, part.records) == (len(content), 1000)
    alone = PartWriter(folder, SCHEMA, layout=writer.layout)
    alone.add(whole, position={})
    assert alone.commit().parts == [part]
    assert pq.read_table(io.BytesIO(content)).equals(whole)


def test_row_groups_are_on_the_disk_before_the_part_is_complete(tmp_path: Path) -> None:
    """Only the last, unfinished row group is held in memory, whatever the size of the part."""
    writer = PartWriter(local(tmp_path), SCHEMA, layout=Layout(part_rows=10**6, row_group_rows=1000))
    sizes, held = [], []
    for number in range(20):
        writer.add(rows(number * 1500, 1500, width=100), position={})
        [file] = tmp_path.iterdir()
        assert file.name.startswith(".part-00000.parquet.")
        sizes.append(file.stat().st_size)
        held.append(writer._growing._held_rows)
    assert sizes[-1] > 2_500_000
    assert max(held) < 1000
    assert writer.rows == 30_000
    [part] = writer.commit().parts
    assert {file.name for file in tmp_path.iterdir()} == {part.name, "manifest.json"}


def test_a_row_group_is_bounded_in_bytes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of large records is not held as a whole either, however many rows its groups were to have."""
    monkeypatch.setattr(growing, "ROW_GROUP_BYTES", 50_000)
    writer = PartWriter(local(tmp_path), SCHEMA, layout=Layout(part_rows=10**6))
    for number in range(10):
        writer.add(rows(number * 100, 100, width=200), position={})
    [part] = writer.commit().parts
    assert groups((tmp_path / part.name).read_bytes()) == [300, 300, 300, 100]


@pytest.mark.parametrize("row_group_rows", [None, 10])
def test_a_part_that_is_given_up_leaves_nothing(folder: Folder, row_group_rows: int | None) -> None:
    """Neither under its name nor under another, on every file system; what was durable stays."""
    writer = PartWriter(folder, SCHEMA, layout=Layout(part_rows=10**6, row_group_rows=row_group_rows))
    writer.add(rows(0, 25), position={})
    writer.flush()
    writer.add(rows(25, 25), position={})
    writer.close()
    assert set(folder.sizes()) == {"part-00000.parquet"}
    if row_group_rows:
        with pytest.raises(ValueError, match="cannot be completed"):
            writer.flush()


class Broken(Exception):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Broken])
def test_a_read_that_fails_leaves_no_part_on_its_way(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever ends it, also what is no error of the gateway."""
    service = Texts([b'{"id":%d}' % n for n in range(100)])

    def fetch(asked: Any) -> Any:
        if asked.params["offset"] == 70:
            raise error
        return service(asked)

    layout = Layout(part_rows=30, row_group_rows=10)
    collection = Collection("GET /n", OffsetPages(limit=10), pa.schema([("id", pa.int64())]), layout=layout)
    with pytest.raises(error):
        extract(collection, fetch, local(tmp_path / "out"), FileCheckpoint(tmp_path / "c"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"part-00000.parquet", "part-00001.parquet"}


def test_a_growing_schema_ends_a_part_that_is_on_its_way(tmp_path: Path) -> None:
    """Row groups that are written keep their columns; from the next part on there are more, and no row is lost."""
    texts = [json.dumps({"id": n, **({"new": f"n{n}"} if n >= 500 else {})}).encode() for n in range(1000)]
    layout = Layout(part_rows=10_000, row_group_rows=100)
    collection = Collection(
        "GET /n", OffsetPages(limit=10), pa.schema([("id", pa.int64())]), evolution="evolve", layout=layout
    )
    # Small pages are decoded together, so each piece of the service must be large.
    service = Texts([text[:-1] + b',"pad":"' + b"x" * 30_000 + b'"}' for text in texts])
    place = local(tmp_path / "out")
    manifest = extract(collection, service, place, FileCheckpoint(tmp_path / "c"))
    table = table_of(manifest, place)
    assert table.column("id").to_pylist() == list(range(1000))
    assert table.column("new").to_pylist() == [None] * 500 + [f"n{n}" for n in range(500, 1000)]
    assert (manifest.received, letters_of(manifest, place)) == (1000, [])
    schemas = [pq.read_schema(io.BytesIO(place.read(part.name))).names for part in manifest.parts]
    assert schemas[0] == ["id", "pad"] or schemas[0] == ["id"]
    assert schemas[-1][-1] == "new"
    assert [part.name for part in manifest.parts] == [f"part-{n:05d}.parquet" for n in range(len(manifest.parts))]


@pytest.fixture
def requests(s3: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The S3 operations that are called."""
    called: list[str] = []
    call = s3._call_s3

    async def counted(method: str, *arguments: object, **kwargs: object) -> object:
        called.append(method)
        return await call(method, *arguments, **kwargs)

    monkeypatch.setattr(s3, "_call_s3", counted)
    monkeypatch.setattr(s3, "call_s3", lambda *given, **named: sync(s3.loop, counted, *given, **named))
    return called


def test_a_large_part_is_uploaded_while_it_grows(s3: fsspec.AbstractFileSystem, requests: list[str]) -> None:
    """In pieces of a multipart upload; the object appears when the part is complete, and not before."""
    place = Folder(s3, f"{BUCKET}/grows", f"s3://{BUCKET}/grows")
    writer = PartWriter(place, SCHEMA, layout=Layout(part_rows=10**6, part_bytes=1 << 30, row_group_rows=1000))
    uploaded = []
    for number in range(20):
        writer.add(rows(number * 1000, 1000, width=1500), position={})
        uploaded.append(requests.count("upload_part"))
    assert uploaded[-1] == 3
    assert uploaded[6] == 1
    assert place.sizes() == {}
    [part] = writer.commit().parts
    assert requests.count("complete_multipart_upload") == 1
    content = place.read(part.name)
    assert (len(content), groups(content)) == (part.bytes, [1000] * 20)
    assert pq.read_table(io.BytesIO(content)).num_rows == 20_000


def test_a_small_part_is_one_put(s3: fsspec.AbstractFileSystem, requests: list[str]) -> None:
    """An upload in pieces would cost three requests."""
    writer = PartWriter(Folder(s3, f"{BUCKET}/small", f"s3://{BUCKET}/small"), SCHEMA, layout=Layout(row_group_rows=10))
    writer.add(rows(0, 100), position={})
    writer.flush()
    assert [method for method in requests if method.startswith(("put", "create", "upload"))] == ["put_object"]


@pytest.mark.parametrize("abort_fails", [False, True])
def test_a_large_part_that_is_given_up_is_no_object(
    s3: fsspec.AbstractFileSystem,
    requests: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    abort_fails: bool,
) -> None:
    """Its upload is aborted, even when it is forgotten before; an abort that fails hides no other error."""
    place = Folder(s3, f"{BUCKET}/given-up-{abort_fails}", "s3://")
    writer = PartWriter(place, SCHEMA, layout=Layout(part_rows=10**6, part_bytes=1 << 30, row_group_rows=1000))
    for number in range(10):
        writer.add(rows(number * 1000, 1000, width=1500), position={})
    if abort_fails:
        monkeypatch.setattr(s3, "abort_mpu", lambda *arguments: (_ for _ in ()).throw(OSError("connection reset")))
    with caplog.at_level(logging.WARNING):
        writer.close()
    del writer
    assert place.sizes() == {}
    assert requests.count("upload_part") == 1
    assert "complete_multipart_upload" not in requests
    assert requests.count("abort_multipart_upload") == (0 if abort_fails else 1)
    assert ("may be left unfinished (connection reset)" in caplog.text) is abort_fails


_KILLED = """
import os, signal, sys
import pyarrow as pa
from airgate.data.store.layout import Layout
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder
from tests.s3_server import s3_client

fs = s3_client(sys.argv[1])
writer = PartWriter(Folder(fs, sys.argv[2], "s3://x"), pa.schema([("noise", pa.binary())]),
    layout=Layout(part_rows=10**6, part_bytes=1 << 30, row_group_rows=100))
while True:
    writer.add(pa.table([[os.urandom(10_000) for _ in range(100)]], schema=writer.schema), position={})
    if any(fs.list_multipart_uploads(sys.argv[2].split("/")[0])):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_while_it_uploads_leaves_no_object(s3: fsspec.AbstractFileSystem) -> None:
    """There is nothing to be seen of the part, and the next try writes it."""
    place = Folder(s3, f"{BUCKET}/killed", f"s3://{BUCKET}/killed")
    command = [sys.executable, "-c", _KILLED, s3.endpoint_url, place.path]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(s3.list_multipart_uploads(BUCKET)) == 1
    assert place.sizes() == {}
    writer = PartWriter(place, SCHEMA)
    writer.add(rows(0, 10), position={})
    assert set(place.sizes()) == set()
    assert [part.name for part in writer.commit().parts] == ["part-00000.parquet"]
    assert set(place.sizes()) == {"part-00000.parquet", "manifest.json"}
    s3.clear_multipart_uploads(BUCKET)


_ONE_LARGE_PART = """
import json, resource, sys
from pathlib import Path
import fsspec, pyarrow as pa
from airgate.data.store.layout import Layout
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder

path, groups, limit = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
schema = pa.schema([("id", pa.int64()), ("text", pa.string())])

def peak():  # not ru_maxrss, which begins with the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

before = peak()
resource.setrlimit(resource.RLIMIT_DATA, (limit << 20, limit << 20))
layout = Layout(part_rows=10**9, part_bytes=1 << 40, row_group_rows=groups)
writer = PartWriter(Folder(fsspec.filesystem("file"), path, "file://" + path), schema, layout=layout)
for start in range(0, 2_000_000, 4000):
    ids = range(start, start + 4000)
    texts = [f"the text of record {number}, which is of some length and has no like: {number * 7919}" for number in ids]
    writer.add(pa.table([list(ids), texts], schema=schema), position={})
[part] = writer.commit().parts
print(json.dumps({"records": part.records, "over_imports": peak() - before}))
"""


def in_little_memory(path: Path, groups: int | None, limit: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _ONE_LARGE_PART, str(path), json.dumps(groups), str(limit)]
    # Arrow's own allocator reserves addresses by the gigabyte, which the limit would count.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_one_part_of_two_million_rows_passes_through_little_memory(tmp_path: Path) -> None:
    """All of 180 MB of columns in one file, written by a process that never holds more than a row group of them."""
    done = in_little_memory(tmp_path, 20_000, 256)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["records"] == 2_000_000
    assert said["over_imports"] < 64


def test_row_groups_are_what_makes_memory_little(tmp_path: Path) -> None:
    """The same part in row groups of 64 MB needs more than twice as much: the test above can fail."""
    done = in_little_memory(tmp_path, None, 8000)
    assert json.loads(done.stdout)["over_imports"] > 64
