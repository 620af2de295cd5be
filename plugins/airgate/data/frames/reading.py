"""Data sets read back as Arrow tables and frames: whole, or a piece at a time; and a frame written as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.frames.library import from_table, to_table
from airgate.data.frames.writing import FrameWriter, merged_schema
from airgate.data.shape.arrowtypes import named_type, no_rows
from airgate.data.shape.evolution import conform
from airgate.data.shape.schema import describe_schema
from airgate.data.store.manifest import File, Manifest
from airgate.data.store.partition import NULL
from airgate.data.store.parts import PART_ROWS
from airgate.data.store.storage import Folder

if TYPE_CHECKING:
    import pandas as pd

OpenFolder = Callable[[str], Folder]
"""Opens the folder behind a manifest's URI."""


def read_table(
    manifests: Sequence[Manifest], open_folder: OpenFolder, columns: Sequence[str] | None = None
) -> pa.Table:
    """The records of one or more data sets as one table, columns united by name.

    Args:
        manifests: Of the data sets.
        open_folder: Opens a manifest's folder.
        columns: Those to read, in this order; None for all.

    Raises:
        ValueError: When two data sets give a column different types, when a file has changed since its manifest was
            made, when there is no such column, or when no data set is given.
    """
    parts = _parts(manifests, open_folder, columns)
    tables = [part.table(columns) for part in parts]
    schema = _chosen(_fitting([table.schema for table in tables], manifests), columns)
    return pa.concat_tables([conform(table, schema) for table in tables])


def read_tables(
    manifests: Sequence[Manifest],
    open_folder: OpenFolder,
    columns: Sequence[str] | None = None,
    rows: int | None = None,
) -> Iterator[pa.Table]:
    """The same, a table at a time, all of one schema; at least one, which is empty when there are no records.

    One part is in memory at a time, and of those that are cut into ``rows`` what is left of the part before.

    Args:
        manifests: Of the data sets.
        open_folder: Opens a manifest's folder.
        columns: Those to read, in this order; None for all.
        rows: Of each table but the last; None for a table a part.

    Raises:
        ValueError: As ``read_table``.
    """
    parts = _parts(manifests, open_folder, columns)
    schema = _chosen(_schema_of(parts, manifests), columns)
    tables = (conform(table, schema) for part in parts for table in part.tables(columns, rows))
    return tables if rows is None else recut(tables, rows)


def recut(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of this many each; the last one may be smaller, and is empty only when all are."""
    held: list[pa.Table] = []
    count, gave = 0, False
    for table in tables:
        held = held or [table.slice(0, 0)]  # should nothing follow, it has the schema
        start = 0
        while start < table.num_rows:
            piece = table.slice(start, rows - count)
            held.append(piece)
            start, count = start + piece.num_rows, count + piece.num_rows
            if count == rows:
                yield pa.concat_tables(held)
                held, count, gave = [], 0, True
    if held and (count or not gave):
        yield pa.concat_tables(held)


def read_frame(
    manifests: Sequence[Manifest], open_folder: OpenFolder, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The records of one or more data sets as one pandas frame with ``ArrowDtype`` columns; see ``read_table``."""
    return cast("pd.DataFrame", from_table(read_table(manifests, open_folder, columns), "pandas"))


def write_frame(frame: object, folder: Folder, *, part_rows: int = PART_ROWS) -> Manifest:
    """Write a frame of any library as a data set; the index of a pandas frame is not kept.

    Raises:
        TypeError: When it is no frame, or a column has no Arrow type.
        ValueError: When two columns have the same name.
    """
    writer = FrameWriter(folder, part_rows=part_rows)
    writer.add(to_table(frame))
    return writer.commit()


@dataclass(frozen=True, slots=True)
class _Part:
    """A part, and what its data set says of it."""

    folder: Folder
    file: File
    described: dict[str, str]
    """Column -> Arrow type in text, of the data set."""

    @property
    def schema(self) -> pa.Schema:
        """From its footer alone."""
        with self.folder.fs.open(self.folder.file(self.file.name), "rb") as file:
            return self._with_folders(no_rows(pq.read_schema(file))).schema

    def table(self, columns: Sequence[str] | None) -> pa.Table:
        [table] = self.tables(columns, None)
        return table

    def tables(self, columns: Sequence[str] | None, rows: int | None) -> Iterator[pa.Table]:
        """Its records, cut as ``rows`` says, with those of the columns that it has."""
        file = pq.ParquetFile(pa.BufferReader(self._content()))
        names = file.schema_arrow.names
        inside = None if columns is None else [name for name in columns if name in names]
        if rows is None or not file.metadata.num_rows:
            yield self._with_folders(file.read(columns=inside, use_threads=False), columns)
            return
        for batch in file.iter_batches(batch_size=rows, columns=inside):
            yield self._with_folders(pa.Table.from_batches([batch]), columns)

    def _content(self) -> bytes:
        content = self.folder.read(self.file.name)
        if hashlib.sha256(content).hexdigest() != self.file.sha256:
            raise ValueError(
                f"{self.folder.uri}/{self.file.name} is not the file of its manifest any more: another task writes to "
                "the same folder, or the task that made it has run again since"
            )
        return content

    def _with_folders(self, table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
        """The table with the columns that only the folders in the part's name tell, as in ``carrier=UA/…``."""
        for segment in self.file.name.split("/")[:-1]:
            name, equals, text = segment.partition("=")
            name = unquote(name)
            if equals and name not in table.column_names and (columns is None or name in columns):
                of = named_type(self.described.get(name, "string").rstrip("!"))
                value = pa.scalar(None if text == NULL else unquote(text)).cast(of)
                table = table.append_column(name, pa.repeat(value, table.num_rows))
        return table if columns is None else table.select([name for name in columns if name in table.column_names])


def _parts(manifests: Sequence[Manifest], open_folder: OpenFolder, columns: Sequence[str] | None) -> list[_Part]:
    if not manifests:
        raise ValueError("no data set to read: the list of manifests is empty")
    known = list(dict.fromkeys(name for manifest in manifests for name in manifest.schema))
    if columns is not None and (missing := [name for name in columns if name not in known]):
        raise ValueError(f"{_paths(manifests)}: there is no column {', '.join(missing)}; there are {', '.join(known)}")
    folders = [open_folder(manifest.path) for manifest in manifests]
    return [
        _Part(folder, file, manifest.schema)
        for manifest, folder in zip(manifests, folders, strict=True)
        for file in manifest.parts
    ]


def _schema_of(parts: Sequence[_Part], manifests: Sequence[Manifest]) -> pa.Schema:
    """The schema of all parts, from as few footers as tell it: the last part of a read has all its columns."""
    schemas: list[pa.Schema] = []
    for manifest in manifests:
        seen: list[pa.Schema] = []
        for part in reversed([part for part in parts if part.described is manifest.schema]):
            seen.insert(0, part.schema)
            if _bare(describe_schema(_fitting(seen, [manifest]))) == _bare(manifest.schema):
                break
        schemas += seen
    return _fitting(schemas, manifests)


def _bare(described: dict[str, str]) -> dict[str, str]:
    return {name: of.rstrip("!") for name, of in described.items()}


def _fitting(schemas: list[pa.Schema], manifests: Sequence[Manifest]) -> pa.Schema:
    try:
        return merged_schema(schemas)
    except ValueError as error:
        raise ValueError(f"the data sets {_paths(manifests)} do not fit together: {error}") from None


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _paths(manifests: Sequence[Manifest]) -> str:
    return ", ".join(manifest.path for manifest in manifests)
