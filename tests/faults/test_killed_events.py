"""The short sibling of `scripts/test --faults events`: a real Airflow, and each of its servers killed once."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stack import marks
from tests.faults.event_cases import SERVERS, kills, telling
from tests.faults.suites import events

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)


@pytest.mark.integration
@pytest.mark.faults
def test_events_have_one_effect_each_whatever_is_killed(tmp_path: Path) -> None:
    """Of those in batches and of those that are runs of their own; what nobody takes is parked."""
    lines: list[dict[str, Any]] = []
    total = events.run_suite(tmp_path / "home", (300, 20), 1, SEED, lines.append, batch=25, every=0.3, patience=300.0)
    assert total["held"], lines
    assert (total["events"], total["effects"], total["lost"], total["twice"]) == (320, 320, 0, 0)
    assert total["hit"] == total["kills"] == 3, lines
    assert lines[-1] == total
    assert marks.marked(tmp_path / "home") == []


def test_a_plan_tells_every_event_and_some_of_them_again() -> None:
    """And some behind younger ones, among others that nobody can take; the same one for the same seed."""
    told = telling("x", 1000, SEED, poison=2, params=True)
    ids = [record["id"] for record in told.records if "id" in record]
    assert told.good <= set(ids)
    assert len(told.good) == 1000
    assert len(set(ids) - told.good) == 4
    assert told.parked == 6
    assert len(ids) - len(set(ids)) > 20
    good = [name for name in ids if name in told.good]
    assert sum(after < before for before, after in pairwise(good)) > 50
    assert (
        told == telling("x", 1000, SEED, poison=2, params=True) != telling("x", 1000, SEED + 1, poison=2, params=True)
    )


def test_each_server_is_killed_as_often_as_the_others() -> None:
    """In an order that the seed fixes."""
    plan = kills(4, SEED)
    assert sorted(server for server, _ in plan) == sorted(SERVERS * 4)
    assert plan == kills(4, SEED) != kills(4, SEED + 1)
