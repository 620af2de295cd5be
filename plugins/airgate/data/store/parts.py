"""Writes records as numbered Parquet parts, and the ones that do not fit as dead letters beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import replace

import msgspec
import pyarrow as pa

from airgate.data.shape.arrowtypes import no_rows
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.schema import describe_schema
from airgate.data.store.growing import GrowingPart
from airgate.data.store.layout import DEFAULT_LAYOUT, PART_ROWS, Layout
from airgate.data.store.manifest import FILE_NAME, File, Manifest
from airgate.data.store.part_file import PartFile
from airgate.data.store.partition import check_partition_columns
from airgate.data.store.storage import Folder

__all__ = ["PART_ROWS", "DeadLetter", "PartWriter"]

# With the temporary names of files that were never finished. Anything else in the folder is somebody else's.
_OURS = re.compile(
    r"([^/=]+=[^/]*/)*((part-\d{5,}\.parquet|dead-letters-\d{5,}\.jsonl|part-list-\d{5,}-[0-9a-f]{16}\.json)"
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
        self.manifest = manifest or Manifest(path=folder.uri, schema=describe_schema(schema))
        layout = layout or DEFAULT_LAYOUT
        self.layout = layout if part_rows is None else replace(layout, part_rows=part_rows)
        check_partition_columns(schema, self.layout.partition_by)
        self._redact_fields = redact_fields
        self._growing = GrowingPart(folder, schema, self.layout, _next_number(self.manifest))
        self._dead: list[DeadLetter] = []
        self._dead_bytes = 0
        self._given = 0

    @property
    def schema(self) -> pa.Schema:
        """Of the parts, as it has become."""
        return self._growing.schema

    def add(
        self, table: pa.Table, misfits: list[Misfit] | None = None, *, page: int = 0, position: dict[str, object]
    ) -> None:
        """Take a page's records in; nothing is durable before ``flush``.

        Raises:
            ValueError: When a column has another type than before, or an earlier write failed.
            OSError: When a row group cannot be written.
        """
        self.reject(misfits or (), page=page, position=position)
        self._given += table.num_rows
        self._growing.add(table)

    def reject(self, misfits: Iterable[Misfit], *, page: int, position: dict[str, object]) -> None:
        """Take the records of a page in that do not fit."""
        for misfit in misfits:
            self._given += 1
            text = misfit.record.decode("utf-8", "backslashreplace")
            letter = DeadLetter(misfit.reason, page, position, misfit.index, text)
            self._dead.append(self._redacted(letter))
            self._dead_bytes += len(text)

    def _redacted(self, letter: DeadLetter) -> DeadLetter:
        if not self._redact_fields:
            return letter
        from airgate.data.store.dead_letters import redact_letter  # which reads what is written here

        return redact_letter(letter, self._redact_fields)

    @property
    def rows(self) -> int:
        """Rows collected since the last part."""
        return self._growing.rows

    @property
    def due(self) -> bool:
        """Whether enough is collected for a part."""
        growing, layout = self._growing, self.layout
        return (
            max(growing.rows, len(self._dead)) >= layout.part_rows
            or max(growing.bytes, self._dead_bytes) >= layout.part_bytes
        )

    def flush(self, received: int | None = None) -> None:
        """Make what is collected durable and enter it in the manifest.

        Whether the files hold as many records as were received is for ``Manifest.check`` to say.

        Args:
            received: Records that came in since the last time, as whoever took them in counted them; None for as many
                as were given to ``add`` and ``reject``.
        """
        manifest, letters = self.manifest, self._dead
        dead = [self._write_letters(f"dead-letters-{len(manifest.dead_letters):05d}.jsonl", letters)] if letters else []
        parts = self._growing.finish()
        # Entered together and last: a manifest that counts half a flush would not add up.
        manifest.dead_letters += dead
        manifest.parts += parts
        manifest.schema = describe_schema(self.schema)
        manifest.dead_lettered += sum(file.records for file in dead)
        manifest.written += sum(part.records for part in parts)
        manifest.received += self._given if received is None else received
        self._dead, self._dead_bytes, self._given = [], 0, 0

    def complete(self) -> Manifest:
        """Write the rest: all files are durable, and nothing but the manifest is missing.

        Raises:
            ValueError: When the balance does not hold.
        """
        self.flush()
        manifest = self.manifest
        if not manifest.parts:
            # An empty part keeps the schema: whoever reads the data set gets typed columns, not nothing.
            empty = PartFile(self.folder, "part-00000.parquet", self.schema, self.layout.zstd_level)
            try:
                empty.append(no_rows(self.schema))
                manifest.parts.append(empty.commit())
            except BaseException:
                empty.discard()
                raise
        manifest.check()
        return manifest

    def commit(self) -> Manifest:
        """Write the rest and the manifest itself; the data set is complete.

        Raises:
            ValueError: When the balance does not hold.
        """
        manifest = self.complete()
        self.folder.write(FILE_NAME, manifest.content)
        self.folder.remove(_OURS, but={file.name for file in manifest.parts + manifest.dead_letters})
        return manifest

    def close(self) -> None:
        """Give up what is not durable, if anything is left; nothing of it becomes visible."""
        self._growing.discard()

    def _write_letters(self, name: str, letters: list[DeadLetter]) -> File:
        content = b"\n".join(map(msgspec.json.encode, letters)) + b"\n"
        self.folder.write(name, content)
        lines = content.count(b"\n")  # of the file, not of the list: what is written is what counts
        return File(name=name, records=lines, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _next_number(manifest: Manifest) -> int:
    found = _NUMBER.search(manifest.parts[-1].name) if manifest.parts else None
    return int(found[1]) + 1 if found else 0
