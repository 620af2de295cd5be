"""What every dialect with a staging table promises."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from airgate.data.loads.load import LEDGER, LoadRefused, LoadResult
from tests.data.dialects.warehouses import Opened

ROWS = pa.table({"id": [1, 2], "v": ["a", "b"]})
MODES = ("append", "merge", "replace")


def content(opened: Opened, columns: str = "id, v") -> list[tuple]:
    return opened.query(f"SELECT {columns} FROM t ORDER BY 1")


def counts(result: LoadResult) -> tuple[int, int, int]:
    return result.inserted, result.updated, result.dead_lettered


def test_a_merge_replaces_known_keys_and_adds_others(opened: Opened) -> None:
    """The counts say which; other rows stay."""
    assert counts(opened.load(ROWS)) == (2, 0, 0)
    assert counts(opened.load(pa.table({"id": [2, 3], "v": ["B", "c"]}), "load-2")) == (1, 1, 0)
    assert content(opened) == [(1, "a"), (2, "B"), (3, "c")]


def test_an_append_adds_rows_as_they_are(opened: Opened) -> None:
    """Without a key nothing is compared: the same row twice is two rows."""
    opened.load(ROWS, key=(), mode="append")
    assert counts(opened.load(ROWS, "load-2", key=(), mode="append")) == (2, 0, 0)
    assert content(opened) == [(1, "a"), (1, "a"), (2, "b"), (2, "b")]


def test_a_replace_leaves_nothing_but_its_rows(opened: Opened) -> None:
    """The table stays, with its constraints, and a key that was there may come again."""
    opened.query("CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(9))")
    opened.load(ROWS, key=(), mode="replace")
    assert counts(opened.load(pa.table({"id": [2], "v": ["B"]}), "load-2", key=(), mode="replace")) == (1, 0, 0)
    assert content(opened) == [(2, "B")]
    with pytest.raises(LoadRefused, match="do not fit the table"):
        opened.load(pa.table({"id": [5, 5], "v": ["a", "b"]}), "load-3", key=(), mode="replace")
    assert content(opened) == [(2, "B")]


@pytest.mark.parametrize("mode", MODES)
def test_a_repeated_load_does_nothing(opened: Opened, mode: str) -> None:
    """The load id decides, in every mode: a retry after a lost answer neither doubles nor undoes rows."""
    first = opened.load(ROWS, mode=mode)
    opened.load(pa.table({"id": [1], "v": ["newer"]}), "load-2")
    again = opened.load(ROWS, mode=mode)
    assert (again.repeated, again.mode, counts(again)) == (True, mode, counts(first))
    assert (1, "newer") in content(opened)
    assert len(content(opened)) == 2


def test_rows_come_a_table_at_a_time(opened: Opened) -> None:
    """Tables of one schema are one load; an empty one, such as that of an empty data set, makes the table."""
    parts = [pa.table({"id": range(start, start + 5), "v": [str(start)] * 5}) for start in range(0, 20, 5)]
    assert opened.load(iter([parts[0].slice(0, 0)]), "load-0").rows == 0
    assert content(opened) == []
    assert opened.load(iter(parts)).inserted == 20
    assert [row[0] for row in content(opened)] == list(range(20))


def test_a_key_is_unique_over_all_tables_of_a_load(opened: Opened) -> None:
    """Two rows with one key are refused although they come apart."""
    with pytest.raises(LoadRefused, match=r"1 keys stand for more than one row, such as \{'id': 1\} for 2"):
        opened.load(iter([ROWS, pa.table({"id": [1], "v": ["z"]})]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"id": [None, 1], "v": ["a", "b"]}), "key column id holds nulls, 1 of them in rows 0 to 1"),
        (pa.table({"v": ["a"]}), "key column id is not among the columns v"),
        (pa.table({"id": pa.nulls(1), "v": ["a"]}), "key column id has no type"),
        (pa.table({"id": ["x"], "v": ["a"]}), "the column id is (BIGINT|INTEGER|bigint) in the table and"),
        (pa.table({"id": [1.5], "v": ["a"]}), "the column id is (BIGINT|INTEGER|bigint) in the table and"),
        (pa.table({"id": [7], "v": [7]}), "the column v is (VARCHAR|TEXT|text) in the table and"),
        (pa.table({"id": [1], "airgate_row": [1]}), "the column name airgate_row is taken"),
        (pa.table({"id": [1], "x": pa.array([1], pa.duration("s"))}), "x"),
    ],
)
def test_data_that_does_not_fit_changes_nothing(opened: Opened, rows: pa.Table, message: str) -> None:
    """The error says why; neither rows nor ledger are touched, and the same load may come again mended."""
    opened.load(ROWS)
    if message == "x" and opened.dialect == "duckdb":
        pytest.skip("DuckDB has a type for a duration")
    with pytest.raises(LoadRefused, match=message):
        opened.load(rows, "load-2")
    assert content(opened) == [(1, "a"), (2, "b")]
    assert not opened.load(pa.table({"id": [9]}), "load-2").repeated


@pytest.mark.parametrize("mode", MODES)
def test_refused_rows_become_dead_letters(opened: Opened, mode: str) -> None:
    """Out of range, null where none may be, a broken check, a clash within the load: with reason and row, as JSON."""
    opened.query("CREATE TABLE t (id INTEGER, v VARCHAR(9) NOT NULL CHECK (v <> 'bad'), u INTEGER UNIQUE)")
    big = [] if opened.dialect == "sqlite" else [(2**40, "big", 7)]  # any integer fits SQLite's
    rows = [(1, "a", 1), (2, None, 2), (3, "bad", 3), (4, "d", 1), *big, (6, "f", None), (7, "g", None)]
    table = pa.table(dict(zip(("id", "v", "u"), map(list, zip(*rows, strict=True)), strict=True)))
    bad = 3 + len(big)
    with pytest.raises(LoadRefused, match="do not fit the table"):
        opened.load(table, mode=mode, max_dead_letters=bad - 1)
    assert content(opened) == []
    result = opened.load(table, mode=mode, max_dead_letter_share=0.6)
    assert counts(result) == (3, 0, bad)
    assert content(opened, "id, v, u") == [(1, "a", 1), (6, "f", None), (7, "g", None)]
    letters = opened.query("SELECT load_id, reason, record FROM t_dead_letters")
    assert {load_id for load_id, _, _ in letters} == {"load-1"}
    assert all(reason for _, reason, _ in letters)
    dead = sorted(json.loads(record)["id"] for _, _, record in letters)
    assert dead == [2, 3, 4, *[row[0] for row in big]]


def test_rows_that_go_straight_in_are_told_apart_as_well(opened: Opened) -> None:
    """An append without a key stages only the part in which a row is refused; others are in already, or follow."""
    opened.query("CREATE TABLE t (id BIGINT UNIQUE, v TEXT NOT NULL)")
    schema = pa.schema([("id", pa.int64()), ("v", pa.string())])
    values = [[(1, "a"), (2, "b")], [(3, "c"), (4, None), (1, "again"), (5, "e")], [(6, "f"), (7, None)]]
    parts = [
        pa.table(dict(zip(("id", "v"), map(list, zip(*rows, strict=True)), strict=True)), schema) for rows in values
    ]
    fields = {"key": (), "mode": "append"}
    with pytest.raises(LoadRefused, match=r"row 3 of the load"):
        opened.load(iter(parts), **fields)
    with pytest.raises(LoadRefused, match=r"; 2 such rows are tolerated"):
        opened.load(iter(parts), **fields, max_dead_letter_share=0.3)
    assert content(opened) == []
    assert counts(opened.load(iter(parts), **fields, max_dead_letter_share=0.4)) == (5, 0, 3)
    assert [row[0] for row in content(opened)] == [1, 2, 3, 5, 6]
    letters = opened.query("SELECT record FROM t_dead_letters")
    assert sorted(json.loads(record)["id"] for (record,) in letters) == [1, 4, 7]


@pytest.mark.parametrize("mode", MODES)
def test_a_table_in_a_schema(opened: Opened, mode: str) -> None:
    """Its dead letters are beside it."""
    if opened.dialect == "sqlite":
        pytest.skip("a file has no schemas but its own")
    opened.query('CREATE SCHEMA "S 1"')
    opened.query('CREATE TABLE "S 1".t (id BIGINT NOT NULL, v TEXT NOT NULL)')
    rows = pa.table({"id": [1, 2], "v": ["a", None]})
    fields = {"table": "S 1.t", "mode": mode, "key": ("id",) if mode == "merge" else (), "max_dead_letters": 1}
    assert counts(opened.load(rows, **fields)) == (1, 0, 1)
    assert opened.query('SELECT id, v FROM "S 1".t') == [(1, "a")]
    assert opened.query('SELECT count(*) FROM "S 1".t_dead_letters') == [(1,)]


def test_a_merge_keeps_known_rows_whose_new_values_are_refused(opened: Opened) -> None:
    """The dead letter is counted once, as neither inserted nor updated."""
    opened.query("CREATE TABLE t (id INTEGER, v VARCHAR(9) CHECK (v <> 'bad'))")
    opened.load(ROWS)
    rows = pa.table({"id": [1, 2, 3, 4], "v": ["A", "bad", "bad", "d"]})
    assert counts(opened.load(rows, "load-2", max_dead_letters=2)) == (1, 1, 2)
    assert content(opened) == [(1, "A"), (2, "b"), (4, "d")]


def test_the_error_names_column_and_value(opened: Opened) -> None:
    """Whoever is on call sees what to mend, and how much would be tolerated."""
    opened.query("CREATE TABLE t (id INTEGER, v VARCHAR(9) NOT NULL)")
    with pytest.raises(LoadRefused, match=r"\bv\b.*\(v is None\), row 1 of the load; 0 such rows are tolerated"):
        opened.load(pa.table({"id": [1, 2], "v": ["a", None]}))


def test_new_columns_as_the_load_says(opened: Opened) -> None:
    """They are added, and null in rows that were there; left out; or refused."""
    opened.load(ROWS)
    wider = pa.table({"new": [True], "id": [3]})
    with pytest.raises(LoadRefused, match="the table has no column new"):
        opened.load(wider, "load-2", new_columns="fail")
    opened.load(wider, "load-2", new_columns="ignore")
    assert content(opened, "*") == [(1, "a"), (2, "b"), (3, None)]
    opened.load(wider, "load-3")
    assert content(opened, "id, v, new") == [(1, "a", None), (2, "b", None), (3, None, True)]


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_rows_without_a_value_are_rows(opened: Opened, mode: str) -> None:
    """Where no column of the data has one, and so none a type: what the table holds of them is null, or refused."""
    opened.query("CREATE TABLE t (id INTEGER, v VARCHAR(9))")
    assert counts(opened.load(pa.table({"v": pa.nulls(3)}), key=(), mode=mode)) == (3, 0, 0)
    assert content(opened) == [(None, None)] * 3
    opened.query("CREATE TABLE strict (v VARCHAR(9) NOT NULL)")
    refused = opened.load(pa.table({"v": pa.nulls(2)}), "load-2", table="strict", key=(), mode=mode, max_dead_letters=2)
    assert (refused.rows, counts(refused)) == (2, (0, 0, 2))


class _Watching:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.refused = 0

    def begin(self, phase: str) -> None:
        """Of no interest here."""

    def add(self, records: int, /, *, refused: int = 0) -> None:
        self.refused += refused


def test_an_onlooker_hears_of_a_refused_row_once(opened: Opened) -> None:
    """Also of one that breaks two rules."""
    opened.query("CREATE TABLE t (id INTEGER NOT NULL, v VARCHAR(9) NOT NULL)")
    rows, watching = pa.table({"id": [1, None, 3, None], "v": ["a", None, "c", "d"]}), _Watching()
    result = opened.load(rows, key=(), mode="append", max_dead_letters=4, onlooker=watching)
    assert watching.refused == result.dead_lettered == 2


def test_a_key_that_the_table_lacks_is_refused(opened: Opened) -> None:
    """No row could ever be found by it."""
    opened.load(ROWS)
    with pytest.raises(LoadRefused, match="no column other, which is in the key"):
        opened.load(ROWS.append_column("other", [[1, 2]]), "load-2", key=("other",))


def test_the_cursor_is_committed_with_the_rows(opened: Opened) -> None:
    """The last load's counts, of the table asked for; one without a cursor leaves it, and a refused one too."""
    with opened() as warehouse:
        assert warehouse.cursor("t") is None
    opened.load(ROWS, cursor="2013-01-01")
    opened.load(ROWS, "other", table="o", cursor="x")
    opened.load(ROWS, "load-2", cursor="2013-01-02")
    opened.load(ROWS, "load-3")
    with pytest.raises(LoadRefused):
        opened.load(pa.table({"id": [None, 1]}), "load-4", cursor="2013-01-03")
    with opened() as warehouse:
        assert warehouse.cursor("t") == "2013-01-02"


