"""The short sibling of `scripts/test --faults sagas`: a real Airflow, the gateway, the shop, kills and people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stack import marks
from tests.faults.saga_books import Account, accounts, broken
from tests.faults.saga_cases import KEYED, KEYLESS, ROUND, saga_cases
from tests.faults.suites import sagas

SEED = int(os.environ.get("AIRGATE_FAULTS_SEED") or 1)
ORDERS = 15
STEPS = ("reserve", "charge", "ship", "notify")


@pytest.mark.integration
@pytest.mark.faults
def test_orders_that_are_hit_end_in_one_of_three_states_and_the_services_agree(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    some = sagas.parts(11, ORDERS - 11, 0, SEED)  # three, three, and a batch of five; four without keys
    total = sagas.run_suite(tmp_path / "home", some, SEED, lines.append)
    assert total["held"] == total["orders"] == ORDERS, [line for line in lines if not line.get("held")]
    assert total["hit"] >= ORDERS // 2, lines  # a process may end before its kill
    assert total["doubled"] == total["left"] == 0
    assert {line.get("state") for line in lines} >= {"completed", "compensated"}, lines
    assert lines[-1] == total
    assert marks.marked(tmp_path / "home") == []


def test_a_seed_fixes_the_cases_and_a_round_has_everything_that_happens() -> None:
    cases = saga_cases(2 * ROUND, SEED, KEYED)
    assert cases == saga_cases(2 * ROUND, SEED, KEYED) != saga_cases(2 * ROUND, SEED + 1, KEYED)
    assert {case.what for case in cases} >= {"both", "edge", "service", "triggerer", "begun again", "marked success"}
    assert {case.way for case in cases} == set(KEYED)
    assert {case.way for case in saga_cases(ROUND, SEED, (KEYLESS,))} == {KEYLESS}


def view(state: str, **steps: str) -> dict[str, Any]:
    """As a verdict has it."""
    said = dict.fromkeys(STEPS, "not sent") | steps
    return {"state": state, "steps": [{"name": name, "state": said[name]} for name in STEPS]}


def books(**effects: str) -> dict[str, Account]:
    """Step -> its account; ``+`` is an effect and ``-`` an undo, in order."""
    events = [
        {"event": {"+": "effect", "-": "undo"}[sign], "collection": collection, "order": "o-1", "key": None}
        for step, signs in effects.items()
        for sign in signs
        for collection in [{"reserve": "reservations", "charge": "charges"}.get(step, f"{step}s")]
    ]
    return accounts({"shop": {"truth": {"orders": {}}, "events": events}}, "o-1")


ALL_DONE = dict.fromkeys(STEPS, "done")


@pytest.mark.parametrize(
    ("ended", "found", "why"),
    [
        (view("completed", **ALL_DONE), {"reserve": "+", "charge": "+"}, "ship: completed, done, and 0 left"),
        (view("compensated", reserve="undone"), {"reserve": "+-"}, ""),
        (view("compensated", reserve="undone"), {"reserve": "+"}, "reserve: compensated, undone, and 1 left"),
        (view("compensated"), {"charge": "++--"}, "charge: 2 at once"),
        (view("compensated"), {"charge": "+-+-"}, ""),
        (view("needs-attention", charge="in doubt"), {"charge": "+"}, ""),
        (view("needs-attention", charge="in doubt"), {"charge": ""}, ""),
        (
            view("needs-attention", charge="in doubt"),
            {"reserve": "+"},
            "reserve: needs-attention, not sent, and 1 left",
        ),
        (view("needs-attention", reserve="done"), {}, "reserve: needs-attention, done, and 0 left"),
        (view("somehow"), {}, "the state 'somehow'"),
        (None, {}, ""),
        (None, {"reserve": "+-"}, "reserve: done without a verdict"),
    ],
)
def test_a_promise_is_kept_or_not(ended: dict[str, Any] | None, found: dict[str, str], why: str) -> None:
    said = broken(ended, books(**found))
    assert (why in said) if why else not said


def test_a_step_that_a_person_marked_as_succeeded_may_have_an_effect_or_none() -> None:
    ended = view("completed", **ALL_DONE)
    found = books(reserve="+", charge="+") | {"ship": Account(1, 0, 1), "notify": Account()}
    assert broken(ended, found, marked=["notify"]) == []
    assert broken(ended, found) == ["notify: completed, done, and 0 left"]
