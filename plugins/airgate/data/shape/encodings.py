"""How the values of a column are encoded in a Parquet file, before they are compressed."""

from __future__ import annotations

from typing import TypedDict

import pyarrow as pa

from airgate.data.shape.arrowtypes import is_text


class Encodings(TypedDict):
    """Arguments of ``pyarrow.parquet.ParquetWriter``."""

    use_dictionary: list[str] | bool
    column_encoding: dict[str, str] | None


def encodings(schema: pa.Schema) -> Encodings:
    """What is cheapest to write and to read for each column that is no list or struct.

    Text: a dictionary, which the writer gives up where values seldom repeat. Whole numbers, dates and times: the
    differences between neighbours, in as few bits as they need (``DELTA_BINARY_PACKED``, Parquet 2.0), which are also
    the smaller files. Others as they are: ``BYTE_STREAM_SPLIT`` would make floating-point numbers smaller, but not
    every reader knows it, Spark's vectorized one among them (SPARK-56894). Numbers seldom repeat, and a dictionary of
    them takes as long as all the rest. Measured; ``docs/tuning.md`` has the figures.
    """
    flat = [field for field in schema if "." not in field.name]  # a dot would name a member of a struct
    text = [field.name for field in flat if is_text(field.type)]
    whole = {field.name: "DELTA_BINARY_PACKED" for field in flat if _is_whole(field.type)}
    return {"use_dictionary": text or False, "column_encoding": whole or None}


def _is_whole(of: pa.DataType) -> bool:
    return bool(pa.types.is_integer(of) or pa.types.is_temporal(of))
