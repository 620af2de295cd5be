"""Loads whose process is killed at every statement in turn, then repeated: no row lost, none doubled.

A load runs in a process of its own against a real DuckDB file, SQLite file or PostgreSQL. The process kills itself
(SIGKILL) before or after its n-th statement, for every n that the load has: ledger, staging, lock, checks, moves, the
ledger's entry, commit. Others are killed from outside at a random moment. Then the same load runs again, and the table
has to be what one undisturbed load makes of it. Last, two processes load one table at once: the same load, and
different ones. One JSON line a kill, and a summary last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from airgate.data.dialects.duckdb import open_duckdb
from airgate.data.dialects.postgres import open_postgres
from airgate.data.dialects.sqlite import open_sqlite
from airgate.data.loads.load import LEDGER, Load, Mode
from airgate.data.loads.staged import StagedWarehouse
from tests.faults import loading_at_once as at_once
from tests.postgres_server import postgres_server

Moment = Literal["before", "after", "any"]

DIALECTS = ("duckdb", "sqlite", "postgres")
MODES: tuple[Mode, ...] = get_args(Mode)

ROWS, PARTS = 3_000, 3
"""Rows of a load and the tables they come in; a third of the keys are in the table before."""

OPENERS: dict[str, Callable[[str], AbstractContextManager[StagedWarehouse]]] = {
    "duckdb": open_duckdb,
    "sqlite": open_sqlite,
    "postgres": open_postgres,
}


@dataclass(frozen=True)
class Case:
    """One kill."""

    dialect: str
    mode: Mode
    moment: Moment
    statement: int = 0
    """Which one, from 1; the process dies before or after it."""
    pause: float = 0.0
    """Seconds from the beginning of the load to a kill at any moment."""
    turn: int = 0
    """Tells the tables and loads of the suite apart."""


class Mortal:
    """A dialect whose process dies at a statement."""

    def __init__(self, dialect: Any, case: Case) -> None:
        self._dialect, self._case = dialect, case
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Count the statement, and die if it is the one."""
        return self._mortally(sql, lambda: type(self._dialect).query(self._dialect, sql, parameters))

    def stage(self, name: str, types: Any, tables: Iterator[pa.Table], key: Sequence[str]) -> None:
        """Every table that is staged is a statement as well."""

        def counted() -> Iterator[pa.Table]:
            for table in tables:
                yield self._mortally("a part is staged", lambda table=table: table)

        type(self._dialect).stage(self, name, types, counted(), key)

    def append(self, table: str, rows: pa.Table) -> None:
        """So is every table that goes straight in."""
        self._mortally("a part is appended", lambda: type(self._dialect).append(self._dialect, table, rows))

    def lock(self, table: str, *, whole: bool) -> None:
        """The dialect's own, with the statements of this one."""
        type(self._dialect).lock(self, table, whole=whole)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The dialect's own, with the statements of this one."""
        with type(self._dialect).transaction.__get__(self)():
            yield

    def _mortally(self, said: str, act: Callable[[], Any]) -> Any:
        self.statements += 1
        mine = self.statements == self._case.statement
        if mine:
            print(json.dumps(said.partition("(")[0].strip()[:60]), flush=True)
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
    return Load(f"t{case.turn}", ("id",), f"load-{case.turn}", mode=case.mode, cursor=f"cursor-{case.turn}")


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


