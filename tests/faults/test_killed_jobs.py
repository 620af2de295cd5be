"""The short sibling of `scripts/test --faults jobs`: a real Airflow, a few kills and a task marked failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stack import marks
from tests.faults.job_cases import LAST, LAST_UNHEARD, MOMENTS, ONCE, UNFOUND, WAYS, JobCase, job_cases
from tests.faults.suites import jobs

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)


@pytest.mark.integration
@pytest.mark.faults
def test_killed_and_ended_tasks_leave_one_job_or_none_running(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    chosen = ("before answer", "at look", "at result", "last try", "marked failed without triggerer", "cleared")
    some = job_cases(7, SEED, (*chosen, LAST_UNHEARD))
    total = jobs.run_suite(tmp_path / "home", some, SEED, lines.append)
    assert total["held"] == total["runs"] == 7, lines
    assert total["hit"] >= 6, lines  # a process that is killed for one case may be another's
    assert total["left_running"] == 0
    assert lines[-1] == total
    assert marks.marked(tmp_path / "home") == []


def test_every_moment_meets_every_way_of_waiting() -> None:
    dealt = {(case.moment, case.way) for case in job_cases(len(MOMENTS) * len(WAYS), SEED)}
    assert dealt == {
        *((moment, way) for moment in MOMENTS if moment not in (LAST, LAST_UNHEARD) for way in WAYS),
        *((LAST, ONCE), (LAST_UNHEARD, ONCE), (LAST_UNHEARD, UNFOUND)),
    }
    assert job_cases(50, SEED) == job_cases(50, SEED) != job_cases(50, SEED + 1)


def job(state: str, begin: float, end: float) -> dict[str, Any]:
    """As the service tells of one."""
    return {"id": f"job-{begin}", "state": state, "from": begin, "to": end}


def case(moment: Any) -> JobCase:
    """One of that moment."""
    return JobCase(0, "jobs_here", moment, "", 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("moment", "state", "ran", "held"),
    [
        ("at look", "success", [job("succeeded", 0, 1)], True),
        ("at look", "failed", [job("succeeded", 0, 1)], False),
        ("at look", "success", [job("succeeded", 0, 1), job("succeeded", 2, 3)], False),
        ("cleared", "success", [job("cancelled", 0, 1), job("succeeded", 1, 3)], True),
        ("cleared", "success", [job("succeeded", 0, 1)], False),
        ("cleared", "success", [job("cancelled", 0, 2), job("succeeded", 1, 3)], False),
        ("cleared unheard", "success", [job("succeeded", 0, 1)], True),
        ("cleared unheard", "failed", [job("cancelled", 0, 1)], False),
        ("cleared", "success", [job("succeeded", 0, 1), job("succeeded", 2, 3)], False),
        ("last try", "failed", [job("cancelled", 0, 1)], True),
        ("last try", "failed", [job("running", 0, 9)], False),
        ("last try unheard", "failed", [job("cancelled", 0, 1)], True),
        ("last try unheard", "failed", [job("running", 0, 9)], False),
        ("marked failed on return", "success", [job("cancelled", 0, 1)], True),
        ("marked failed on return", "failed", [job("running", 0, 9)], False),
        ("marked failed on return", "failed", [], False),
        ("marked failed", "failed", [job("cancelled", 0, 1)], True),
        ("marked failed", "failed", [job("running", 0, 9)], False),
        ("marked failed", "failed", [job("succeeded", 0, 8)], False),
    ],
)
def test_a_promise_is_held_or_not(moment: str, state: str, ran: list[dict[str, Any]], held: bool) -> None:
    result = {"by": ran[-1]["id"]} if ran else None
    assert jobs.held(case(moment), state, ran, result) is held


@pytest.mark.parametrize("result", [None, "text", {}, {"by": "job-9"}, {"by": "job-0"}])
def test_the_result_has_to_be_that_of_the_last_job(result: Any) -> None:
    ran = [job("cancelled", 0, 1), job("succeeded", 1, 3)]
    assert jobs.held(case("cleared"), "success", ran, {"by": "job-1"})
    assert not jobs.held(case("cleared"), "success", ran, result)
