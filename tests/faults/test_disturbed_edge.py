"""The short sibling of `scripts/test --faults edge`: each disturbance once, and a few thousand requests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.suites import edge

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)


@pytest.mark.faults
def test_clients_lose_nothing_by_what_happens_to_the_edge(tmp_path: Path) -> None:
    """A reload, a bad reload, the upstream's death and the edge's end cost no request, a killed worker those it had."""
    lines: list[dict[str, Any]] = list(edge.disturbances(tmp_path, len(edge.DISTURBANCES), SEED))
    assert [line["what"] for line in lines] == list(edge.DISTURBANCES)
    assert [line for line in lines if not line["good"]] == []
    # Without traffic there would be nothing to prove.
    assert all(line["answers"] > 50 for line in lines)
    assert any(502 in line["statuses"] for line in lines if line["what"] == "upstream")
