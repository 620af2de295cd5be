"""Exports of any size, read in little memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.export_service import export_service

_IN_LITTLE_MEMORY = """
import json, resource, sys
from pathlib import Path
import fsspec, pyarrow.csv, pyarrow.json
from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.client.session import GatewaySession
from airgate.data.read.exports import Export, extract_export
from airgate.data.read.fileformats import CsvFile, NdjsonFile
from airgate.data.shape.schema import arrow_schema
from airgate.data.store.storage import Folder

path, address, file, limit = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])

def peak():  # not ru_maxrss, which begins with the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

class Kept:
    def load(self): return None
    def save(self, state): (path / "checkpoint").write_text(json.dumps(state))
    def clear(self): (path / "checkpoint").unlink()

before = peak()
resource.setrlimit(resource.RLIMIT_DATA, (limit << 20, limit << 20))
schema = arrow_schema({"properties": {
    "id": {"type": "integer"}, "n": {"type": "number"}, "s": {"type": "string"},
    "at": {"type": "string", "format": "date-time"}}})
folder = Folder(fsspec.filesystem("file"), str(path / "out"), f"file://{path}/out")
with GatewaySession(Gateway(address)) as session:
    ask = lambda headers: session.call(Request("GET", address + "/export", headers), stream=True)
    export = Export("GET /export", schema, NdjsonFile() if file == "ndjson" else CsvFile())
    manifest = extract_export(export, ask, folder, Kept())
print(json.dumps({"written": manifest.written, "over_imports": peak() - before}))
"""


def ndjson(rows: int) -> bytes:
    return b'{"id":123456789,"n":1.25,"s":"some text of a record","at":"2013-01-01T00:00:00Z"}\n' * rows


def packed_csv(rows: int) -> bytes:
    return gzip.compress(b"id,n,s,at\r\n" + b'123456789,1.25,"some text",2013-01-01T00:00:00Z\r\n' * rows, 1)


@pytest.mark.parametrize(("file", "content"), [("ndjson", ndjson), ("csv", packed_csv)])
def test_a_million_records_pass_through_little_memory(
    tmp_path: Path, file: str, content: Callable[[int], bytes]
) -> None:
    """A process that may have 256 MB of data reads them all, and needs no more than for a tenth of them."""
    used = []
    for rows in (100_000, 1_000_000):
        with export_service(content(rows)) as service:
            command = [sys.executable, "-c", _IN_LITTLE_MEMORY, str(tmp_path), service.address, file, "256"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["written"] == rows
        used.append(said["over_imports"])
    assert max(used) <= 64
    assert used[1] <= used[0] + 16
