"""The short sibling of `scripts/test --faults push`: a few pushes, killed at drawn moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.suites import push

PROJECT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)


@pytest.mark.faults
def test_killed_pushes_have_one_effect_a_record() -> None:
    """Two of each kind: with keys exactly one effect, without them never a second one."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.suites.push", "--runs", "10", "--seed", str(SEED)],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "scripts")])},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-3000:]}"
    *ran, total = lines
    assert [line["kind"] for line in ran] == [*push.KINDS] * 2
    assert total["held"] == total["cases"] == 10
    assert total["kills"] >= 5
    assert (total["records_twice"], total["keys_reused"]) == (0, 0)


def test_a_seed_fixes_the_cases() -> None:
    """The same seed draws the same kills, another one others."""
    assert push.cases(20, SEED) == push.cases(20, SEED)
    assert push.cases(20, SEED) != push.cases(20, SEED + 1)


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        ({"exactly_one": False}, False),
        ({"balanced": False}, False),
        ({"reused": 1}, False),
        ({"state": push.FAILED}, False),
        ({"state": push.UNKNOWN}, False),
        ({"kind": "keyless", "state": push.UNKNOWN, "exactly_one": False, "balanced": False}, True),
        ({"kind": "keyless", "state": push.UNKNOWN, "twice": 1}, False),
        ({"kind": "keyless", "twice": 1, "exactly_one": False}, False),
    ],
)
def test_a_case_that_broke_the_promise_does_not_count_as_held(changes: dict[str, Any], held: bool) -> None:
    """A second effect, a record without one or a push that gave up is no success."""
    line = {"kind": "strict", "state": push.ENDED, "exactly_one": True, "balanced": True, "twice": 0, "reused": 0}
    assert push.held(line | changes) is held
