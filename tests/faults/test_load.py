"""The short sibling of `scripts/test --faults load`: a seeded sample of its kills, and all its races."""

from __future__ import annotations

import os
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
    # A mode each, which the seed turns.
    loads = [(dialect, load.MODES[(SEED + number) % 3]) for number, dialect in enumerate(there)]
    lines: list[dict[str, Any]] = []
    total = load.run_suite(tmp_path, SEED, lines.append, loads=loads, sample=6, random_kills=1)
    wrong = [line for line in lines[:-1] if not line["exact"]]
    assert not wrong
    assert (total["lost"], total["doubled"], total["missed"]) == (0, 0, 0)
    # Without a kill there would be nothing to prove.
    assert total["killed"] >= 3, lines


def test_a_seed_fixes_the_cases() -> None:
    """The same seed draws the same kills; without a sample every statement has its two."""
    counts = {("duckdb", "merge"): 5}
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
