"""What a saga has promised is held against the services' books and the colour of its run: each rule can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.saga_books import COLLECTIONS, Account, End, accounts, broken, miscoloured
from tests.faults.saga_cases import BATCH, KEYED, SagaCase
from tests.faults.saga_driver import COUNTING, Run, runs_of
from tests.faults.suites import sagas

STEPS = ("reserve", "charge", "ship", "notify")


def view(state: str, why: str | None = None, **steps: str) -> dict[str, Any]:
    """As a verdict has it; it says why unless it is completed."""
    said = dict.fromkeys(STEPS, "not sent") | steps
    why = ("" if state == "completed" else "ship is not done") if why is None else why
    return {
        "state": state,
        "why": why,
        "epoch": 1,
        "steps": [{"name": name, "state": said[name], "key": None} for name in STEPS],
    }


def books(**effects: str) -> dict[str, Account]:
    """Step -> its account; ``+`` is an effect and ``-`` an undo, in order."""
    events = [
        {"event": {"+": "effect", "-": "undo"}[sign], "collection": COLLECTIONS[step], "order": "o-1", "key": None}
        for step, signs in effects.items()
        for sign in signs
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
        (view("compensated", why=""), {}, "compensated, and nobody says why"),
        (view("needs-attention", why=""), {}, "needs-attention, and nobody says why"),
        (None, {}, "no verdict"),
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


def test_a_run_that_never_came_to_its_orders_needs_no_verdict_but_nothing_may_be_done() -> None:
    assert broken(None, books(), before_orders=True) == []
    assert broken(None, books(reserve="+-"), before_orders=True) == ["reserve: done without a verdict"]
    assert broken(None, books(reserve="++"), before_orders=True)[0] == "reserve: 2 at once"


def test_a_ledger_that_contradicts_its_truth_is_no_book() -> None:
    truth = {"orders": {"o-1": {"collections": {"charges": 1}}}}
    with pytest.raises(AssertionError):
        accounts({"payments": {"truth": truth, "events": []}}, "o-1")


COMPLETED, COMPENSATED, ATTENTION = view("completed", **ALL_DONE), view("compensated"), view("needs-attention")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (End("success", [COMPLETED]), ""),
        (End("failed", [COMPENSATED]), ""),
        (End("failed", [ATTENTION]), ""),
        (End("failed", [COMPLETED, COMPENSATED], counting="failed"), ""),
        (End("success", [COMPLETED, COMPLETED], counting="success"), ""),
        (End("failed", [None], expanded=False, counting="failed"), ""),
        (End("failed", [COMPLETED]), ""),
        (End("success", [COMPENSATED]), "the run is success, and its verdicts are ['compensated']"),
        (End("success", [ATTENTION]), "the run is success, and its verdicts are ['needs-attention']"),
        (End("success", [None]), "the run is success, and its verdicts are [None]"),
        (End("success", []), "the run is success, and its verdicts are []"),
        (End("success", [None], expanded=False, counting="skipped"), "the run is success, and its verdicts are [None]"),
        (End("success", [COMPLETED, COMPENSATED], counting="failed"), "the run is success, and its verdicts are"),
        (End("failed", [COMPLETED, COMPENSATED], counting="success"), "the task that counts is success"),
        (End("success", [COMPLETED], counting="None"), "the task that counts is None"),
        (End("running", [COMPLETED]), "the run is running"),
        (End("", [COMPLETED]), "the run is unknown"),
    ],
)
def test_a_run_is_green_only_when_all_its_orders_are_completed(end: End, why: str) -> None:
    said = miscoloured(end)
    assert any(why in each for each in said) if why else not said


@pytest.mark.parametrize(
    ("end", "excused"),
    [
        (End("failed", [None], expanded=False, counting="failed"), True),
        (End("failed", [None], expanded=True, counting="failed"), False),
        (End("failed", [None], expanded=False, counting="skipped"), False),
        (End("failed", [None]), False),
    ],
)
def test_only_a_group_that_never_expanded_and_is_counted_as_failed_has_no_orders(end: End, *, excused: bool) -> None:
    assert end.before_orders is excused


def ended(way: str, state: str, tasks: dict[tuple[str, int], str | None], **views: Any) -> Run:
    """A run that has ended."""
    [chosen] = [each for each in KEYED if each == way]
    [run] = runs_of([SagaCase(0, 0, chosen, "nothing")], "s")
    run.state, run.tasks, run.ended_at = state, tasks, 1.0
    run.views = {order.index: views.get("view") for order in run.orders}
    return run


def told(run: Run, **effects: str) -> tuple[bool, str | None, list[str]]:
    """What the suite reports of its order: whether it held, why, and how not."""
    [order] = run.orders
    said = sagas.line(sagas.Part("keys", [order.case], {}), run, order, books(**effects))
    return said["held"], said["why"], said["broken"]


def test_the_suite_takes_no_verdict_for_held_only_where_there_were_no_orders_yet() -> None:
    queued = {("read_orders", -1): "skipped", ("order.verdict", -1): "skipped", (COUNTING, -1): "failed"}
    assert told(ended(BATCH, "failed", queued)) == (True, sagas.BEFORE_ORDERS, [])
    assert told(ended(BATCH, "success", queued))[0] is False
    assert told(ended(BATCH, "failed", queued), reserve="+-") == (
        False, sagas.BEFORE_ORDERS, ["reserve: done without a verdict"],
    )  # fmt: skip
    expanded = {("read_orders", -1): "success", ("order.verdict", 0): "failed", (COUNTING, -1): "failed"}
    assert told(ended(BATCH, "failed", expanded)) == (False, None, ["no verdict"])
    assert told(ended(BATCH, "failed", {})) == (
        False,
        None,
        ["no verdict", "the task that counts is None, and the verdicts are [None]"],
    )
    assert told(ended("sagas_keyed", "failed", {("order.verdict", -1): "skipped"})) == (False, None, ["no verdict"])


def test_the_suite_holds_the_verdict_against_the_colour_of_its_run() -> None:
    done = dict.fromkeys(STEPS, "+")
    assert told(ended("sagas_keyed", "success", {}, view=COMPLETED), **done)[0] is True
    assert told(ended("sagas_keyed", "failed", {}, view=COMPLETED), **done)[0] is True
    assert told(ended("sagas_keyed", "failed", {}, view=COMPENSATED))[0] is True
    assert told(ended("sagas_keyed", "success", {}, view=COMPENSATED))[0] is False
