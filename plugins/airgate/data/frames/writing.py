"""Writes tables as one data set as they come, parts all of one size, so that memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from airgate.data.shape.evolution import conform, united
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import FILE_NAME, Manifest
from airgate.data.store.parts import PART_ROWS, PartWriter
from airgate.data.store.storage import Folder


class FrameWriter:
    """Writes the frames of one result.

    The same frames make the same files, in every try. A manifest that an earlier run left is removed first: as long as
    the new one is not there, the data set is not complete.

    Args:
        folder: Where the files go.
        part_rows: Rows of each part but the last.
        redact_fields: Dotted names of fields whose values are masked in dead letters.
    """

    def __init__(self, folder: Folder, *, part_rows: int = PART_ROWS, redact_fields: Collection[str] = ()) -> None:
        self._folder, self._part_rows, self._redact_fields = folder, part_rows, redact_fields
        self._writer: PartWriter | None = None
        self._waiting: list[tuple[int, Misfit, dict[str, object]]] = []
        self._frames = 0
        self._rows = 0

    @property
    def rows(self) -> int:
        """That were taken in."""
        return self._rows

    def refuse(self, misfits: Sequence[Misfit], *, page: int, position: dict[str, object]) -> None:
        """Take rows in that are to be dead letters; they are written with the next part."""
        self._waiting += [(page, misfit, position) for misfit in misfits]

    def add(self, table: pa.Table) -> None:
        """Take a table in; parts that are full are durable when this returns.

        Raises:
            ValueError: When a column has another type than in an earlier table.
        """
        writer = self._opened(table.schema)
        try:
            schema = merged_schema([writer.schema, table.schema])
        except ValueError as error:
            raise ValueError(
                f"frame {self._frames} does not fit the frames before it: {error}; give the column one type, such as "
                "with astype"
            ) from None
        table = conform(table, schema)
        start = 0
        while start < max(table.num_rows, 1):
            piece = table.slice(start, self._part_rows - writer.rows)
            self._hand_over(writer, schema)
            writer.add(piece, page=self._frames, position={"row": self._rows})
            start += max(piece.num_rows, 1)
            self._rows += piece.num_rows
            if writer.due:
                writer.flush()
        self._frames += 1

    def commit(self) -> Manifest:
        """Write the rest and the manifest; the data set is complete.

        Raises:
            ValueError: When the balance does not hold.
        """
        writer = self._opened(pa.schema([]))
        self._hand_over(writer, writer.schema)
        return writer.commit()

    def _opened(self, schema: pa.Schema) -> PartWriter:
        if self._writer is None:
            folder = self._folder
            if folder.fs.exists(folder.file(FILE_NAME)):
                folder.fs.rm_file(folder.file(FILE_NAME))
            self._writer = PartWriter(folder, schema, part_rows=self._part_rows, redact_fields=self._redact_fields)
        return self._writer

    def _hand_over(self, writer: PartWriter, schema: pa.Schema) -> None:
        waiting, self._waiting = self._waiting, []
        for page, misfit, position in waiting:
            writer.add(schema.empty_table(), [misfit], page=page, position=position)


def merged_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """One schema over tables: columns by name; one that held no value anywhere fits every type.

    Raises:
        ValueError: When a column has two types.
    """
    typed = {field.name: field.type for schema in schemas for field in schema if not pa.types.is_null(field.type)}
    return united([pa.schema([_typed(field, typed) for field in schema]) for schema in schemas])


def _typed(field: pa.Field, typed: dict[str, pa.DataType]) -> pa.Field:
    return field.with_type(typed.get(field.name, field.type)) if pa.types.is_null(field.type) else field
