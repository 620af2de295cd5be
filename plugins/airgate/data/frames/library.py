"""The libraries whose frames a transform may take and give: pandas, polars and Arrow itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Library = Literal["pandas", "polars", "arrow"]
Frame: TypeAlias = "pd.DataFrame | pl.DataFrame | pa.Table"

NAMES: dict[Library, str] = {"pandas": "pandas DataFrame", "polars": "polars DataFrame", "arrow": "pyarrow Table"}


def library_of(value: object) -> Library | None:
    """The library of a frame, None for a value that is none. Imports nothing: a frame's library is loaded already."""
    if isinstance(value, pa.Table):
        return "arrow"
    libraries: tuple[Library, ...] = ("pandas", "polars")
    for library in libraries:
        module = sys.modules.get(library)
        if module is not None and isinstance(value, module.DataFrame):
            return library
    return None


def from_table(table: pa.Table, library: Library) -> Frame:
    """A table as a frame of a library; pandas columns are Arrow-backed, so nulls stay nulls and integers integers.

    Raises:
        ValueError: When the library is not installed.
    """
    if library == "arrow":
        return table
    if library == "pandas":
        import pandas as pd

        return cast("pd.DataFrame", table.to_pandas(types_mapper=pd.ArrowDtype))
    require_polars()
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # of a table; of an array it would be a series
    return frame


def require_polars() -> None:
    """Make sure that polars is there.

    Raises:
        ValueError: Saying how to get it.
    """
    try:
        import polars  # noqa: F401, only whether it is there
    except ModuleNotFoundError:
        raise ValueError("polars frames need polars: pip install 'airgate[polars]'") from None


def to_table(frame: object) -> pa.Table:
    """A frame as a table of plain types; the index of a pandas frame is not kept.

    Text is ``string`` whatever its layout was, and categories become the values that they stand for: parts that were
    made by different libraries fit together.

    Raises:
        TypeError: When it is no frame, or a column has no Arrow type.
        ValueError: When two columns have the same name.
    """
    library = library_of(frame)
    if library is None:
        raise TypeError(f"expected one of {', '.join(NAMES.values())}, got {type(frame).__name__}")
    if library == "pandas":
        table = _of_pandas(cast("pd.DataFrame", frame))
    else:
        table = frame if isinstance(frame, pa.Table) else cast("pl.DataFrame", frame).to_arrow()
        names = table.column_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two columns have the same name: {', '.join(twice)}")
    plain = pa.schema([field.with_type(_plain(field.type)) for field in table.schema])
    return table.replace_schema_metadata(None).cast(plain)


def _of_pandas(frame: pd.DataFrame) -> pa.Table:
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise ValueError(f"two columns have the same name: {', '.join(map(str, twice))}")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"a column has no Arrow type: {error}") from None


def _plain(of: pa.DataType) -> pa.DataType:
    """The type without what only says how its values lie in memory."""
    if pa.types.is_large_string(of) or pa.types.is_string_view(of):
        return pa.string()
    if pa.types.is_large_binary(of) or pa.types.is_binary_view(of):
        return pa.binary()
    if pa.types.is_dictionary(of):
        return _plain(of.value_type)
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return pa.list_(of.value_field.with_type(_plain(of.value_type)))
    if pa.types.is_struct(of):
        return pa.struct([inner.with_type(_plain(inner.type)) for inner in of])
    return of
