"""Writes records as numbered Parquet parts, and the ones that do not fit as dead letters beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.shape.arrowtypes import is_text
from airgate.data.shape.evolution import conform
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.schema import describe_schema
from airgate.data.store.layout import DEFAULT_LAYOUT, PART_ROWS, Layout
from airgate.data.store.manifest import FILE_NAME, File, Manifest
from airgate.data.store.partition import check_partition_columns, partitions
from airgate.data.store.storage import Content, Folder

__all__ = ["PART_ROWS", "DeadLetter", "PartWriter"]

# With the temporary names of files that were never finished. Anything else in the folder is somebody else's.
_OURS = re.compile(
    r"([^/=]+=[^/]*/)*((part-\d{5,}\.parquet|dead-letters-\d{5,}\.jsonl)"
    r"|\.(part|dead-letters|manifest|schema)[-.].*\.[0-9a-f]{16})"
)
_NUMBER = re.compile(r"part-(\d+)\.parquet$")


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
    bytes: int = 0
    dead_bytes: int = 0


class PartWriter:
    """Collects pages and writes them as parts; ``manifest`` always describes exactly what is durable.

    Args:
        folder: Where the files go.
        schema: Of the parts. It grows when a table comes with more columns (``airgate.data.shape.evolution``).
        manifest: What an earlier attempt already made durable.
        part_rows: Rows after which a part is due, instead of the layout's.
        layout: Sizes and form of the parts.
        redact_fields: Dotted names of fields whose values are masked in dead letters.

    Raises:
        ValueError: When a column to partition by is missing or has no values that name folders.
    """

    def __init__(
        self,
        folder: Folder,
        schema: pa.Schema,
        manifest: Manifest | None = None,
        *,
        part_rows: int | None = None,
        layout: Layout | None = None,
        redact_fields: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self.schema = schema
        self.manifest = manifest or Manifest(path=folder.uri, schema=describe_schema(schema))
        layout = layout or DEFAULT_LAYOUT
        self.layout = layout if part_rows is None else replace(layout, part_rows=part_rows)
        check_partition_columns(schema, self.layout.partition_by)
        self._redact_fields = redact_fields
        self._buffer = _Buffer([], [])

    def add(
        self, table: pa.Table, misfits: list[Misfit] | None = None, *, page: int = 0, position: dict[str, object]
    ) -> None:
        """Take a page's records in; nothing is durable before ``flush``."""
        self.reject(misfits or (), page=page, position=position)
        buffer = self._buffer
        if table.schema is not self.schema and not table.schema.equals(self.schema):
            self.schema = table.schema
        buffer.tables.append(table)
        buffer.rows += table.num_rows
        buffer.bytes += table.nbytes

    def reject(self, misfits: Iterable[Misfit], *, page: int, position: dict[str, object]) -> None:
        """Take the records of a page in that do not fit."""
        for misfit in misfits:
            text = misfit.record.decode("utf-8", "backslashreplace")
            letter = DeadLetter(misfit.reason, page, position, misfit.index, text)
            self._buffer.dead.append(self._redacted(letter))
            self._buffer.dead_bytes += len(text)

    def _redacted(self, letter: DeadLetter) -> DeadLetter:
        if not self._redact_fields:
            return letter
        from airgate.data.store.dead_letters import redact_letter  # which reads what is written here

        return redact_letter(letter, self._redact_fields)

    @property
    def rows(self) -> int:
        """Rows collected since the last part."""
        return self._buffer.rows

    @property
    def due(self) -> bool:
        """Whether enough is collected for a part."""
        buffer, layout = self._buffer, self.layout
        return (
            max(buffer.rows, len(buffer.dead)) >= layout.part_rows
            or max(buffer.bytes, buffer.dead_bytes) >= layout.part_bytes
        )

    def flush(self) -> None:
        """Make what is collected durable and enter it in the manifest."""
        buffer, manifest = self._buffer, self.manifest
        dead = []
        if buffer.dead:
            lines = b"\n".join(map(msgspec.json.encode, buffer.dead)) + b"\n"
            name = f"dead-letters-{len(manifest.dead_letters):05d}.jsonl"
            dead.append(self._write(name, lines, len(buffer.dead)))
        parts = []
        if buffer.rows:
            parts = self._write_parts(pa.concat_tables([conform(table, self.schema) for table in buffer.tables]))
        # Entered together and last: a manifest that counts half a flush would not add up.
        manifest.dead_letters += dead
        manifest.parts += parts
        manifest.schema = describe_schema(self.schema)
        manifest.dead_lettered += len(buffer.dead)
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
            manifest.parts.append(self._write_table("part-00000.parquet", self.schema.empty_table()))
        manifest.check()
        self.folder.write(FILE_NAME, msgspec.json.format(msgspec.json.encode(manifest.to_json()), indent=1))
        self.folder.remove(_OURS, but={file.name for file in manifest.parts + manifest.dead_letters})
        return manifest

    def _write_parts(self, table: pa.Table) -> list[File]:
        name = f"part-{self._next_number():05d}.parquet"
        if not self.layout.partition_by:
            return [self._write_table(name, table)]
        return [
            self._write_table(f"{folder}/{name}", rows) for folder, rows in partitions(table, self.layout.partition_by)
        ]

    def _next_number(self) -> int:
        found = _NUMBER.search(self.manifest.parts[-1].name) if self.manifest.parts else None
        return int(found[1]) + 1 if found else 0

    def _write_table(self, name: str, table: pa.Table) -> File:
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            row_group_size=self.layout.row_group_rows or max(table.num_rows, 1),
            compression="zstd",
            compression_level=self.layout.zstd_level,
            # Numbers seldom repeat, and a dictionary of them takes as long as all the rest (measured).
            use_dictionary=_text_columns(table.schema),
        )
        return self._write(name, sink.getvalue(), table.num_rows)

    def _write(self, name: str, content: Content, records: int) -> File:
        self.folder.write(name, content)
        size = len(content) if isinstance(content, bytes) else content.size
        return File(name=name, records=records, bytes=size, sha256=hashlib.sha256(content).hexdigest())


def _text_columns(schema: pa.Schema) -> list[str] | bool:
    names = [field.name for field in schema if is_text(field.type) and "." not in field.name]
    return names or False
