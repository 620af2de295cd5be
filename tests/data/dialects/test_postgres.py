"""What is particular about PostgreSQL."""

from __future__ import annotations

import re
import threading
from functools import partial

import pyarrow as pa
import pytest

from airgate.data.dialects.postgres import TYPES, open_postgres
from airgate.data.loads.load import LEDGER, Load, LoadRefused
from tests.data.dialects.warehouses import Opened


@pytest.fixture
def opened(postgres_uri: str) -> Opened:
    """A database of the test's own."""
    return Opened("postgres", partial(open_postgres, postgres_uri))


@pytest.mark.parametrize(
    ("there", "coming", "good", "bad", "message"),
    [
        ("integer", pa.int64(), 2**31 - 1, 2**31, "integer out of range (v is 2147483648"),
        ("smallint", pa.int64(), -(2**15), 2**15, "smallint out of range"),
        ("varchar(3)", pa.string(), "abc", "abcd", "value too long for type character varying(3)"),
        ("uuid", pa.string(), "0c7f9c4e-4d3c-4f43-9d0b-0f3a3f0f5a11", "no", "invalid input syntax for type uuid"),
        ("jsonb", pa.string(), '{"a": 1}', "{", "invalid input syntax for type json"),
        ("numeric(4,1)", pa.decimal128(6, 1), "123.4", "12345.6", "numeric field overflow"),
    ],
)
def test_a_column_made_by_hand_keeps_its_range(
    opened: Opened, there: str, coming: pa.DataType, good: object, bad: object, message: str
) -> None:
    """A value goes in exactly or is refused: nothing is cut, rounded or wrapped around."""
    opened.query(f"CREATE TABLE t (id bigint, v {there})")
    values = pa.array([good, bad]) if coming == pa.int64() else pa.array([good, bad], pa.string()).cast(coming)
    rows = pa.table({"id": [1, 2], "v": values})
    with pytest.raises(LoadRefused) as refused:
        opened.load(rows)
    assert message in str(refused.value)
    assert opened.load(rows, max_dead_letters=1).inserted == 1
    assert opened.query("SELECT id, v::text FROM t") == [(1, str(good))]


def test_a_decimal_is_not_rounded(opened: Opened) -> None:
    """A column with fewer digits behind the point is refused as a whole: PostgreSQL would round silently."""
    opened.query("CREATE TABLE t (id bigint, v numeric(8,1))")
    with pytest.raises(LoadRefused, match=r"v is numeric\(8,1\) in the table and numeric\(6,2\) in the data"):
        opened.load(pa.table({"id": [1], "v": pa.array(["1.25"]).cast(pa.decimal128(6, 2))}))


def test_new_columns_have_the_documented_types(opened: Opened) -> None:
    """One column of each kind."""
    rows = pa.table({"int64": [1], "double": [0.5], "string": ["x"], "bool": [True], "json": [{"a": 1}]})
    opened.load(rows, mode="append", key=())
    with opened() as warehouse:
        assert warehouse.dialect.columns("t") == {name: TYPES[name] for name in rows.column_names}


def test_a_deferred_constraint_holds_for_each_row(opened: Opened) -> None:
    """It would refuse the commit as a whole, and no row could be blamed."""
    opened.query("CREATE TABLE t (id bigint, v text, UNIQUE (v) DEFERRABLE INITIALLY DEFERRED)")
    result = opened.load(pa.table({"id": [1, 2], "v": ["a", "a"]}), max_dead_letters=1)
    assert (result.inserted, result.dead_lettered) == (1, 1)


def test_a_text_with_a_zero_character_is_refused(opened: Opened) -> None:
    """PostgreSQL has none in its texts."""
    with pytest.raises(LoadRefused):
        opened.load(pa.table({"id": [1], "v": ["a\x00b"]}))
    assert opened.query(f"SELECT count(*) FROM {LEDGER}") == [(0,)]


@pytest.mark.parametrize(("allowed", "within"), [("4MB", "64MB"), ("128MB", "128MB")])
def test_a_load_has_room_for_its_joins(postgres_uri: str, allowed: str, within: str) -> None:
    """For its own transaction, and never less than the database allows."""
    setting = "SELECT current_setting('work_mem')"
    with open_postgres(postgres_uri) as warehouse:
        warehouse.query(f"SET work_mem = '{allowed}'")
        with warehouse.dialect.transaction():
            assert warehouse.query(setting) == [(within,)]
        assert warehouse.query(setting) == [(allowed,)]


def test_a_load_that_waits_too_long_says_so(postgres_uri: str) -> None:
    """Another load, or any other writer, holds the table: the wait has an end, and nothing was loaded."""
    rows = pa.table({"id": [1]})
    with open_postgres(postgres_uri) as holder, open_postgres(postgres_uri, lock_timeout=0.2) as waiter:
        holder.load(Load("t", ("id",), "load-1"), rows)
        holder.query("BEGIN")
        holder.query("INSERT INTO t VALUES (7)")
        with pytest.raises(TimeoutError, match=re.escape("t has been locked for 0.2 s")):
            waiter.load(Load("t", ("id",), "load-2"), rows)
        holder.query("COMMIT")
        assert waiter.load(Load("t", ("id",), "load-2"), rows).updated == 1


def test_the_ledger_is_made_once(postgres_uri: str) -> None:
    """Loads of several tables that all find no ledger do not trip over each other."""
    problems: list[BaseException] = []

    def one(number: int) -> None:
        try:
            with open_postgres(postgres_uri) as warehouse:
                warehouse.load(Load(f"t{number}", ("id",), f"load-{number}"), pa.table({"id": [1]}))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with open_postgres(postgres_uri) as warehouse:
        assert warehouse.query(f"SELECT count(*) FROM {LEDGER}") == [(6,)]
