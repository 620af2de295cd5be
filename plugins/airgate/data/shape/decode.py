"""JSON records to Arrow, without a Python object per value.

Records are parsed together against a locked schema. When one of them does not fit, they are halved until the misfits
stand alone; they come back with the reason, and the others are kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.json as pj

from airgate.data.shape.arrowtypes import is_json_text, is_text
from airgate.data.shape.evolution import Evolution, check_evolution, conform, grown
from airgate.data.shape.infer import observe
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.wiretypes import may_hold_floats, refuse_non_finite, to_schema, wire_schema

__all__ = ["Misfit", "RecordDecoder"]

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 20
"""The reader takes long text in blocks that stay in the processor's cache: a sixth faster (measured)."""

_LOOKED_AT = 1000
"""Records that are searched for fields the schema does not name."""

_NO_OBJECT = "a record must be a JSON object"
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


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
        self._lock(schema)

    def _lock(self, schema: pa.Schema) -> None:
        self.schema = schema
        """Of the next table; only evolving adds to it."""
        behavior = "ignore" if self.evolution == "discard" else "error"
        wire = wire_schema(schema)
        self._parse_options = pj.ParseOptions(wire, newlines_in_values=False, unexpected_field_behavior=behavior)
        self._names = frozenset(schema.names)
        self._has_floats = any(may_hold_floats(field.type) for field in schema)
        self._json_text = [field.name for field in schema if is_json_text(field)]
        self._alone: dict[str, RecordDecoder] = {}

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
            return self._parse(records), []
        except pa.ArrowInvalid:
            return self._decode_halved(list(map(bytes, records)))

    def _decode_halved(self, texts: list[bytes]) -> tuple[pa.Table, list[Misfit]]:
        tables: list[pa.Table] = []
        misfits: list[Misfit] = []
        try:
            self._decode(texts, 0, tables, misfits)
        except _UnknownField:
            # What is new is looked at over all the records: half of them might show integers only. Whatever is still
            # unknown then, such as a field beyond the most that a schema may have, makes a misfit.
            before = self.schema
            self._lock(grown(before, observe(texts)))
            self._report_growth(before)
            tables, misfits = [], []
            self._decode(texts, 0, tables, misfits, grow=False)
        table = pa.concat_tables(tables) if tables else self.schema.empty_table()
        return conform(table, self.schema), misfits

    def _decode(
        self, texts: list[bytes], start: int, tables: list[pa.Table], misfits: list[Misfit], grow: bool = True
    ) -> None:
        if not texts:
            return
        try:
            tables.append(self._parse(texts))
        except pa.ArrowInvalid as error:
            if grow and self.evolution == "evolve" and "unexpected field" in str(error):
                raise _UnknownField from None
            if len(texts) == 1:
                misfits.append(Misfit(start, texts[0], self._reason(texts[0], error)))
                return
            middle = len(texts) // 2
            self._decode(texts[:middle], start, tables, misfits, grow)
            self._decode(texts[middle:], start + middle, tables, misfits, grow)

    def _parse(self, texts: Sequence[msgspec.Raw | bytes]) -> pa.Table:
        if not texts:
            return self.schema.empty_table()
        if self._unchecked:
            _refuse_other_than_values(texts)
        # The reader looks for the last line end of a block; behind the last record it does not cut one in two.
        joined = b"\n".join([*(self._quoted(texts) if self._json_text else texts), b""])
        # A bare null as a record crashes pyarrow's reader (measured with 26.0); it refuses all else that is no object.
        if joined.startswith(b"null") or b"\nnull" in joined:
            _refuse_null(texts)
        if not joined.isascii():
            try:
                joined.decode()  # pyarrow does not look, and a table that holds something else cannot be loaded
            except UnicodeDecodeError as error:
                raise pa.ArrowInvalid(f"the record is not UTF-8: {error.reason}") from None
        # In blocks, each record must be one line. One that is longer than a block makes the reader refuse all of them,
        # until it stands alone.
        blocks = 1 < len(texts) == joined.count(b"\n") if len(joined) > 2 * BLOCK_BYTES else False
        read = pj.ReadOptions(use_threads=False, block_size=BLOCK_BYTES if blocks else len(joined))
        # The streaming reader costs less a call, and is the same for one block.
        table = (
            pj.read_json(pa.BufferReader(joined), read, self._parse_options)
            if blocks
            else pj.open_json(pa.BufferReader(joined), read, self._parse_options).read_all()
        )
        if table.num_rows != len(texts):
            raise pa.ArrowInvalid("a record must be a single JSON object")
        if self._has_floats:
            refuse_non_finite(table)
        return to_schema(table, self.schema)

    def _quoted(self, texts: Sequence[msgspec.Raw | bytes]) -> list[bytes]:
        """The records with their values for columns of JSON text turned into texts, which the reader can take."""
        try:
            records = _OBJECTS.decode(b"[" + b",".join(texts) + b"]")
        except (msgspec.DecodeError, RecursionError) as error:
            raise pa.ArrowInvalid(f"the record is not JSON: {error}") from None
        if len(records) != len(texts):
            raise pa.ArrowInvalid("a record must be a single JSON object")
        lines = []
        for text, record in zip(texts, records, strict=True):
            if len(msgspec.json.encode(record)) != len(bytes(text)) and _names_twice(bytes(text)):
                raise pa.ArrowInvalid("a field stands there twice")
            values: dict[str, msgspec.Raw | str] = dict(record)
            for name in self._json_text:
                if name in record and (raw := bytes(record[name])) != b"null":
                    try:
                        values[name] = raw.decode()
                    except UnicodeDecodeError as error:
                        raise pa.ArrowInvalid(f"the record is not UTF-8: {error.reason}") from None
            lines.append(msgspec.json.encode(values))
        return lines

    def _reason(self, text: bytes, error: pa.ArrowInvalid) -> str:
        """Name the fields at fault: pyarrow names one, and only for some kinds of misfit."""
        message = str(error).removeprefix("JSON parse error: ").removesuffix(" in row 0").strip()
        if text[:1] != b"{":
            return _NO_OBJECT
        try:
            values = _OBJECT.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return f"the record is not JSON: {message}"
        at_fault = []
        for field in self.schema:
            value = values.get(field.name)
            if value is None or bytes(value) == b"null":
                if not field.nullable:
                    at_fault.append(f"{field.name} is {'missing' if value is None else 'null'} but required")
            elif not self._fits(field, bytes(value)):
                shown = bytes(value)[:80].decode("utf-8", "replace")
                at_fault.append(f"{field.name} is {shown}, not {field.type}")
        if self.evolution != "discard" and (unknown := sorted(values.keys() - self._names)):
            at_fault.append(f"the schema has no {', '.join(unknown)}")
        return "; ".join(at_fault) or message

    def _fits(self, field: pa.Field, value: bytes) -> bool:
        if is_json_text(field) or (is_text(field.type) and value.isascii() and b"\\" not in value):
            return is_json_text(field) or value.startswith(b'"')
        if field.name not in self._alone:
            self._alone[field.name] = RecordDecoder(pa.schema([field]), self.evolution)
        try:
            self._alone[field.name]._parse([msgspec.json.encode({field.name: msgspec.Raw(value)})])
        except pa.ArrowInvalid:
            return False
        return True

    def _report_unknown_fields(self, texts: Sequence[msgspec.Raw | bytes]) -> None:
        unknown: set[str] = set()
        for text in texts:
            try:
                unknown |= _OBJECT.decode(text).keys() - self._names
            except (msgspec.DecodeError, RecursionError):
                continue
        if unknown:
            log.warning("left out, because the schema does not name them: %s", ", ".join(sorted(unknown)))
        self._checked_names = True

    def _report_growth(self, before: pa.Schema) -> None:
        new = [field for field in self.schema if field.name not in before.names or before.field(field.name) != field]
        if new:
            log.warning("new in the schema: %s", ", ".join(f"{field.name} ({field.type})" for field in new))


class _UnknownField(Exception):
    """A record has a field that the schema does not know."""


def _refuse_null(texts: Sequence[msgspec.Raw | bytes]) -> None:
    if any(bytes(text)[:1] != b"{" for text in texts):
        raise pa.ArrowInvalid(_NO_OBJECT)


def _names_twice(text: bytes) -> bool:
    """Whether an object has a name twice, of which a dict would keep one without a word."""
    try:
        names = json.loads(text, object_pairs_hook=lambda pairs: [name for name, _ in pairs], parse_int=str)
    except (ValueError, RecursionError):
        return False
    return len(set(names)) < len(names)


def _refuse_other_than_values(texts: Sequence[msgspec.Raw | bytes]) -> None:
    """Refuse texts that are not one JSON value each; two broken ones could pass for others when read together."""
    try:
        values = _VALUES.decode(b"[" + b",".join(texts) + b"]")
    except (msgspec.DecodeError, RecursionError) as error:
        raise pa.ArrowInvalid(f"the record is not JSON: {error}") from None
    if list(map(bytes, values)) != list(map(bytes, texts)):
        raise pa.ArrowInvalid("a record must be a single JSON object")
