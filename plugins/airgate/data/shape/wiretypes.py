"""As what pyarrow's JSON reader must read a column so that nothing slips through, and the way from there to its type.

Measured with pyarrow 26: the reader takes the number 7 for the date 1970-01-08 and for a time, reads a time with an
offset into a column without a zone as if it had none, and knows neither dictionaries nor large lists. Such values are
read as text, or as what they hold, and then cast, which is strict.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

_TIME = r"^\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]00:00)?$"


def wire_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with which records are read. Times of day must be columns of their own.

    Raises:
        ValueError: When a column has a type that records in JSON cannot fill.
    """
    wire = pa.schema([field.with_type(_wire_type(field.type)) for field in schema])
    for field in schema:
        if field.type.num_fields and _holds_time(field.type):
            raise ValueError(f"column {field.name}: records in JSON cannot fill the type {field.type}")
    for field in wire:
        # Only the reader itself knows what it can read; it says so before it looks at a record.
        alone = pj.ParseOptions(explicit_schema=pa.schema([field.with_nullable(True)]))
        try:
            pj.read_json(io.BytesIO(b"{}"), parse_options=alone)
        except pa.ArrowNotImplementedError:
            raise ValueError(
                f"column {field.name}: records in JSON cannot fill the type {schema.field(field.name).type}"
            ) from None
    return wire


def _holds_time(of: pa.DataType) -> bool:
    return pa.types.is_time(of) or any(_holds_time(of.field(place).type) for place in range(of.num_fields))


def _wire_type(of: pa.DataType) -> pa.DataType:
    if pa.types.is_date(of) or pa.types.is_time(of) or (pa.types.is_timestamp(of) and of.tz is None):
        return pa.string()
    if pa.types.is_dictionary(of):
        return _wire_type(of.value_type)
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return pa.list_(of.value_field.with_type(_wire_type(of.value_type)))
    if pa.types.is_struct(of):
        return pa.struct([inner.with_type(_wire_type(inner.type)) for inner in of])
    return of


def to_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table that was read with ``wire_schema`` in its own types.

    Raises:
        pa.ArrowInvalid: When a value has not the type.
    """
    if table.schema.equals(schema, check_metadata=True):
        return table
    columns = []
    for field in schema:
        column = table.column(field.name)
        if pa.types.is_time(field.type):
            column = _times(column)
        columns.append(column if column.type.equals(field.type) else column.cast(field.type))
    return pa.table(columns, schema=schema)


def _times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of day as times of one day, which can be cast further; texts cannot.

    RFC 3339 has an offset behind a time of day; only that of UTC says the same as none.
    """
    if not pc.all(pc.match_substring_regex(texts, _TIME), min_count=0).as_py():
        raise pa.ArrowInvalid("a time must be written as 23:59:59, with up to six digits behind the second")
    bare = pc.replace_substring_regex(texts, r"(Z|[+-]00:00)$", "")
    return pc.binary_join_element_wise("1970-01-01T", bare, "").cast(pa.timestamp("us"))


def may_hold_floats(of: pa.DataType) -> bool:
    """Whether there are floating-point numbers in values of a type."""
    if of.num_fields:
        return any(may_hold_floats(of.field(place).type) for place in range(of.num_fields))
    return bool(pa.types.is_floating(of))


def refuse_non_finite(table: pa.Table) -> None:
    """Refuse NaN and Infinity, which the reader takes although they are not JSON and no service means them.

    Raises:
        pa.ArrowInvalid: Naming the column.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        if may_hold_floats(column.type) and not all(map(_finite, column.chunks)):
            raise pa.ArrowInvalid(f"{name} is NaN or infinite")


def _finite(array: pa.Array) -> bool:
    if pa.types.is_floating(array.type):
        return pc.all(pc.is_finite(array), min_count=0).as_py() is not False
    if pa.types.is_list(array.type):
        return _finite(array.flatten())
    if pa.types.is_struct(array.type):
        return all(_finite(member) for member in array.flatten())
    return True
