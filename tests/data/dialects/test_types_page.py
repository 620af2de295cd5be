"""docs/load.md shows the types that the dialects give."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from airgate.data.dialects import postgres, sqlite
from airgate.data.dialects.duckdb import DuckDB
from airgate.data.shape.arrowtypes import named_type

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "load.md").read_text()
ROWS = re.findall(r"^\| `(.+?)` \| ([A-Z][^|]+) \| ([a-z][^|]+) \| ([A-Z]+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_page_s_table_of_types_is_the_code_s(row: tuple[str, str, str, str]) -> None:
    """A new table's column has the type of the page, in each dialect."""
    name, in_duckdb, in_postgres, in_sqlite = row
    of = pa.list_(pa.int64()) if name.startswith("list") else named_type(name)
    schema = pa.schema([("v", of)])
    with duckdb.connect() as connection:
        assert DuckDB(connection).types(schema) == {"v": in_duckdb}
        connection.execute("SELECT 1").fetchall()
    assert postgres._type(schema.field("v")) == in_postgres
    assert sqlite.SQLite(None, "", 0).types(schema) == {"v": in_sqlite}


def test_the_page_has_the_table() -> None:
    """Else nothing was compared above."""
    assert len(ROWS) >= 15
