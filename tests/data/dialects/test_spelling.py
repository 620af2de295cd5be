"""Columns of data and table whose names differ in case: what is in the table is what was in the data."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from airgate.data.dialects.dbapi import DbApiWarehouse
from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.postgres import open_postgres
from airgate.data.dialects.sqlite import open_sqlite
from airgate.data.loads.load import Load, LoadRefused, LoadResult
from airgate.data.loads.staged import StagedWarehouse
from airgate.data.loads.straight import may_go_straight

MODES = ("append", "merge", "replace")
DATA = {"ID": [1, 2], "Name": ["a", "b"]}
ROWS = [(1, "a"), (2, "b")]


@dataclass
class Place:
    """A table of the test's own in an open warehouse."""

    dialect: str
    warehouse: StagedWarehouse
    table: str
    loads: int = 0

    def load(self, rows: object, mode: str, way: str, **fields: object) -> LoadResult:
        """A load without a key goes straight in where the dialect can; one with a key is staged."""
        self.loads += 1
        key = ("ID",) if way == "staged" else ()
        return self.warehouse.load(Load(self.table, key, f"{self.table}-{self.loads}", mode=mode, **fields), rows)

    def make(self, *columns: str) -> None:
        """The table, with columns of the types that the data has: only names could keep rows from going straight in."""
        kinds = {"sqlite": ("INTEGER", "TEXT"), "duckdb": ("BIGINT", "VARCHAR"), "postgres": ("BIGINT", "TEXT")}
        first = [f'"{name}" {kind}' for name, kind in zip(columns, kinds[self.dialect], strict=False)]
        self.warehouse.query(f"CREATE TABLE {self.table} ({', '.join([*first, *columns[2:]])})")

    def content(self, columns: str = "*") -> list[tuple]:
        return self.warehouse.query(f"SELECT {columns} FROM {self.table} ORDER BY 1")

    def names(self) -> list[str]:
        """Its columns as it spells them; none if it is not there."""
        return list(self.warehouse.dialect.columns(self.table))

    def ignores_case(self) -> None:
        if self.dialect == "postgres":
            pytest.skip("PostgreSQL tells quoted names apart by case")


