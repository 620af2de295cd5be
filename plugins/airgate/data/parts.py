"""Writes records as numbered Parquet parts, and the ones that do not fit as dead letters beside them."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.decode import Misfit
from airgate.data.manifest import FILE_NAME, File, Manifest
from airgate.data.schema import describe_schema
from airgate.data.storage import Folder

PART_ROWS = 20_000
"""Default size of a part, in rows."""

# With the temporary names of files that were never finished. Anything else in the folder is somebody else's.
_OURS = re.compile(
    r"(part-\d{5,}\.parquet|dead-letters-\d{5,}\.jsonl)|\.(part|dead-letters|manifest)[-.].*\.[0-9a-f]{16}"
)


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that does not fit, with all that is needed to find and mend it: one JSON line of a dead-letter file."""

    reason: str
    page: int
    """Number of its page within the read, from 0."""
    position: dict[str, object]
    """Where that page stands in the collection."""
    index: int
    """Place within the page, from 0."""
    record: str
    """The record's text as it came."""


@dataclass(slots=True)
class _Buffer:
    tables: list[pa.Table]
    dead: list[DeadLetter]
    rows: int = 0


class PartWriter:
    """Collects pages and writes them as parts; ``manifest`` always describes exactly what is durable.

    Args:
        folder: Where the files go.
        schema: Of every part.
        manifest: What an earlier attempt already made durable.
        part_rows: Rows after which a part is due.
    """

    def __init__(
        self, folder: Folder, schema: pa.Schema, manifest: Manifest | None = None, *, part_rows: int = PART_ROWS
    ) -> None:
        if part_rows < 1:
            raise ValueError(f"part_rows must be 1 or more, not {part_rows}")
        self.folder = folder
        self.schema = schema
        self.manifest = manifest or Manifest(path=folder.uri, schema=describe_schema(schema))
        self._part_rows = part_rows
        self._buffer = _Buffer([], [])

    def add(
        self, table: pa.Table, misfits: list[Misfit] | None = None, *, page: int = 0, position: dict[str, object]
    ) -> None:
        """Take a page's records in; nothing is durable before ``flush``."""
        buffer = self._buffer
        buffer.tables.append(table)
        buffer.rows += table.num_rows
        for misfit in misfits or ():
            text = misfit.record.decode("utf-8", "backslashreplace")
            buffer.dead.append(DeadLetter(misfit.reason, page, position, misfit.index, text))

    @property
    def due(self) -> bool:
        """Whether enough is collected for a part."""
        return self._buffer.rows >= self._part_rows or len(self._buffer.dead) >= self._part_rows

    def flush(self) -> None:
        """Make what is collected durable and enter it in the manifest."""
        buffer, manifest = self._buffer, self.manifest
        if buffer.dead:
            lines = b"\n".join(map(msgspec.json.encode, buffer.dead)) + b"\n"
            name = f"dead-letters-{len(manifest.dead_letters):05d}.jsonl"
            manifest.dead_letters.append(self._write(name, lines, len(buffer.dead)))
            manifest.dead_lettered += len(buffer.dead)
        if buffer.rows:
            manifest.parts.append(self._write_part(pa.concat_tables(buffer.tables)))
            manifest.written += buffer.rows
        manifest.received += buffer.rows + len(buffer.dead)
        self._buffer = _Buffer([], [])

    def commit(self) -> Manifest:
        """Write the rest and the manifest itself; the data set is complete.

        Raises:
            ValueError: When the balance does not hold.
        """
        self.flush()
        manifest = self.manifest
        if not manifest.parts:
            # An empty part keeps the schema: whoever reads the data set gets typed columns, not nothing.
            manifest.parts.append(self._write_part(self.schema.empty_table()))
        manifest.check()
        self.folder.write(FILE_NAME, msgspec.json.format(msgspec.json.encode(manifest.to_json()), indent=1))
        self.folder.remove(_OURS, but={file.name for file in manifest.parts + manifest.dead_letters})
        return manifest

    def _write_part(self, table: pa.Table) -> File:
        buffer = io.BytesIO()
        pq.write_table(table.combine_chunks(), buffer, compression="zstd")
        return self._write(f"part-{len(self.manifest.parts):05d}.parquet", buffer.getvalue(), table.num_rows)

    def _write(self, name: str, content: bytes, records: int) -> File:
        self.folder.write(name, content)
        return File(name=name, records=records, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