def test_an_older_ledger_is_completed(opened: Opened) -> None:
    """What it remembers stays: the load of the release before is a no-op."""
    opened.query(
        f"CREATE TABLE {LEDGER} (load_id VARCHAR PRIMARY KEY, table_name VARCHAR NOT NULL, inserted BIGINT NOT NULL, "
        "updated BIGINT NOT NULL, loaded_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)"
    )
    opened.query(f"INSERT INTO {LEDGER} (load_id, table_name, inserted, updated) VALUES ('load-1', 't', 4, 3)")
    assert opened.load(ROWS) == LoadResult("t", "load-1", 7, 4, 3, repeated=True)
    assert counts(opened.load(ROWS, "load-2")) == (2, 0, 0)


def test_names_are_only_names(opened: Opened) -> None:
    """Odd ones and reserved words, in the table and its columns."""
    name = 'a"; DROP TABLE t; --'
    rows = pa.table({name: [1], "select": ["x"], "100% $1 ?": [2]})
    for number in range(2):
        opened.load(rows, f"load-{number}", table="order", key=(name,))
    assert opened.query('SELECT * FROM "order"') == [(1, "x", 2)]


def test_types_hold_their_extremes(opened: Opened) -> None:
    """What went in comes out, a second load meets the types of the first, and the table's types are the documented."""
    moment = datetime(2013, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
    columns = {
        "id": pa.array([1], pa.int64()),
        "small": pa.array([-(2**15)], pa.int16()),
        "big": pa.array([2**63 - 1], pa.int64()),
        "unsigned": pa.array([2**32 - 1], pa.uint32()),
        "half": pa.array([0.1], pa.float32()),
        "exact": pa.array([Decimal("12345678901234567890.12")], pa.decimal128(22, 2)),
        "yes": pa.array([True]),
        "bytes": pa.array([b"\x00\xff"]),
        "text": pa.array(["ü'\"\\"], pa.large_string()),
        "day": pa.array([date(1, 1, 1)]),
        "at": pa.array([moment], pa.timestamp("us", "UTC")),
        "local": pa.array([moment.replace(tzinfo=None)], pa.timestamp("us")),
        "kind": pa.array(["x"]).dictionary_encode(),
        "none": pa.nulls(1),
    }
    rows = pa.table(columns)
    opened.load(rows)
    assert counts(opened.load(rows, "load-2")) == (0, 1, 0)
    names = [name for name in columns if name not in {"none", "bytes"}]
    with opened() as warehouse:
        [row] = warehouse.query("SELECT " + ", ".join(f'"{name}"' for name in names) + " FROM t")
    for name, value in zip(names, row, strict=True):
        expected = columns[name][0].as_py()
        if isinstance(expected, datetime) and isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(expected, date) and isinstance(value, str):
            value = date.fromisoformat(value)
        elif isinstance(expected, Decimal):
            value = Decimal(value)
        assert value == expected, name


def test_nested_values_are_kept(opened: Opened) -> None:
    """As JSON, or as the type that the database has for them."""
    opened.load(pa.table({"id": [1, 2], "v": [{"a": [1, 2]}, None]}))
    opened.load(pa.table({"id": [1], "v": [{"a": [3]}]}), "load-2")
    value = content(opened)[0][1]
    assert (json.loads(value) if isinstance(value, str) else value) == {"a": [3]}


def test_loads_of_one_table_queue_up(opened: Opened) -> None:
    """Two at once both go in, each key once, whichever is first."""
    problems: list[BaseException] = []

    def one(number: int) -> None:
        try:
            rows = pa.table({"id": range(500), "v": [str(number)] * 500})
            for turn in range(3):
                opened.load(rows, f"load-{number}-{turn}")
        except BaseException as error:
            problems.append(error)

    if opened.dialect == "duckdb":
        pytest.skip("one process has one DuckDB file open; tests/faults loads from two")
    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(content(opened)) == 500
    assert len({v for _, v in content(opened)}) == 1
    entered = opened.query(f"SELECT inserted, updated FROM {LEDGER} ORDER BY loaded_at")
    assert entered == [(500, 0), *[(0, 500)] * 5]
