"""The short sibling of `scripts/test --faults sagas`: a real Airflow, the gateway, the shop, kills and people."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stack import marks
from tests.faults.saga_books import STATES
from tests.faults.saga_cases import CANCELLED, cancelled
from tests.faults.suites import sagas

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)
KEYED_ORDERS, KEYLESS_ORDERS = 15, 4
"""Five of the first are ended at the five moments that every seed has, and one of the others."""


@pytest.mark.integration
@pytest.mark.faults
def test_orders_that_are_hit_end_in_one_of_three_states_and_the_services_agree(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    some = sagas.parts(KEYED_ORDERS, KEYLESS_ORDERS, 0, SEED)
    dealt = Counter(filter(None, (cancelled(case) for part in some for case in part.cases)))
    assert dealt.keys() == CANCELLED.keys()
    total = sagas.run_suite(tmp_path / "home", some, SEED, lines.append)
    assert lines.pop() == total
    orders = {line["order"]: line for line in lines}.values()
    assert total["held"] == total["orders"] == len(orders), [line for line in orders if not line["held"]]
    without = [line for line in orders if line["state"] not in STATES]
    assert {line["why"] for line in without} == {sagas.BEFORE_ORDERS}, without
    assert any(line["cancelled"] == "before the group expands" for line in without), orders
    assert {line["cancelled"] for line in orders} >= CANCELLED.keys(), orders
    assert total["hit"] >= len(orders) // 2, orders  # a process may end before its kill
    assert total["doubled"] == total["left"] == 0
    assert {line["state"] for line in orders} >= {"completed", "compensated"}, orders
    assert marks.marked(tmp_path / "home") == []
