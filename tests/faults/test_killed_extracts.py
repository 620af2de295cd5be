"""The short sibling of `scripts/test --faults extract`: a few kills of a process that reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.extracting import MODES
from tests.faults.suites import extract
from tests.faults.suites.extract import Case, Outcome, cases, sample

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)
RUNS = 2 * len(MODES)


@pytest.mark.faults
def test_killed_reads_lose_and_double_nothing(tmp_path: Path) -> None:
    """Kills at steps that the seed draws, in every mode: the retry completes exactly the records of the collection."""
    lines: list[dict[str, Any]] = []
    total = extract.run_suite(tmp_path, lambda some: sample(some, RUNS, SEED), SEED, lines.append)
    assert total["held"] == total["runs"] == RUNS, [line for line in lines if not line.get("held")]
    assert total["killed"] >= RUNS - 1
    assert (total["lost"], total["doubled"]) == (0, 0)
    assert lines[-1] == total


def test_every_step_of_every_mode_is_a_case() -> None:
    """And a seed fixes the storms and the sample."""
    counts = dict.fromkeys(MODES, 20)
    everything = cases(counts, SEED)
    assert [case for case in everything if len(case.steps) == 1] == [
        Case(mode, (step,)) for mode in MODES for step in range(1, 21)
    ]
    assert len(everything) == len(MODES) * (20 + extract.STORMS)
    assert everything == cases(counts, SEED) != cases(counts, SEED + 1)
    drawn = sample(everything, RUNS, SEED)
    assert drawn == sample(everything, RUNS, SEED)
    assert [case.mode for case in drawn] == [*MODES, *MODES]


@pytest.mark.parametrize("change", [{"lost": 1}, {"doubled": 1}, {"wrong": ["x"]}])
def test_what_is_lost_doubled_or_wrong_does_not_hold(change: dict[str, Any]) -> None:
    """And the summary counts it."""
    good = {"died": 1, "died_at": ["before page"], "lost": 0, "doubled": 0, "wrong": [], "again": 2}
    assert Outcome(**good).held
    bad = Outcome(**{**good, **change})
    assert not bad.held
    lines = [{"mode": "pages", **good, "held": True}, {"mode": "pages", **good, **change, "held": bad.held}]
    total = extract.summary(lines, {"pages": 9}, SEED, 1.0)
    assert (total["runs"], total["held"], total["killed"]) == (2, 1, 2)
    assert total["lost"] + total["doubled"] == change.get("lost", 0) + change.get("doubled", 0)
