"""Loads whose process is killed at every statement in turn, then repeated: no row lost, none doubled.

A load runs in a process of its own against a real DuckDB file, SQLite file or PostgreSQL. The process kills itself
(SIGKILL) before or after its n-th statement, for every n that the load has: ledger, begin, staging or appends, lock,
checks, moves, the ledger's entry, commit. What reaches the driver is a statement. Every mode loads with a key, and
without one where it can. Other processes are killed from outside at a random moment. Then the same load runs again, and
the table has to be what one undisturbed load makes of it. Last, two processes load one table at once: the same load,
and different ones. The dialects take their turns side by side. One JSON line a kill, and a summary last.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, get_args
from unittest import mock

import pyarrow as pa

from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.postgres import open_postgres
from airgate.data.dialects.sqlite import open_sqlite
from airgate.data.loads import straight
from airgate.data.loads.load import LEDGER, Load, Mode
from airgate.data.loads.staged import StagedWarehouse
from tests.faults import loading_at_once as at_once
from tests.postgres_server import postgres_server

Moment = Literal["before", "after", "any"]

DIALECTS = ("duckdb", "sqlite", "postgres")
MODES: tuple[Mode, ...] = get_args(Mode)
KINDS: tuple[tuple[Mode, bool], ...] = tuple(
    (mode, keyed) for mode in MODES for keyed in (False, True) if keyed or mode != "merge"
)
"""Modes, and whether the load has a key; without one nothing is compared, and rows go straight in where they can."""

ROWS, PARTS = 3_000, 3
"""Rows of a load and the tables they come in; a third of the keys are in the table before."""

OPENERS: dict[str, Callable[[str], AbstractContextManager[StagedWarehouse]]] = {
    "duckdb": open_duckdb,
    "sqlite": open_sqlite,
    "postgres": open_postgres,
}


_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.faults.loading_at_once", "duckdb", "adbc_driver_postgresql.dbapi"])
"""Each process is a fork of one that has done nothing but import; that spares most of a kill's time."""


@dataclass(frozen=True)
class Case:
    """One kill."""

    dialect: str
    mode: Mode
    keyed: bool
    moment: Moment
    statement: int = 0
    """Which one, from 1; the process dies before or after it."""
    pause: float = 0.0
    """Seconds from the beginning of the load to a kill at any moment."""
    turn: int = 0
    """Tells the tables and loads of the suite apart."""


_HARMLESS = {"description", "fetchall", "in_transaction", "register", "unregister"}
"""What else the dialects ask of a connection; it changes nothing in the database."""


class Mortal:
    """A connection whose process dies at a statement: whatever reaches the driver passes through here."""

    def __init__(self, connection: Any, case: Case, tell: Callable[[str], None] = lambda said: None) -> None:
        self._connection, self._case, self._tell = connection, case, tell
        self.steps: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS:
            raise AssertionError(f"{name} is a way to the database that this suite does not watch")
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        """Of every driver."""
        return self._mortally(sql, partial(self._connection.execute, sql, *parameters))

    def executemany(self, sql: str, rows: Any) -> Any:
        """SQLite's way to insert a part."""
        return self._mortally(sql, partial(self._connection.executemany, sql, rows))

    def sql(self, sql: str, **parameters: Any) -> Any:
        """DuckDB's way to a result."""
        return self._mortally(sql, partial(self._connection.sql, sql, **parameters))

    def adbc_ingest(self, table: str, rows: Any, **options: Any) -> Any:
        """ADBC's way to insert a part."""
        return self._mortally(f"INGEST {table}", partial(self._connection.adbc_ingest, table, rows, **options))

    def _mortally(self, said: str, act: Callable[[], Any]) -> Any:
        """Note the statement, and die if it is the one."""
        self.steps.append(" ".join(said.partition("(")[0].replace('"', "").split())[:60])
        mine = len(self.steps) == self._case.statement
        if mine:
            self._tell(self.steps[-1])
        if mine and self._case.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = act()
        if mine and self._case.moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def tables(first: int, version: str) -> Iterator[pa.Table]:
    """The rows of a load, in parts."""
    size = ROWS // PARTS
    for start in range(first, first + ROWS, size):
        ids = range(start, start + size)
        yield pa.table({"id": pa.array(ids, pa.int64()), "v": [f"{version} {number}" for number in ids]})


def load_of(case: Case) -> Load:
    """The load under fire; its rows overlap by a third with those that are there."""
    key = ("id",) if case.keyed else ()
    return Load(f"t{case.turn}", key, f"load-{case.turn}", mode=case.mode, cursor=f"cursor-{case.turn}")


