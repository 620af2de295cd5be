"""CSV records to Arrow."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.csv as pc

from airgate.data.read.fileformats import CsvFile, check_names
from airgate.data.shape.evolution import Evolution, check_evolution
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.wiretypes import refuse_non_finite

log = logging.getLogger(__name__)

_SIMPLE = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)


def header_of(record: bytes, file: CsvFile) -> list[str]:
    """The column names that the first record of a file holds.

    Raises:
        ValueError: A name is empty or stands there twice.
    """
    parse, read = _parse_options(file), pc.ReadOptions(encoding=file.encoding)
    try:
        names: list[str] = pc.read_csv(pa.BufferReader(record + b"\n"), read, parse).column_names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"the first line is no header: {error}") from None
    check_names(names)
    return names


def _parse_options(file: CsvFile) -> pc.ParseOptions:
    return pc.ParseOptions(delimiter=file.delimiter, newlines_in_values=True)


def text_schema(names: Sequence[str]) -> pa.Schema:
    """What nobody has declared is text: whether ``007`` is a number cannot be seen from it."""
    return pa.schema([pa.field(name, pa.string()) for name in names])


class CsvDecoder:
    """Parses CSV records into tables of one schema.

    What is quoted is never null. Columns are found by name; one that the file lacks is null.

    Args:
        schema: Columns of the tables, none of them a list or struct.
        evolution: What becomes of columns that the schema does not name; they stand in the header, so that ``freeze``
            refuses the file rather than each of its records.
        header: The file's column names, in order.
        file: How it is written.

    Raises:
        ValueError: When a column has a type that a field cannot fill, or the file has columns that it must not have, or
            lacks one that must not be null.
    """

    def __init__(self, schema: pa.Schema, evolution: Evolution, header: Sequence[str], file: CsvFile) -> None:
        check_evolution(evolution)
        for field in schema:
            if not any(fits(field.type) for fits in _SIMPLE):
                raise ValueError(f"column {field.name}: a field of a CSV file cannot fill the type {field.type}")
            if field.name not in header and not field.nullable:
                raise ValueError(f"column {field.name} is required, but the file has only {', '.join(header)}")
        unknown = [name for name in header if name not in schema.names]
        if unknown and evolution == "freeze":
            raise ValueError(f"the schema has no {', '.join(unknown)}, and evolution is freeze")
        if unknown and evolution == "discard":
            log.warning("left out, because the schema does not name them: %s", ", ".join(unknown))
        if unknown and evolution == "evolve":
            schema = pa.schema([*schema, *text_schema(unknown)], schema.metadata)
            log.warning("new in the schema: %s", ", ".join(f"{name} (string)" for name in unknown))
        self.schema = schema
        self._header = list(header)
        self._encoding = file.encoding
        self._parse_options = _parse_options(file)
        self._convert = pc.ConvertOptions(
            column_types=schema,
            include_columns=schema.names,
            include_missing_columns=True,
            null_values=list(file.null),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> tuple[pa.Table, list[Misfit]]:
        """Parse records.

        Args:
            records: Text of each record, without its line end.

        Returns:
            The records that fit, in order, and the ones that do not.
        """
        tables: list[pa.Table] = []
        misfits: list[Misfit] = []
        for found in self._decode(list(map(bytes, records)), 0):
            if isinstance(found, Misfit):
                misfits.append(found)
            else:
                tables.append(found)
        return (pa.concat_tables(tables) if tables else self.schema.empty_table()), misfits

    def _decode(self, texts: list[bytes], start: int) -> Iterator[pa.Table | Misfit]:
        if not texts:
            return
        try:
            yield self._parse(texts)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            if len(texts) == 1:
                yield Misfit(start, texts[0], str(error).removeprefix("In CSV column #").strip())
                return
            middle = len(texts) // 2
            yield from self._decode(texts[:middle], start)
            yield from self._decode(texts[middle:], start + middle)

    def _parse(self, texts: list[bytes]) -> pa.Table:
        joined = b"\n".join([*texts, b""])
        read = pc.ReadOptions(
            use_threads=False, block_size=len(joined) + 1, column_names=self._header, encoding=self._encoding
        )
        table = pc.read_csv(pa.BufferReader(joined), read, self._parse_options, self._convert)
        if table.num_rows != len(texts):
            raise pa.ArrowInvalid("a record must be a single line, or quoted")
        for field in self.schema:
            if not field.nullable and table.column(field.name).null_count:
                raise pa.ArrowInvalid(f"{field.name} is empty but required")
        refuse_non_finite(table)
        return table.cast(self.schema)
