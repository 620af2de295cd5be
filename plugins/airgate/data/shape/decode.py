"""JSON records to Arrow, without a Python object per value.

Records are parsed together against a locked schema. When one of them does not fit, they are halved until the misfits
stand alone, or are looked at column by column when they are many; misfits come back with the reason, and the others
are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from airgate.data.shape.evolution import Evolution, check_evolution, grown
from airgate.data.shape.faults import Faults, object_of
from airgate.data.shape.infer import observe
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.parsing import RecordParser
from airgate.data.shape.sorting import Sorting

__all__ = ["Misfit", "RecordDecoder"]

log = logging.getLogger(__name__)

_LOOKED_AT = 1000
"""Records that are searched for fields the schema does not name."""


class RecordDecoder:
    """Parses JSON records into tables of one schema.

    Args:
        schema: Columns of the tables. One of JSON text takes any value.
        evolution: What becomes of fields that the schema does not name.
        unchecked: Whether a text may be anything at all, such as a line of a file. Those of a page need no look of
            their own: a parser has split it into values.

    Raises:
        ValueError: When a column has a type that records in JSON cannot fill, or there is none.
    """

    def __init__(self, schema: pa.Schema, evolution: Evolution = "discard", *, unchecked: bool = False) -> None:
        check_evolution(evolution)
        if not schema.names:
            raise ValueError("a schema needs at least one column: a table without any has no rows")
        self._unchecked = unchecked
        self.evolution = evolution
        self._checked_names = evolution != "discard"
        self._may_grow = False
        self._lock(schema)

    def _lock(self, schema: pa.Schema) -> None:
        self.schema = schema
        """Of the next table; only evolving adds to it."""
        strict = self.evolution != "discard"
        self._parser = RecordParser(schema, strict=strict, unchecked=self._unchecked)
        self._faults = Faults(schema, strict=strict, refused=self._look_for_growth)

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> tuple[pa.Table, list[Misfit]]:
        """Parse records.

        Args:
            records: JSON text of each record, one value without white space around it.

        Returns:
            The records that fit, in order, and the ones that do not. The table has the schema as it is afterwards.
        """
        if records and not self._checked_names:
            self._report_unknown_fields(records[:_LOOKED_AT])
        try:
            return self._parser.parse(records), []
        except pa.ArrowInvalid as error:
            return self._sort_growing(list(map(bytes, records)), error)

    def _sort(self, texts: list[bytes], error: pa.ArrowInvalid) -> tuple[pa.Table, list[Misfit]]:
        self._look_for_growth(error)
        return Sorting(texts, self._parser, self._faults, self._look_for_growth).sort(error)

    def _sort_growing(self, texts: list[bytes], error: pa.ArrowInvalid) -> tuple[pa.Table, list[Misfit]]:
        self._may_grow = self.evolution == "evolve"
        try:
            return self._sort(texts, error)
        except _UnknownField:
            # What is new is looked at over all the records: half of them might show integers only. Whatever is still
            # unknown then, such as a field beyond the most that a schema may have, makes a misfit.
            before, self._may_grow = self.schema, False
            self._lock(grown(before, observe(texts)))
            self._report_growth(before)
        try:
            return self._parser.parse(texts), []
        except pa.ArrowInvalid as again:
            return self._sort(texts, again)

    def _look_for_growth(self, error: pa.ArrowInvalid) -> None:
        if self._may_grow and "unexpected field" in str(error):
            raise _UnknownField from None

    def _report_unknown_fields(self, texts: Sequence[msgspec.Raw | bytes]) -> None:
        names = frozenset(self.schema.names)
        unknown: set[str] = set()
        for text in texts:
            unknown |= (object_of(bytes(text)) or {}).keys() - names
        if unknown:
            log.warning("left out, because the schema does not name them: %s", ", ".join(sorted(unknown)))
        self._checked_names = True

    def _report_growth(self, before: pa.Schema) -> None:
        new = [field for field in self.schema if field.name not in before.names or before.field(field.name) != field]
        if new:
            log.warning("new in the schema: %s", ", ".join(f"{field.name} ({field.type})" for field in new))


class _UnknownField(Exception):
    """A record has a field that the schema does not know."""
