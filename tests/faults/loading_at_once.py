"""Several processes that load into one table at once, each one load after the other, and what has to come of it.

Every engine takes part: DuckDB, SQLite and PostgreSQL by their own dialects, and the dialect of any DB-API driver over
SQLite's and PostgreSQL's.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from airgate.data.dialects.dbapi import DbApiWarehouse
from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.postgres import open_postgres
from airgate.data.dialects.sqlite import open_sqlite
from airgate.data.loads.load import LEDGER, Load, Mode, Warehouse

WRITERS, LOADS = 2, 5
"""Processes, and loads of each."""
ROWS = 400
"""Of a load, in two tables. Each load of a merge shares half of its keys with the one of another process."""

PATIENCE = 60.0


@contextmanager
def _any_sqlite(place: str) -> Iterator[Warehouse]:
    with closing(sqlite3.connect(place, timeout=PATIENCE)) as connection:
        yield DbApiWarehouse(connection, "?")


@contextmanager
def _any_postgres(place: str) -> Iterator[Warehouse]:
    import psycopg

    with closing(psycopg.connect(place)) as connection:
        yield DbApiWarehouse(connection)


ENGINES: dict[str, Callable[[str], AbstractContextManager[Warehouse]]] = {
    "duckdb": open_duckdb,
    "sqlite": open_sqlite,
    "postgres": open_postgres,
    "any over sqlite": _any_sqlite,
    "any over postgres": _any_postgres,
}


@dataclass(frozen=True)
class Rush:
    """Loads into one table at once."""

    engine: str
    mode: Mode
    turn: int
    """Tells tables apart."""

    @property
    def table(self) -> str:
        """Its name."""
        return f"rush{self.turn}"


def keys(rush: Rush, writer: int, number: int) -> range:
    """The keys of a load."""
    place = number * WRITERS + writer
    start = place * ROWS if rush.mode == "append" else place * ROWS // 2
    return range(start, start + ROWS)


def load_id(rush: Rush, writer: int, number: int) -> str:
    """The id of a load."""
    return f"{rush.table}-{writer}-{number}"


def work(rush: Rush, writer: int, place: str) -> None:
    """What runs in each process, once all of them are there."""
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(LOADS):
        ids = keys(rush, writer, number)
        name = load_id(rush, writer, number)
        half = ROWS // 2
        tables = [pa.table({"id": ids[start : start + half], "v": [name] * half}) for start in (0, half)]
        with ENGINES[rush.engine](place) as warehouse:
            key = () if rush.mode == "append" else ("id",)
            warehouse.load(Load(rush.table, key, name, mode=rush.mode, cursor=name), iter(tables))


def run(rush: Rush, place: str) -> dict[str, Any]:
    """Let the processes go; gives how what is in the table differs from what has to be."""
    if rush.engine.startswith("any"):  # this dialect makes no table, and the others are to race for it
        with ENGINES[rush.engine](place) as warehouse, _committed(warehouse):
            warehouse.query(f"CREATE TABLE {rush.table} (id BIGINT, v VARCHAR(40))")
    command = [sys.executable, "-m", "tests.faults.loading_at_once", json.dumps(asdict(rush))]
    processes = [
        subprocess.Popen([*command, str(writer), place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for writer in range(WRITERS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=2 * PATIENCE)
    return {"suite": "load", "rush": True, **asdict(rush), **_found(rush, place, [one.returncode for one in processes])}


def _found(rush: Rush, place: str, codes: list[int]) -> dict[str, Any]:
    with ENGINES[rush.engine](place) as warehouse, _committed(warehouse):
        rows = Counter(warehouse.query(f"SELECT id, v FROM {rush.table}"))
        ledger = warehouse.query(f"SELECT load_id FROM {LEDGER} WHERE table_name = '{rush.table}' ORDER BY load_number")
    with ENGINES[rush.engine](place) as warehouse:
        cursor = warehouse.cursor(rush.table)
    order = [str(name) for (name,) in ledger]
    due = expected(rush, order)
    lost, doubled = (due - rows).total(), (rows - due).total()
    entered = Counter(order) == Counter(load_id(rush, writer, n) for writer in range(WRITERS) for n in range(LOADS))
    turns = sum(one[:-2] != two[:-2] for one, two in pairwise(order))
    exact = codes == [0] * WRITERS and entered and (lost, doubled) == (0, 0) and order[-1:] == [cursor]
    return {"codes": codes, "lost": lost, "doubled": doubled, "turns": turns, "exact": exact}


def expected(rush: Rush, order: list[str]) -> Counter[tuple[int, str]]:
    """The rows that loads leave that come one after another, in the order of the ledger."""
    there: dict[int, str] = {}
    for name in order:
        _, writer, number = name.rsplit("-", 2)
        if rush.mode == "replace":
            there.clear()
        there |= dict.fromkeys(keys(rush, int(writer), int(number)), name)
    return Counter(there.items())


@contextmanager
def _committed(warehouse: Warehouse) -> Iterator[None]:
    yield
    if isinstance(warehouse, DbApiWarehouse):
        warehouse.connection.commit()


if __name__ == "__main__":
    work(Rush(**json.loads(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
