"""What the tests of reads share: a checkpoint that outlives the process, and what a data set holds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airgate.client.message import Response, headers_of
from airgate.data.shape.evolution import conform, united
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder


class FileCheckpoint:
    """Keeps the checkpoint in a file, as Airflow keeps it in its database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        return json.loads(self.path.read_text()) if self.path.exists() else None

    def save(self, state: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(state))
        temporary.replace(self.path)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


class Texts:
    """A collection of records given as JSON texts, in offset pages; a page in ``broken`` fails once."""

    def __init__(self, texts: list[bytes], broken: set[int] | None = None) -> None:
        self.texts, self.broken = texts, set(broken or ())
        self.asked: list[int] = []

    def __call__(self, asked: Any) -> Response:
        from airgate.policy.errors import Unavailable

        offset, limit = asked.params["offset"], asked.params["limit"]
        self.asked.append(offset)
        if offset in self.broken:
            self.broken.remove(offset)
            raise Unavailable("answered 503", status=503)
        records = b",".join(self.texts[offset : offset + limit])
        body = b'{"total":%d,"data":[%s]}' % (len(self.texts), records)
        return Response(200, headers_of(), body, "GET", "http://gw/texts")


def local(path: Path) -> Folder:
    return Folder(fsspec.filesystem("file"), str(path), f"file://{path}")


def table_of(manifest: Manifest, folder: Folder) -> pa.Table:
    """All parts, in the form of the schema that the last of them has."""
    tables = [pq.read_table(io.BytesIO(folder.read(part.name)), partitioning=None) for part in manifest.parts]
    schema = united([table.schema for table in tables])
    return pa.concat_tables([conform(table, schema) for table in tables])


def letters_of(manifest: Manifest, folder: Folder) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for file in manifest.dead_letters for line in folder.read(file.name).splitlines()]
