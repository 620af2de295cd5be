"""The short sibling of `scripts/test --faults load`: a seeded sample of its kills, and all its races."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.faults.suites import load
from tests.postgres_server import postgres_programs

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)


@pytest.mark.faults
def test_killed_loads_are_in_the_table_once(tmp_path: Path) -> None:
    """SIGKILL at statements of loads into DuckDB, SQLite and PostgreSQL, then the load again: exactly its rows."""
    there = [name for name in load.DIALECTS if name != "postgres" or postgres_programs()]
    # A kind of load each, which the seed turns.
    loads = [(dialect, *load.KINDS[(SEED + number) % len(load.KINDS)]) for number, dialect in enumerate(there)]
    lines: list[dict[str, Any]] = []
    total = load.run_suite(tmp_path, SEED, lines.append, loads=loads, sample=6, random_kills=1)
    wrong = [line for line in lines[:-1] if not line["exact"]]
    assert not wrong
    assert (total["lost"], total["doubled"], total["missed"]) == (0, 0, 0)
    # Without a kill there would be nothing to prove.
    assert total["killed"] >= 3, lines


@pytest.mark.parametrize("dialect", load.DIALECTS)
def test_no_statement_is_left_out(tmp_path: Path, dialect: str) -> None:
    """The kills are at all that a load does, in its order: each part staged or appended, begin, enter, commit."""
    if dialect == "postgres" and not postgres_programs():
        pytest.skip("needs PostgreSQL: scripts/test --install")
    with load.places(tmp_path, [dialect]) as found:
        steps = {kind: load.steps(dialect, *kind, found[dialect]) for kind in load.KINDS}
    for turn, ((mode, keyed), said) in enumerate(steps.items(), 1_000_000):
        straight = not keyed and dialect != "sqlite"
        table, insert = f"t{turn}", "INGEST" if dialect == "postgres" else "INSERT INTO"
        parts = [f"{insert} {table if straight else 'airgate_staging'}"] * load.PARTS
        change = {"append": [], "merge": [f"UPDATE {table}"], "replace": [f"DELETE FROM {table}"]}[mode]
        begin = {"duckdb": "BEGIN", "sqlite": "BEGIN IMMEDIATE", "postgres": "BEGIN ISOLATION LEVEL"}[dialect]
        lock = ["SELECT pg_advisory_xact_lock"] if dialect == "postgres" else []
        if straight:
            due = [begin, *lock, *change, *parts]
        else:
            own = [["BEGIN"], ["COMMIT"]] if dialect == "sqlite" else [[], []]
            staging = ["CREATE TEMPORARY TABLE airgate_staging", *own[0], *parts, *own[1]]
            due = [*staging, begin, *lock, *change, f"INSERT INTO {table}"]
        due += ["INSERT INTO airgate_loads", "COMMIT", "DROP TABLE IF EXISTS airgate_staging"]
        assert in_order(due, said) == due, (mode, keyed, said)


def in_order(due: list[str], said: list[str]) -> list[str]:
    """Those of the statements that are among what was said, one after another."""
    rest = iter(said)
    return [start for start in due if any(text.startswith(start) for text in rest)]


def test_another_way_to_the_database_is_noticed() -> None:
    """A dialect that runs statements by a method that is not watched fails, rather than to be killed nowhere."""
    mortal = load.Mortal(sqlite3.connect(":memory:"), load.Case("sqlite", "append", False, "before"))
    with pytest.raises(AssertionError, match="executescript is a way to the database"):
        mortal.executescript("SELECT 1")


def test_a_seed_fixes_the_cases() -> None:
    """The same seed draws the same kills; without a sample every statement has its two."""
    counts = {("duckdb", "merge", True): 5}
    assert load.cases(counts, SEED, 2, 4) == load.cases(counts, SEED, 2, 4)
    every = load.cases(counts, SEED, 2, None)
    kills = [(case.statement, case.moment) for case in every if case.moment != "any"]
    assert kills == [(number, moment) for number in range(1, 6) for moment in ("before", "after")]


def test_the_expectation_tells_loss_and_doubles_apart() -> None:
    """The modes differ in what two overlapping loads leave."""
    third = load.ROWS // 3
    assert load.expected("append").total() == 2 * load.ROWS
    assert load.expected("merge").total() == 2 * load.ROWS - third
    assert load.expected("replace").total() == load.ROWS
