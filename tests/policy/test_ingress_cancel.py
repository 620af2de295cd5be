"""Whether a saga lets its run be cancelled, by its journal."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.policy.ingress_cancel import hindrance, is_undecided

BEGUN = {"pivot": {"step": "ship"}, "begun": {"epoch": 2}}
SENT = {"at": 5.0}


@pytest.mark.parametrize(
    ("journal", "word"),
    [
        ({}, None),
        ({"pivot": {"step": "ship"}}, None),
        (BEGUN, None),
        ({**BEGUN, "1.ship.done": {}, "1.verdict": {"state": "completed"}}, None),
        ({**BEGUN, "2.ship.sent": SENT}, "is at"),
        ({**BEGUN, "2.ship.sent": SENT, "2.ship.refused": {"of": 5.0}}, None),
        ({**BEGUN, "2.ship.sent": SENT, "2.ship.refused": {"of": 4.0}}, "is at"),
        ({**BEGUN, "2.ship.sent": SENT, "2.ship.refused": {"of": 5.0}, "2.ship.again": {}}, "is at"),
        ({**BEGUN, "2.ship.done": {}}, "has passed"),
        ({**BEGUN, "2.ship.word": {"happened": True}}, "has passed"),
        ({**BEGUN, "2.ship.sent": SENT, "2.ship.word": {"happened": False}}, None),
        ({**BEGUN, "2.decision": {"direction": "back"}, "2.ship.sent": SENT}, None),
        ({**BEGUN, "2.decision": {"direction": "forward"}}, "has passed"),
        ({**BEGUN, "2.decision": {"direction": "nowhere"}}, "is at"),
        ({**BEGUN, "2.decision": {"direction": "complete"}}, "is completed"),
        ({**BEGUN, "2.verdict": {"state": "completed"}}, "is completed"),
        ({**BEGUN, "2.verdict": {"state": "compensated"}}, None),
        ({**BEGUN, "2.verdict": {"state": "needs-attention"}, "2.ship.done": {}}, "has passed"),
        ({"begun": {"epoch": 1}, "1.ship.done": {}}, None),
    ],
)
def test_a_run_is_cancelled_while_its_saga_can_go_back(journal: dict[str, Any], word: str | None) -> None:
    said = hindrance("Saga sale", journal)
    assert said is None if word is None else said is not None and said.startswith(f"Saga sale {word}")


@pytest.mark.parametrize(
    ("journal", "epoch"),
    [
        ({}, None),
        ({"begun": {"epoch": 3}}, 3),
        ({"begun": {"epoch": 3}, "2.fence": {}}, 3),
        ({"begun": {"epoch": 3}, "3.fence": {}}, None),
        ({"begun": {"epoch": 3}, "3.decision": {}}, None),
    ],
)
def test_a_fence_is_missing_only_where_a_step_may_still_be_sent(journal: dict[str, Any], epoch: int | None) -> None:
    assert is_undecided(journal) == epoch