@pytest.fixture(scope="module", params=["duckdb", "sqlite", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StagedWarehouse]:
    """One for all tests here, open all the time."""
    folder = tmp_path_factory.mktemp("spelling")
    if request.param == "duckdb":
        opening = open_duckdb(str(folder / "w.duckdb"))
    elif request.param == "sqlite":
        opening = open_sqlite(str(folder / "w.sqlite"))
    else:
        server = request.getfixturevalue("postgres").uri
        with open_postgres(server) as there:
            there.query("CREATE DATABASE spelling TEMPLATE template0")
        opening = open_postgres(server.rpartition("/")[0] + "/spelling")
    with opening as opened:
        yield opened


@pytest.fixture
def place(warehouse: StagedWarehouse) -> Place:
    """Where a test loads."""
    return Place(type(warehouse.dialect).__name__.lower(), warehouse, f"t{next(_TABLES)}")


_TABLES = count()


def ways() -> list[tuple[str, str]]:
    """A merge has but one."""
    return [(mode, way) for mode in MODES for way in ("straight", "staged") if (mode, way) != ("merge", "straight")]


@pytest.mark.parametrize(("mode", "way"), ways())
@pytest.mark.parametrize("table", ["there", "made"])
def test_rows_are_as_in_the_data(place: Place, mode: str, way: str, table: str) -> None:
    """Whatever the table's spelling, each value is in its column, and the table keeps its own names."""
    if table == "there":
        place.ignores_case()
        place.make("id", "NAME")
    assert place.load(pa.table(DATA), mode, way).inserted == 2
    assert place.names() == (["id", "NAME"] if table == "there" else ["ID", "Name"])
    assert place.content('"id", "name"' if table == "there" else '"ID", "Name"') == ROWS
    again = place.load(pa.table({"ID": [3], "Name": ["c"]}), mode, way)
    assert again.inserted == 1
    assert place.content('"ID", "NAME"' if table == "there" else '"ID", "Name"') == [
        *(() if mode == "replace" else ROWS),
        (3, "c"),
    ]


def test_the_straight_way_compares_the_types_of_one_column(place: Place) -> None:
    """Another spelling neither bars rows from it nor hides that they have to be converted."""
    place.make("id", "NAME")
    names, kinds = ("ID", "Name"), list(place.warehouse.dialect.columns(place.table).values())
    load, dialect = Load(place.table, (), "load", mode="append"), place.warehouse.dialect
    straight = place.dialect != "sqlite"
    assert may_go_straight(dialect, load, dict(zip(names, kinds, strict=True))) == straight
    changed = dict(zip(names, ["smallint", kinds[1]], strict=True))
    assert may_go_straight(dialect, load, changed) == (place.dialect == "postgres")  # there it is a new column


@pytest.mark.parametrize(("mode", "way"), ways())
def test_parts_may_differ_in_spelling(place: Place, mode: str, way: str) -> None:
    """Where case is ignored; elsewhere they have other columns, and nothing is loaded."""
    place.make("ID", "Name")
    parts = [pa.table(DATA), pa.table({"NAME": ["c"], "id": [3]}), pa.table({"ID": [4], "name": ["d"]})]
    if place.dialect == "postgres":
        with pytest.raises(LoadRefused, match="the parts differ: the first one has the columns ID, Name"):
            place.load(iter(parts), mode, way)
        assert place.content('"ID"') == []
        return
    assert place.load(iter(parts), mode, way).inserted == 4
    assert place.content("id, name") == [*ROWS, (3, "c"), (4, "d")]


@pytest.mark.parametrize(("mode", "way"), ways())
def test_parts_of_other_columns_are_refused(place: Place, mode: str, way: str) -> None:
    """One column more or fewer than the first part has: no value is left out unseen."""
    for data in ({"ID": [3]}, {"ID": [3], "Name": ["c"], "more": [1]}):
        with pytest.raises(LoadRefused, match="the parts differ"):
            place.load(iter([pa.table(DATA), pa.table(data)]), mode, way)
    assert place.names() == []


@pytest.mark.parametrize(("mode", "way"), ways())
@pytest.mark.parametrize("new_columns", ["add", "ignore", "fail"])
def test_another_spelling_is_no_new_column(
    place: Place, mode: str, way: str, new_columns: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What becomes of new columns is said of those only that the table has in no spelling."""
    place.ignores_case()
    place.make("id", "NAME")
    caplog.set_level(logging.WARNING)
    assert place.load(pa.table(DATA), mode, way, new_columns=new_columns).inserted == 2
    assert place.content("id, name") == ROWS
    assert not caplog.records
    more = pa.table({"ID": [3], "Name": ["c"], "Extra": [7]})
    if new_columns == "fail":
        with pytest.raises(LoadRefused, match="has no column Extra"):
            place.load(more, mode, way, new_columns=new_columns)
        assert place.content("id, name") == ROWS
        return
    place.load(more, mode, way, new_columns=new_columns)
    kept = [] if mode == "replace" else ROWS
    if new_columns == "ignore":
        assert place.content() == [*kept, (3, "c")]
    else:
        assert place.names() == ["id", "NAME", "Extra"]
        assert place.content() == [*((*row, None) for row in kept), (3, "c", 7)]


@pytest.mark.parametrize(("mode", "way"), ways())
def test_two_names_that_are_one_are_refused(place: Place, mode: str, way: str) -> None:
    """By name, before anything is done; where case counts they are two columns."""
    data = pa.table({"ID": [1, 2], "id": [8, 9], "Name": ["a", "b"]})
    if place.dialect == "postgres":
        place.load(data, mode, way)
        assert place.content('"ID", id, "Name"') == [(1, 8, "a"), (2, 9, "b")]
        return
    with pytest.raises(LoadRefused, match="two columns of the data, ID and id, have names that are one"):
        place.load(data, mode, way)
    assert place.names() == []


@pytest.mark.parametrize("way", ["straight", "staged"])
def test_the_name_of_the_place_is_taken_in_every_spelling(place: Place, way: str) -> None:
    """The staging table has a column of its own; where case counts, another spelling is free."""
    data = pa.table({"ID": [1], "AIRGATE_ROW": [5]})
    if place.dialect == "postgres":
        place.load(data, "append", way)
        assert place.content('"ID", "AIRGATE_ROW"') == [(1, 5)]
        return
    with pytest.raises(LoadRefused, match="taken by the load itself"):
        place.load(data, "append", way)


@pytest.mark.parametrize(("mode", "way"), ways())
def test_letters_beyond_z_are_told_apart(place: Place, mode: str, way: str) -> None:
    """DuckDB and SQLite ignore the case of A to Z only: É and é are two columns, in the data and in the table."""
    place.load(pa.table({"ID": [1], "É": ["upper"], "é": ["lower"]}), mode, way)
    assert place.names() == ["ID", "É", "é"]
    place.load(pa.table({"ID": [2], "é": ["low"]}), mode, way)
    assert place.content('"ID", "É", "é"')[-1] == (2, None, "low")


@pytest.mark.parametrize(("mode", "way"), ways())
def test_quoted_names_of_postgres_are_told_apart(place: Place, mode: str, way: str) -> None:
    """A table may have both spellings, and one that it lacks is a new column."""
    if place.dialect != "postgres":
        pytest.skip("ignores case")
    place.make("ID", "name", '"Name" TEXT')
    place.load(pa.table({"Name": ["B"], "ID": [1], "name": ["b"]}), mode, way)
    assert place.content('"ID", name, "Name"') == [(1, "b", "B")]
    place.load(pa.table({"ID": [2], "Name": ["C"], "NAME": ["CC"]}), mode, way)
    assert place.content('"ID", name, "Name", "NAME"')[-1] == (2, None, "C", "CC")
    place.load(pa.table({"ID": [3], "nAME": ["x"]}), mode, way, new_columns="ignore")
    assert place.content()[-1] == (3, None, None, None)


@pytest.mark.parametrize(("mode", "way"), ways())
def test_a_column_without_a_value_is_null_in_every_spelling(place: Place, mode: str, way: str) -> None:
    """Not what the table has as its default: the data has the column, and there it is null."""
    spelling = ("ID", "Name") if place.dialect == "postgres" else ("id", "NAME")
    place.make(*spelling, "state VARCHAR(9) DEFAULT 'new'", "made TIMESTAMP DEFAULT CURRENT_TIMESTAMP")
    data = pa.table({"ID": [1], "Name": pa.nulls(1), "state": pa.nulls(1), "made": pa.nulls(1)})
    place.load(data, mode, way)
    assert place.content() == [(1, None, None, None)]


def test_refused_rows_of_another_spelling_become_dead_letters(place: Place) -> None:
    """The part in which a row is refused is staged under the names of the data."""
    spelling = ("ID", "Name") if place.dialect == "postgres" else ("id", "NAME")
    place.make(*spelling, 'UNIQUE ("ID")', 'CHECK ("Name" IS NOT NULL)')
    data = pa.table({"ID": [1, 1, 2, 3], "Name": ["a", "again", "b", None]})
    result = place.load(data, "append", "straight", max_dead_letters=2)
    assert (result.inserted, result.dead_lettered) == (2, 2)
    assert place.content('"ID", "Name"') == ROWS


@pytest.fixture
def any_database(tmp_path: Path) -> Iterator[DbApiWarehouse]:
    """The dialect of any driver, which cannot know whether case counts."""
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as connection:
        warehouse = DbApiWarehouse(connection, "?")
        warehouse.query("CREATE TABLE t (id INTEGER, name TEXT)")
        yield warehouse


@pytest.mark.parametrize("new_columns", ["add", "ignore", "fail"])
@pytest.mark.parametrize("mode", ["append", "replace"])
def test_any_database_refuses_another_spelling(any_database: DbApiWarehouse, mode: str, new_columns: str) -> None:
    """Not even new columns that are to be ignored may be one that the table has."""
    load = Load("t", (), "load-1", mode=mode, new_columns=new_columns)
    with pytest.raises(LoadRefused, match="the table has id, name where the data has ID, Name"):
        any_database.load(load, pa.table(DATA))
    with pytest.raises(LoadRefused, match="the parts differ"):
        any_database.load(load, iter([pa.table({"id": [1], "name": ["a"]}), pa.table(DATA)]))
    assert any_database.query("SELECT * FROM t") == []
