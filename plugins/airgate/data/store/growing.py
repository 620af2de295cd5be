"""Rows on their way into parts: what is full goes to the file, the rest waits."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from airgate.data.shape.evolution import conform
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import File
from airgate.data.store.part_file import PartFile
from airgate.data.store.partition import partitions
from airgate.data.store.storage import Folder

ROW_GROUP_BYTES = 64 << 20
"""A row group is written when its columns take this many bytes in memory, however many rows it was to have."""


class GrowingPart:
    """The part to which rows are added.

    A row group is in the file as soon as it is full, so that less than one is held in memory. Only a part that is
    spread over folders is held as a whole: which rows belong together is known when all of them are there.

    Args:
        folder: Where parts go.
        schema: Of the rows; it grows when a table comes with more columns.
        layout: Sizes and form of the parts.
        number: Of the part.
    """

    def __init__(self, folder: Folder, schema: pa.Schema, layout: Layout, number: int) -> None:
        self.schema = schema
        self.rows = self.bytes = 0
        """Of all that was added since the last part was finished; bytes in memory, as Arrow columns."""
        self._folder = folder
        self._layout = layout
        self._number = number
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._file: PartFile | None = None
        self._ended: list[File] = []
        self._given_up = False

    def add(self, table: pa.Table) -> None:
        """Take rows in; the row groups that they fill are written.

        Raises:
            ValueError: An earlier write failed, or a column has another type than before.
            OSError: A row group cannot be written.
        """
        self._refuse_when_given_up()
        if table.schema is not self.schema and not table.schema.equals(self.schema):
            if self._file is not None:
                self._guarded(self._end)  # its row groups have the columns that they have
            self.schema = table.schema
        self._hold(table)
        self.rows += table.num_rows
        self.bytes += table.nbytes
        if not self._layout.partition_by:
            self._guarded(self._write_full_groups)

    def finish(self) -> list[File]:
        """Write the rest. All rows are in durable files when this returns; gives those, and begins a new part."""
        self._refuse_when_given_up()
        if self._held_rows or self._file is not None:
            self._guarded(self._spread if self._layout.partition_by else self._end)
        ended, self._ended = self._ended, []
        self.rows = self.bytes = 0
        self._held = []
        return ended

    def discard(self) -> None:
        """Give the rows up; nothing of a part that is not finished becomes visible."""
        self._given_up = True
        file, self._file = self._file, None
        if file is not None:
            file.discard()

    def _write_full_groups(self) -> None:
        size = self._layout.row_group_rows
        if size is not None and self._held_rows >= size:
            self._write(self._held_rows // size * size, size)
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._write(self._held_rows, self._held_rows)

    def _write(self, rows: int, size: int) -> None:
        """Write the first of the rows that are held, in groups of a size."""
        table = self._taken()
        if self._file is None:
            self._file = self._opened(f"part-{self._number:05d}.parquet")
        for start in range(0, rows, size):
            self._file.append(table.slice(start, min(size, rows - start)))
        if rows < table.num_rows:
            self._hold(table.slice(rows))

    def _end(self) -> None:
        if self._held_rows:
            self._write(self._held_rows, self._layout.row_group_rows or self._held_rows)
        if self._file is not None:
            self._ended.append(self._file.commit())
            self._file = None
            self._number += 1

    def _spread(self) -> None:
        size = self._layout.row_group_rows
        for folder, rows in partitions(self._taken(), self._layout.partition_by):
            self._file = self._opened(f"{folder}/part-{self._number:05d}.parquet")
            for start in range(0, rows.num_rows, size or rows.num_rows):
                self._file.append(rows.slice(start, size))
            self._ended.append(self._file.commit())
            self._file = None
        self._number += 1

    def _opened(self, name: str) -> PartFile:
        return PartFile(self._folder, name, self.schema, self._layout.zstd_level)

    def _hold(self, table: pa.Table) -> None:
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes

    def _taken(self) -> pa.Table:
        held, self._held = self._held, []
        self._held_rows = self._held_bytes = 0
        return pa.concat_tables([conform(table, self.schema) for table in held])

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException:
            self.discard()
            raise

    def _refuse_when_given_up(self) -> None:
        if self._given_up:
            raise ValueError(f"{self._folder.uri}: an earlier write failed, so this part cannot be completed")
