"""JSON records to Arrow, without a Python object per value.

The records of a page are parsed together against a locked schema. When one of them does not fit, the page is halved
until the misfits stand alone; they come back with the reason, and the others are kept.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.json as pj

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A record that does not fit the schema."""

    index: int
    """Position in its page, from 0."""
    record: bytes
    """The record's JSON text, as it came."""
    reason: str


class RecordDecoder:
    """Parses JSON records into tables of one schema.

    Fields that the schema does not name are left out; the first page that has some is reported in the log.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        # pyarrow's JSON reader takes numbers for dates, so dates are read as text and then cast.
        self._wire = pa.schema(
            [field.with_type(pa.string()) if pa.types.is_date(field.type) else field for field in schema]
        )
        self._options = pj.ParseOptions(
            explicit_schema=self._wire, newlines_in_values=True, unexpected_field_behavior="ignore"
        )
        self._names = frozenset(schema.names)
        self._checked_names = False

    def decode(self, records: Sequence[msgspec.Raw]) -> tuple[pa.Table, list[Misfit]]:
        """Parse the records of one page.

        Args:
            records: JSON text of each record.

        Returns:
            The records that fit, in order, and the ones that do not.
        """
        texts = [bytes(record) for record in records]
        if texts and not self._checked_names:
            self._report_unknown_fields(texts)
        tables: list[pa.Table] = []
        misfits: list[Misfit] = []
        self._decode(texts, 0, tables, misfits)
        table = pa.concat_tables(tables) if tables else self.schema.empty_table()
        return table, misfits

    def _decode(self, texts: list[bytes], start: int, tables: list[pa.Table], misfits: list[Misfit]) -> None:
        if not texts:
            return
        try:
            tables.append(self._parse(texts))
        except pa.ArrowInvalid as error:
            if len(texts) == 1:
                misfits.append(Misfit(start, texts[0], self._reason(texts[0], error)))
                return
            middle = len(texts) // 2
            self._decode(texts[:middle], start, tables, misfits)
            self._decode(texts[middle:], start + middle, tables, misfits)

    def _parse(self, texts: list[bytes]) -> pa.Table:
        # A bare null as a record crashes pyarrow's reader (measured with 26.0), so nothing but objects may reach it.
        if not all(map(_is_object, texts)):
            raise pa.ArrowInvalid("a record must be a JSON object")
        joined = b"\n".join(texts)
        try:
            joined.decode()  # pyarrow does not look, and a table that holds something else cannot be loaded
        except UnicodeDecodeError as error:
            raise pa.ArrowInvalid(f"the record is not UTF-8: {error.reason}") from None
        if b"NaN" in joined or b"Infinity" in joined:
            _refuse_constants(texts)
        read = pj.ReadOptions(use_threads=False, block_size=len(joined) + 1)
        table = pj.read_json(io.BytesIO(joined), read_options=read, parse_options=self._options)
        if table.num_rows != len(texts):
            raise pa.ArrowInvalid("a record must be a single JSON object")
        return table if table.schema.equals(self.schema) else table.select(self.schema.names).cast(self.schema)

    def _reason(self, text: bytes, error: pa.ArrowInvalid) -> str:
        """Name the field at fault: pyarrow names it only for some kinds of misfit."""
        message = str(error).removeprefix("JSON parse error: ").removesuffix(" in row 0").strip()
        if not _is_object(text):
            return message
        try:
            values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            return message
        at_fault = []
        for field in self.schema:
            value = values.get(field.name)
            if value is None or bytes(value) == b"null":
                if not field.nullable:
                    at_fault.append(f"{field.name} is {'missing' if value is None else 'null'} but required")
                continue
            alone = RecordDecoder(pa.schema([field]))
            try:
                alone._parse([b'{"%s":%s}' % (field.name.encode(), bytes(value))])
            except pa.ArrowInvalid:
                at_fault.append(f"{field.name} is {bytes(value)[:80].decode('utf-8', 'replace')}, not {field.type}")
        return "; ".join(at_fault) or message

    def _report_unknown_fields(self, texts: list[bytes]) -> None:
        unknown: set[str] = set()
        for text in texts:
            try:
                unknown |= msgspec.json.decode(text, type=dict[str, msgspec.Raw]).keys() - self._names
            except msgspec.DecodeError:
                continue
        if unknown:
            log.warning("left out, because the schema does not name them: %s", ", ".join(sorted(unknown)))
        self._checked_names = True


def _is_object(text: bytes) -> bool:
    """Whether a JSON text, which has no white space around it, is an object."""
    return text[:1] == b"{"


def _refuse_constants(texts: Sequence[bytes]) -> None:
    """Refuse NaN and Infinity, which pyarrow reads although they are not JSON and no service means them."""
    for text in texts:
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise pa.ArrowInvalid(f"the record is not JSON: {error}") from None
