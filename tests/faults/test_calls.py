"""The short sibling of `scripts/test --faults calls`: a real Airflow and a few kills."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stack import marks
from tests.faults.cases import MOMENTS, Case, cases
from tests.faults.suites import calls

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)

LONGEST_PAUSE = 3.0


@pytest.mark.integration
@pytest.mark.faults
def test_killed_writes_have_exactly_one_effect(tmp_path: Path) -> None:
    """Kills before request, effect and answer, and of the triggerer in a long wait: one effect each time."""
    lines: list[dict[str, Any]] = []
    some = cases(4, SEED, ("before arrival", "before effect", "before answer", "while waiting"))
    total = calls.run_suite(tmp_path / "home", some, SEED, lines.append, peers=False)
    assert total["exactly_one"] == total["runs"] == 4, lines
    assert total["killed"] == 4, lines
    # Without a try that had to come again there would be nothing to prove.
    assert total["requests"] > 4, lines
    assert lines[-1] == total
    assert marks.marked(tmp_path / "home") == []


def test_a_seed_fixes_the_cases() -> None:
    """The same seed draws the same kills, another one others, and every moment has its share."""
    assert cases(50, SEED) == cases(50, SEED)
    assert cases(50, SEED) != cases(50, SEED + 1)
    dealt = [case.moment for case in cases(50, SEED)]
    assert {moment: dealt.count(moment) for moment in MOMENTS} == dict.fromkeys(MOMENTS, 10)
    assert all(0 <= case.pause < LONGEST_PAUSE for case in cases(500, SEED))


def test_the_summary_counts_what_the_lines_say() -> None:
    """A write that happened twice, or not at all, is no success, whatever Airflow thinks of the run."""
    case = Case(0, "before effect", "task", 0.5, 0.5, 0.1)
    order = {"arrivals": 2, "effects": 1, "keys": 1, "killed": ["task"], "killed_at": "arrived"}
    once = calls.Run("gateway", "a", case, state="success").line(order)
    twice = calls.Run("gateway", "b", case, state="success").line(order | {"effects": 2})
    unfinished = calls.Run("gateway", "c", case, state="running").line(order)
    peer = calls.Run("http", "a", case, state="success").line(order | {"effects": 2, "keys": 0})
    total = calls.summary([once, twice, unfinished, peer], SEED, 1.0)
    assert (total["runs"], total["exactly_one"], total["killed"]) == (3, 1, 3)
    assert total["peers"] == {"http": {"runs": 1, "exactly_one": 0, "more_than_one": 1, "none": 0, "most": 2}}