def work(case: Case, place: str) -> None:
    """What runs in the process that is to die: the load, or all of it when the statement is beyond its last."""
    with OPENERS[case.dialect](place) as warehouse:
        mortal = Mortal(warehouse.dialect, case)
        print("ready", flush=True)
        result = StagedWarehouse(mortal).load(load_of(case), tables(2 * ROWS // 3, "new"))  # type: ignore[arg-type]
    print(json.dumps({"statements": mortal.statements, "repeated": result.repeated}), flush=True)


def start(case: Case, place: str) -> subprocess.Popen[str]:
    """Run ``work`` in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.suites.load", "--work", json.dumps(asdict(case)), place]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def fire(case: Case, place: str) -> dict[str, Any]:
    """Prepare the table, kill a load of it, load again, and say what is in the table."""
    prepare(case, place)
    process = start(case, place)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if case.moment == "any":
        time.sleep(case.pause)
        process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    killed = process.returncode == -signal.SIGKILL
    lines = [json.loads(line) for line in said.splitlines()]
    with OPENERS[case.dialect](place) as warehouse:
        result = warehouse.load(load_of(case), tables(2 * ROWS // 3, "new"))
        lost, doubled = difference(warehouse, case)
        entries = warehouse.query(f"SELECT count(*) FROM {LEDGER} WHERE load_id = 'load-{case.turn}'")[0][0]
        cursor = warehouse.cursor(f"t{case.turn}")
        warehouse.query(f"DROP TABLE t{case.turn}")
    return {
        "suite": "load",
        **asdict(case),
        "at": lines[0] if killed and lines and isinstance(lines[0], str) else None,
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
    processes = [start(case, place) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    codes = [process.returncode for process in processes]
    repeated = [json.loads(text.splitlines()[-1])["repeated"] for text in said if text.count("\n") > 1]
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


def statements(dialect: str, mode: Mode, place: str) -> int:
    """How many statements an undisturbed load has."""
    case = Case(dialect, mode, "before", turn=1_000_000 + MODES.index(mode))
    prepare(case, place)
    process = start(case, place)
    said, _ = process.communicate(timeout=120)
    return int(json.loads(said.splitlines()[-1])["statements"])


@contextmanager
def places(folder: Path, dialects: Sequence[str]) -> Iterator[dict[str, str]]:
    """Where each dialect's warehouse is; PostgreSQL runs until the end."""
    with ExitStack() as running:
        found = {name: str(folder / f"w.{name}") for name in dialects}
        if "postgres" in found:
            found["postgres"] = running.enter_context(postgres_server()).uri
        yield found


def cases(counts: dict[tuple[str, Mode], int], seed: int, random_kills: int, sample: int | None) -> list[Case]:
    """Every statement of every load, before and after it, and some random moments; or a seeded sample of them.

    Args:
        counts: Dialect and mode -> statements of its load.
        seed: The same one gives the same cases.
        random_kills: For each dialect and mode.
        sample: How many of all; None for all.
    """
    draw = random.Random(seed)
    found = [
        Case(dialect, mode, moment, statement)
        for (dialect, mode), count in counts.items()
        for statement in range(1, count + 1)
        for moment in ("before", "after")
    ]
    found += [
        Case(dialect, mode, "any", pause=round(draw.uniform(0, 0.15), 4))
        for dialect, mode in counts
        for _ in range(random_kills)
    ]
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
    loads: Sequence[tuple[str, Mode]],
    sample: int | None = None,
    random_kills: int = 5,
) -> dict[str, Any]:
    """Run the cases; give the summary.

    Args:
        folder: for the warehouses.
        seed: of sample and random moments.
        say: told each line.
        loads: dialects and modes.
        sample: how many kills of all; None for all.
        random_kills: kills at any moment, for each dialect and mode.
    """
    began, lines = time.monotonic(), []
    with places(folder, [dialect for dialect, _ in loads]) as found:
        counts = {(dialect, mode): statements(dialect, mode, found[dialect]) for dialect, mode in loads}
        for case in cases(counts, seed, random_kills, sample):
            lines.append(fire(case, found[case.dialect]))
            say(lines[-1])
        for number, (dialect, mode) in enumerate(counts):
            lines.append(race(Case(dialect, mode, "any", turn=2_000_000 + number), found[dialect]))
            say(lines[-1])
        # A sample has a test of its own for these.
        for rush in rushes(list(found)) if sample is None else ():
            lines.append(at_once.run(rush, found[rush.engine.split()[-1]]))
            say(lines[-1])
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
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(Case(**json.loads(options.work[0])), options.work[1])
        return 0
    with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
        total = run_suite(
            *(Path(folder), options.seed, lambda line: print(json.dumps(line), flush=True)),
            loads=[(dialect, mode) for dialect in options.dialects for mode in MODES],
            sample=options.sample,
        )
    # A kill that missed its statement proves nothing.
    return 0 if total["exact"] == total["runs"] and not total["missed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
