"""The file systems on which data sets are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from airgate.data.store.storage import Folder
from tests.data.reads import local
from tests.s3_server import BUCKET, s3_client, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[fsspec.AbstractFileSystem]:
    """A client of an S3 server of its own, with one empty bucket."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server() as address:
        fs = s3_client(address)
        fs.mkdir(BUCKET)
        yield fs


@pytest.fixture(params=["file", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder that is not there yet, on each kind of file system."""
    if request.param == "file":
        return local(tmp_path / "a" / "out")
    path = f"{BUCKET}/{tmp_path.name}/out"
    if request.param == "s3":
        return Folder(request.getfixturevalue("s3"), path, f"s3://{path}")
    return Folder(fsspec.filesystem("memory"), f"/{path}", f"memory://{path}")
