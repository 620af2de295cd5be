"""How a locked schema meets a field that it does not know, and how parts from before and after fit together."""

from __future__ import annotations

from typing import Literal, get_args

import pyarrow as pa

from airgate.data.shape.infer import Observed

Evolution = Literal["evolve", "freeze", "discard"]
"""What becomes of a field that the schema does not know.

``evolve``: a new nullable column, from the part on in which it first appears. ``freeze``: the record is dead-lettered.
``discard``: the field is left out, and the log names it once. A field that is known but has another type makes its
record a dead letter in all three.
"""
EVOLUTIONS: tuple[Evolution, ...] = get_args(Evolution)

MAX_COLUMNS = 1000
"""A schema does not evolve beyond this: names that are data, such as ids, would make a column each."""


def check_evolution(evolution: str) -> None:
    """Refuse what is none.

    Raises:
        ValueError: Naming the three.
    """
    if evolution not in EVOLUTIONS:
        raise ValueError(f"evolution must be one of {', '.join(EVOLUTIONS)}, not {evolution!r}")


def grown(schema: pa.Schema, seen: Observed) -> pa.Schema:
    """The schema with what was seen beyond it: new columns at the end, new members at the end of their structs.

    Columns that are there keep their types. A new member that has no single type becomes text, because only a column
    of its own can hold JSON text.
    """
    fields = [
        field.with_type(_grown_type(field.type, seen.members[field.name])) if field.name in seen.members else field
        for field in schema
    ]
    new = [inner.column(name) for name, inner in seen.members.items() if name not in schema.names]
    return schema if len(fields) + len(new) > MAX_COLUMNS else pa.schema(fields + new, schema.metadata)


def _grown_type(of: pa.DataType, seen: Observed) -> pa.DataType:
    if pa.types.is_list(of) and seen.items is not None:
        return pa.list_(of.value_field.with_type(_grown_type(of.value_type, seen.items)))
    if not pa.types.is_struct(of):
        return of
    members = [
        inner.with_type(_grown_type(inner.type, seen.members[inner.name])) if inner.name in seen.members else inner
        for inner in of
    ]
    known = {inner.name for inner in of}
    new = [pa.field(name, more.type or pa.string()) for name, more in seen.members.items() if name not in known]
    return of if len(members) + len(new) > MAX_COLUMNS else pa.struct(members + new)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of an earlier schema in the form of a later one: missing columns and struct members are null.

    Raises:
        ValueError: When the later schema lacks a column, or gives one another type.
    """
    if table.schema.equals(schema, check_metadata=True):
        return table
    if missing := [name for name in table.schema.names if name not in schema.names]:
        raise ValueError(f"the later schema lacks {', '.join(missing)}")
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        try:
            columns.append(column if column.type.equals(field.type) else column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise ValueError(f"column {field.name} is first {column.type}, then {field.type}: {error}") from None
    return pa.table(columns, schema=schema)


def united(schemas: list[pa.Schema]) -> pa.Schema:
    """One schema over parts of one data set: columns by name, in the order in which they first appear.

    A struct that grew has all members; a column that is missing somewhere is nullable. Types are not changed.

    Raises:
        ValueError: When a column has two types.
    """
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name)
            of = field.type if known is None else _united_type(known.type, field.type, field.name)
            nullable = field.nullable or (known is not None and known.nullable)
            fields[field.name] = field.with_type(of).with_nullable(nullable)
    everywhere = set.intersection(*(set(schema.names) for schema in schemas)) if schemas else set()
    return pa.schema([field.with_nullable(field.nullable or name not in everywhere) for name, field in fields.items()])


def _united_type(one: pa.DataType, two: pa.DataType, name: str) -> pa.DataType:
    if one.equals(two):
        return one
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        members = {inner.name: inner for inner in one}
        for inner in two:
            of = members[inner.name].type if inner.name in members else inner.type
            members[inner.name] = inner.with_type(_united_type(of, inner.type, f"{name}.{inner.name}"))
        return pa.struct(list(members.values()))
    if pa.types.is_list(one) and pa.types.is_list(two):
        return pa.list_(_united_type(one.value_type, two.value_type, f"{name}[]"))
    raise ValueError(f"column {name} is {one} in one part and {two} in another")
