"""JSON records to one Arrow table, all of them or none: pyarrow's reader with its traps closed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.json as pj

from airgate.data.shape.arrowtypes import is_json_text, no_rows
from airgate.data.shape.wiretypes import may_hold_floats, refuse_non_finite, to_schema, wire_schema
from airgate.policy.json_faults import NOT_JSON

BLOCK_BYTES = 1 << 20
"""The reader takes long text in blocks that stay in the processor's cache: a sixth faster (measured)."""

NO_OBJECT = "a record must be a JSON object"

_NULLS = (msgspec.Raw(b"null"), b"null")
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class RecordParser:
    """Parses records of one schema together; one that does not fit makes it refuse them all.

    Args:
        schema: Of the tables. A column of JSON text takes any value.
        strict: Whether a field that the schema does not name is refused, rather than left out.
        unchecked: Whether a text may be anything at all, such as a line of a file, rather than one JSON value.

    Raises:
        ValueError: When a column has a type that records in JSON cannot fill.
    """

    def __init__(self, schema: pa.Schema, *, strict: bool, unchecked: bool = False) -> None:
        self.schema = schema
        self._unchecked = unchecked
        self._options = pj.ParseOptions(
            wire_schema(schema),
            newlines_in_values=False,
            unexpected_field_behavior="error" if strict else "ignore",
        )
        self._has_floats = any(may_hold_floats(field.type) for field in schema)
        self._json_text = [field.name for field in schema if is_json_text(field)]

    def parse(self, texts: Sequence[msgspec.Raw | bytes]) -> pa.Table:
        """A table with a row for each record.

        Args:
            texts: JSON text of each record, without white space around it.

        Raises:
            pa.ArrowInvalid: One of them does not fit, or is longer than a block and not alone.
        """
        if not texts:
            return no_rows(self.schema)
        if self._unchecked:
            _refuse_other_than_values(texts)
        # A bare null as a record crashes pyarrow's reader (measured with 26.0); it refuses all else that is no object.
        if any(null in texts for null in _NULLS):
            raise pa.ArrowInvalid(NO_OBJECT)
        # The reader looks for the last line end of a block; behind the last record it does not cut one in two.
        joined = b"\n".join([*(self._quoted(texts) if self._json_text else texts), b""])
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
            pj.read_json(pa.BufferReader(joined), read, self._options)
            if blocks
            else pj.open_json(pa.BufferReader(joined), read, self._options).read_all()
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
        except NOT_JSON as error:
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
    except NOT_JSON as error:
        raise pa.ArrowInvalid(f"the record is not JSON: {error}") from None
    if list(map(bytes, values)) != list(map(bytes, texts)):
        raise pa.ArrowInvalid("a record must be a single JSON object")