def expected(mode: Mode) -> Counter[tuple[int, str]]:
    """The table after both loads."""
    old = {(number, f"old {number}") for number in range(ROWS)}
    shift = 2 * ROWS // 3
    new = {(number, f"new {number}") for number in range(shift, shift + ROWS)}
    if mode == "append":
        return Counter(old) + Counter(new)
    if mode == "merge":
        return Counter({(number, text) for number, text in old if number < shift} | new)
    return Counter(new)


def work(case: Case, place: str, told: Connection) -> None:
    """What runs in the process that is to die: the load, or all of it when the statement is beyond its last."""
    with watched(case, place, told.send) as (warehouse, _):
        told.send("ready")
        told.send(warehouse.load(load_of(case), tables(2 * ROWS // 3, "new")).repeated)


@contextmanager
def watched(
    case: Case, place: str, tell: Callable[[str], None] = lambda said: None
) -> Iterator[tuple[StagedWarehouse, Mortal]]:
    """A warehouse whose connection is mortal, and that appends each part by itself, however small it is."""
    with OPENERS[case.dialect](place) as opened, mock.patch.object(straight, "_ROWS_AT_ONCE", 0):
        dialect: Any = opened.dialect
        if case.dialect == "duckdb":  # it looks for the rows in the frame that calls it, which is now one further up
            opened.query("SET python_scan_all_frames = true")
        mortal = Mortal(dialect.connection, case, tell)
        yield StagedWarehouse(replace(dialect, connection=mortal)), mortal


def start(case: Case, place: str) -> tuple[BaseProcess, Connection]:
    """Run ``work`` in a process of its own; gives it and what it tells."""
    told, telling = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=work, args=(case, place, telling))
    process.start()
    telling.close()
    return process, told


def ended(process: BaseProcess, told: Connection) -> tuple[int | None, list[str | bool]]:
    """Wait for the end of a process; gives its exit code and what it has told since."""
    said = []
    with suppress(EOFError):
        while told.poll(120):
            said.append(told.recv())
    process.join(120)
    assert process.exitcode is not None, "a load has come to no end"
    return process.exitcode, said


def fire(case: Case, place: str) -> dict[str, Any]:
    """Prepare the table, kill a load of it, load again, and say what is in the table."""
    prepare(case, place)
    process, told = start(case, place)
    assert told.recv() == "ready"
    if case.moment == "any":
        time.sleep(case.pause)
        process.kill()
    code, said = ended(process, told)
    killed = code == -signal.SIGKILL
    with OPENERS[case.dialect](place) as warehouse:
        result = warehouse.load(load_of(case), tables(2 * ROWS // 3, "new"))
        lost, doubled = difference(warehouse, case)
        entries = warehouse.query(f"SELECT count(*) FROM {LEDGER} WHERE load_id = 'load-{case.turn}'")[0][0]
        cursor = warehouse.cursor(f"t{case.turn}")
        warehouse.query(f"DROP TABLE t{case.turn}")
    return {
        "suite": "load",
        **asdict(case),
        "at": said[0] if killed and said and isinstance(said[0], str) else None,
        "killed": killed,
        "was_in": result.repeated,
        "lost": lost,
        "doubled": doubled,
        "exact": (lost, doubled, entries, cursor) == (0, 0, 1, f"cursor-{case.turn}"),
    }


def prepare(case: Case, place: str) -> None:
    """Fill the table with the rows that are there before."""
    with OPENERS[case.dialect](place) as warehouse:
        warehouse.load(Load(f"t{case.turn}", ("id",), f"before-{case.turn}", mode="append"), tables(0, "old"))


def difference(warehouse: StagedWarehouse, case: Case) -> tuple[int, int]:
    """Rows that are missing, and rows too many."""
    there = Counter(warehouse.query(f"SELECT id, v FROM t{case.turn}"))
    return (expected(case.mode) - there).total(), (there - expected(case.mode)).total()


def race(case: Case, place: str) -> dict[str, Any]:
    """Two processes load the same table at once, each twice the same load; gives what is in it."""
    prepare(case, place)
    ends = [ended(*one) for one in [start(case, place) for _ in range(2)]]
    codes, repeated = [code for code, _ in ends], [said[-1] for _, said in ends if said]
    with OPENERS[case.dialect](place) as warehouse:
        lost, doubled = difference(warehouse, case)
        warehouse.query(f"DROP TABLE t{case.turn}")
    return {
        "suite": "load",
        "race": True,
        **asdict(case),
        "lost": lost,
        "doubled": doubled,
        "exact": codes == [0, 0] and sorted(repeated) == [False, True] and (lost, doubled) == (0, 0),
    }


def steps(dialect: str, mode: Mode, keyed: bool, place: str) -> list[str]:
    """The statements of an undisturbed load."""
    case = Case(dialect, mode, keyed, "before", turn=1_000_000 + KINDS.index((mode, keyed)))
    prepare(case, place)
    with watched(case, place) as (warehouse, mortal):
        warehouse.load(load_of(case), tables(2 * ROWS // 3, "new"))
    return mortal.steps


@contextmanager
def places(folder: Path, dialects: Sequence[str]) -> Iterator[dict[str, str]]:
    """Where each dialect's warehouse is; PostgreSQL runs until the end."""
    with ExitStack() as running:
        found = {name: str(folder / f"w.{name}") for name in dialects}
        if "postgres" in found:
            found["postgres"] = running.enter_context(postgres_server()).uri
        yield found


def cases(counts: dict[tuple[str, Mode, bool], int], seed: int, random_kills: int, sample: int | None) -> list[Case]:
    """Every statement of every load, before and after it, and some random moments; or a seeded sample of them.

    Args:
        counts: Dialect, mode and whether there is a key -> statements of such a load.
        seed: The same one gives the same cases.
        random_kills: For each such load.
        sample: How many of all; None for all.
    """
    draw = random.Random(seed)
    found = [
        Case(*load, moment, statement)
        for load, count in counts.items()
        for statement in range(1, count + 1)
        for moment in ("before", "after")
    ]
    found += [Case(*load, "any", pause=round(draw.uniform(0, 0.15), 4)) for load in counts for _ in range(random_kills)]
    if sample is not None:
        found = draw.sample(found, min(sample, len(found)))
    return [replace(case, turn=turn) for turn, case in enumerate(found)]


def rushes(dialects: Sequence[str]) -> list[at_once.Rush]:
    """Different loads of one table at once, of every mode, for every engine over these databases."""
    engines = [engine for engine in at_once.ENGINES if engine.split()[-1] in dialects]
    wanted = [(engine, mode) for engine in engines for mode in MODES]
    return [at_once.Rush(engine, mode, number) for number, (engine, mode) in enumerate(wanted)]


def run_suite(
    folder: Path,
    seed: int,
    say: Callable[[dict[str, Any]], None],
    *,
    loads: Sequence[tuple[str, Mode, bool]],
    sample: int | None = None,
    random_kills: int = 5,
) -> dict[str, Any]:
    """Run the cases; give the summary.

    Args:
        folder: for the warehouses.
        seed: of sample and random moments.
        say: told each line.
        loads: dialects, modes, and whether there is a key.
        sample: how many kills of all; None for all.
        random_kills: kills at any moment, for each of these loads.
    """
    began = time.monotonic()
    lines: list[dict[str, Any]] = []
    telling = threading.Lock()
    dialects = list(dict.fromkeys(dialect for dialect, *_ in loads))
    with places(folder, dialects) as found, ThreadPoolExecutor(len(dialects)) as pool:
        counts = {load: len(steps(*load, found[load[0]])) for load in loads}
        kills = cases(counts, seed, random_kills, sample)
        races = [Case(*load, "any", turn=2_000_000 + number) for number, load in enumerate(loads)]
        # A sample has a test of its own for these.
        different = rushes(dialects) if sample is None else []

        def run(dialect: str) -> None:
            place = found[dialect]
            for line in chain(
                (fire(case, place) for case in kills if case.dialect == dialect),
                (race(case, place) for case in races if case.dialect == dialect),
                (at_once.run(rush, place) for rush in different if rush.engine.split()[-1] == dialect),
            ):
                with telling:
                    lines.append(line)
                    say(line)

        list(pool.map(run, dialects))
    total = {
        "suite": "load",
        "summary": True,
        "seed": seed,
        "runs": len(lines),
        "exact": sum(line["exact"] for line in lines),
        "killed": sum(line.get("killed", False) for line in lines),
        "missed": sum(not line.get("killed", True) and line["moment"] != "any" for line in lines),
        "was_in": sum(line.get("was_in", False) for line in lines),
        "lost": sum(line["lost"] for line in lines),
        "doubled": sum(line["doubled"] for line in lines),
        "seconds": round(time.monotonic() - began),
    }
    say(total)
    return total


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every load that was killed is in the table exactly once."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes sample and moments reproducible")
    parser.add_argument("--sample", type=int, help="kills drawn from all (default: all)")
    parser.add_argument("--dialects", nargs="*", default=DIALECTS, choices=DIALECTS, help="to load into (default: all)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
        total = run_suite(
            *(Path(folder), options.seed, lambda line: print(json.dumps(line), flush=True)),
            loads=[(dialect, *kind) for dialect in options.dialects for kind in KINDS],
            sample=options.sample,
        )
    # A kill that missed its statement proves nothing.
    return 0 if total["exact"] == total["runs"] and not total["missed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
