"""Arrow columns in the few types that databases of rows know: no unsigned, no nested, no nanoseconds."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from airgate.data.loads.load import LoadRefused
from airgate.data.shape.arrowtypes import is_json_text, is_text

JSON = "json"
"""Stands for a column of JSON text, which nested values become."""

_WIDER = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_binary(): pa.binary(),
}


def plain_type(field: pa.Field) -> pa.DataType:
    """The plain type of a column.

    Raises:
        LoadRefused: There is none that holds its values.
    """
    of = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if is_text(of) or pa.types.is_nested(of):
        return pa.string()
    if pa.types.is_timestamp(of):
        return pa.timestamp("us", of.tz)
    if pa.types.is_time(of):
        return pa.time64("us")
    of = _WIDER.get(of, of)
    if of in _PLAIN or pa.types.is_decimal128(of):
        return of
    raise LoadRefused(f"the column {field.name} is {field.type}, which this database has no type for; cast it")


_PLAIN = {
    *(pa.bool_(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
    *(pa.string(), pa.binary(), pa.date32()),
}


def kind(field: pa.Field) -> str:
    """The plain type in text: Arrow's name up to its parameters, ``timestamptz`` for moments, ``json`` for JSON."""
    if is_json_text(field) or pa.types.is_nested(field.type):
        return JSON
    of = plain_type(field)
    if pa.types.is_timestamp(of):
        return "timestamptz" if of.tz else "timestamp"
    return "decimal" if pa.types.is_decimal(of) else str(of).partition("[")[0]


def plain(table: pa.Table) -> pa.Table:
    """The same values in plain types.

    Raises:
        LoadRefused: A value would change, such as a nanosecond that is no whole microsecond.
    """
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        of = plain_type(field)
        if pa.types.is_nested(field.type):
            texts = [None if value is None else _json(value) for value in column.to_pylist()]
            columns.append(pa.array(texts, of))
            continue
        try:
            columns.append(column if column.type == of else column.cast(of))
        except pa.ArrowInvalid as error:
            raise LoadRefused(f"the column {field.name} is {field.type} and cannot become {of}: {error}") from None
    return pa.table(columns, names=table.schema.names)


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
