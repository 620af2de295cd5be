"""Rows by the values of some columns, each set of values with the folder that is named after it.

The folders are those of Hive, ``carrier=UA/month=1``, which DuckDB, Spark and pyarrow read as columns. A value is
percent-encoded where a path could not hold it, and a missing one is ``__HIVE_DEFAULT_PARTITION__``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

NULL = "__HIVE_DEFAULT_PARTITION__"
MAX_PARTITIONS = 1000
"""A part is not spread over more folders than this: each would hold a handful of rows."""
_MAX_NAME = 200


def check_partition_columns(schema: pa.Schema, by: Sequence[str]) -> None:
    """Refuse columns that cannot name folders.

    Raises:
        ValueError: When there is no such column, or its values are not texts, integers, booleans or dates.
    """
    for name in by:
        if name not in schema.names:
            raise ValueError(f"partition_by: there is no column {name!r}; there are {', '.join(schema.names)}")
        of = schema.field(name).type
        if not (pa.types.is_string(of) or pa.types.is_integer(of) or pa.types.is_boolean(of) or pa.types.is_date(of)):
            raise ValueError(f"partition_by: column {name} is {of}; only text, integers, booleans, dates do")


def partitions(table: pa.Table, by: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each folder, folders in the order of their names, rows in their own.

    Raises:
        ValueError: When there are more than ``MAX_PARTITIONS``, or a value is too long for a name.
    """
    # One text a row, so that rows are compared once, whatever the number of columns.
    folders = pc.binary_join_element_wise(*(_segments(table.column(name), name) for name in by), "/")
    encoded = folders.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if len(names) > MAX_PARTITIONS:
        raise ValueError(
            f"partition_by {', '.join(by)}: {len(names)} different values in one part are more than {MAX_PARTITIONS}; "
            "choose a column with fewer"
        )
    for place in sorted(range(len(names)), key=names.__getitem__):
        yield names[place], table.filter(pc.equal(encoded.indices, place))


def _segments(column: pa.ChunkedArray, name: str) -> pa.Array:
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    texts = [f"{quote(name, safe='')}={_text(value, name)}" for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _text(value: object, name: str) -> str:
    if value is None:
        return NULL
    text = quote(str(value).lower() if isinstance(value, bool) else str(value), safe=" ")
    if len(text) > _MAX_NAME:
        raise ValueError(f"partition_by {name}: the value {str(value)[:40]!r}… is too long to name a folder")
    return text
