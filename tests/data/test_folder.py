"""Folders of data files: on the disk, in memory, and behind the S3 API of a real server."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from airgate.data.extract import Collection, extract
from airgate.data.store.layout import Layout
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages
from tests.data.reads import FileCheckpoint, Texts, local, table_of
from tests.s3_server import BUCKET


def names(folder: Folder) -> set[str]:
    folder.fs.invalidate_cache()
    start = len(folder.fs._strip_protocol(folder.path)) + 1
    return {name[start:] for name in folder.fs.find(folder.path)}


def test_a_file_is_there_whole_and_replaces_an_earlier_one(folder: Folder) -> None:
    """Folders are made on the way, and nothing else is left behind."""
    with pytest.raises(FileNotFoundError):
        folder.read("x.bin")
    folder.write("a=1/b=2/x.bin", b"one")
    folder.write("a=1/b=2/x.bin", pa.py_buffer(b"two"))
    assert folder.read("a=1/b=2/x.bin") == b"two"
    assert names(folder) == {"a=1/b=2/x.bin"}


def test_only_what_matches_is_removed(folder: Folder) -> None:
    """Files of others stay, also in folders below."""
    folder.remove(re.compile(".*"), but=())
    for name in ("part-1", "part-2", "a=1/part-3", "other/part-4", "notes"):
        folder.write(name, b"x")
    folder.remove(re.compile(r"(a=1/)?part-\d"), but={"part-2"})
    assert names(folder) == {"part-2", "other/part-4", "notes"}


def test_a_read_resumes_on_any_file_system(folder: Folder, tmp_path: Path) -> None:
    """Partitioned parts, a fault in the middle, a stale part of an abandoned try: the same data set everywhere."""
    texts = [b'{"id":%d,"g":"%s"}' % (number, b"xy"[number % 2 :][:1]) for number in range(100)]
    schema = pa.schema([("id", pa.int64()), ("g", pa.string())])
    collection = Collection("GET /n", OffsetPages(limit=10), schema, layout=Layout(25, partition_by=("g",)))
    service, checkpoint = Texts(texts, broken={60}), FileCheckpoint(tmp_path / "c")
    with pytest.raises(Exception, match="503"):
        extract(collection, service, folder, checkpoint)
    folder.write("g=x/part-00099.parquet", b"stale")
    manifest = extract(collection, service, folder, checkpoint)
    assert sorted(table_of(manifest, folder).column("id").to_pylist()) == list(range(100))
    assert names(folder) == {*(part.name for part in manifest.parts), "manifest.json"}
    whole = extract(collection, Texts(texts), local(tmp_path / "b"), FileCheckpoint(tmp_path / "d"))
    assert [(part.name, part.sha256) for part in whole.parts] == [(part.name, part.sha256) for part in manifest.parts]


def test_a_large_part_goes_to_s3_in_pieces(s3: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A multipart upload: the object appears when it is complete, and an upload that fails leaves none."""
    place = Folder(s3, f"{BUCKET}/large", f"s3://{BUCKET}/large")
    content = bytes(range(256)) * 4096 * 110  # 110 MB: beyond what the file system puts at once
    calls: list[str] = []
    call = s3._call_s3

    async def counted(method: str, *arguments: object, **kwargs: object) -> object:
        calls.append(method)
        if method == "upload_part" and fail and calls.count("upload_part") > 1:
            raise OSError("connection reset")
        return await call(method, *arguments, **kwargs)

    monkeypatch.setattr(s3, "_call_s3", counted)
    fail = True
    with pytest.raises(OSError, match="connection reset"):
        place.write("part-00000.parquet", content)
    assert not s3.exists(place.file("part-00000.parquet"))
    fail = False
    calls.clear()
    place.write("part-00000.parquet", pa.py_buffer(content))
    assert calls.count("upload_part") > 1
    assert "complete_multipart_upload" in calls
    assert hashlib.sha256(place.read("part-00000.parquet")).digest() == hashlib.sha256(content).digest()
    s3.rm(place.path, recursive=True)


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the device cannot take it, the name still shows the whole earlier content."""
    place = local(tmp_path)
    place.write("x", b"earlier")

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        place.write("x", b"later")
    assert place.read("x") == b"earlier"
