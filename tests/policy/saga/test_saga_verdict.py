"""How a saga ended, as a person sees it: each ending, each state of a step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.policy.saga.entries import BEGUN, Epoch
from airgate.policy.saga.plan import Plan, Step
from airgate.policy.saga.verdict import StepView, View, verdict
from tests.policy.saga.saga_journal import run

PLAN = Plan(
    (
        Step("check", undo=False),
        Step("pay", frozenset({"check"}), undo=True, lookup=True),
        Step("ship", frozenset({"pay"}), pivot=True, lookup=True),
        Step("tell", frozenset({"ship"}), retriable=True),
    )
)
EPOCH = Epoch(3, 100.0)

SENT = {"sent": {"at": 112.0, "first_at": 110.0, "settles_at": 120.0}, "first": {"at": 112.0}}
DONE = SENT | {"done": {"at": 115.0, "result": 1}}
REFUSED = SENT | {"refused": {"at": 113.0, "of": 112.0, "why": "402"}}
LOST = SENT | {"lost": {"at": 113.0, "of": 112.0, "settles_at": 114.0, "why": "no answer"}}
NO = SENT | {"word": {"at": 116.0, "happened": False, "by": "Kim"}}
UNDO_FAILED = {"undo_failed": {"at": 130.0, "why": "503"}}
MARKED = {"marked": {"at": 116.0}}


def undone(how: str, why: str = "") -> dict[str, Any]:
    return {"undone": {"at": 131.0, "how": how, "why": why}}


def journal_of(direction: str | None, **steps: dict[str, Any]) -> dict[str, Any]:
    """The journal of a saga in which steps have these entries."""
    journal: dict[str, Any] = {BEGUN: EPOCH.entry()}
    for step, facts in steps.items():
        journal |= {EPOCH.of(step, fact): entry for fact, entry in facts.items()}
    if direction is not None:
        journal |= {EPOCH.fence: {"at": 120.0}, EPOCH.decision: {"at": 121.0, "direction": direction, "why": "so"}}
    return journal


def judge(journal: dict[str, Any]) -> View:
    return run(verdict(PLAN, lambda step, epoch: f"key of {step} in {epoch}"), journal)


def view_of(view: View, name: str) -> StepView:
    [found] = [step for step in view.steps if step.name == name]
    return found


ENDINGS: list[tuple[str, dict[str, Any], str, str]] = [
    ("all done", journal_of("complete", check=DONE, pay=DONE, ship=DONE, tell=DONE), "completed", ""),
    ("undone", journal_of("back", check=DONE, pay=DONE | undone("undone"), ship=REFUSED), "compensated", "so"),
    ("by hand", journal_of("back", check=DONE, pay=DONE | undone("by hand"), ship=REFUSED), "compensated", "so"),
    ("the pivot was asked after", journal_of("back", pay=DONE | undone("undone"), ship=LOST), "compensated", "so"),
    ("nothing was sent", journal_of("back"), "compensated", "so"),
    ("only what needs no undo", journal_of("back", check=LOST), "compensated", "so"),
    ("never decided, nothing sent", journal_of(None), "compensated", "it was ended before anything was sent"),
    (
        "never decided",
        journal_of(None, check=DONE),
        "needs-attention",
        "`decide` did not decide: clear `begin` with all downstream, which goes on where it was",
    ),
    (
        "an undo failed",
        journal_of("back", check=DONE, pay=DONE | UNDO_FAILED),
        "needs-attention",
        "not undone: pay (undo failed)",
    ),
    ("an undo never ran", journal_of("back", check=DONE, pay=DONE), "needs-attention", "not undone: pay (in doubt)"),
    ("nobody knows", journal_of("back", check=DONE, pay=LOST), "needs-attention", "not undone: pay (in doubt)"),
    (
        "behind the pivot",
        journal_of("forward", check=DONE, pay=DONE, ship=DONE, tell=REFUSED),
        "needs-attention",
        "the pivot has happened, so nothing is undone; so",
    ),
    ("nobody knows of the pivot", journal_of("nowhere", check=DONE, pay=DONE, ship=LOST), "needs-attention", "so"),
]


@pytest.mark.parametrize(("journal", "state", "why"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS])
def test_a_saga_ends_in_one_of_three_states(journal: dict[str, Any], state: str, why: str) -> None:
    journal = dict(journal)

    view = judge(journal)

    assert (view.state, view.why) == (state, why)
    assert journal[EPOCH.verdict] == {"at": 1000.0, "state": state}
    assert judge(journal) == view


STEP_STATES: list[tuple[str, str, str | None, dict[str, Any], str, str]] = [
    ("done", "pay", "complete", DONE, "done", ""),
    ("done, and nothing to undo", "check", "back", DONE, "done", ""),
    ("never sent", "pay", "back", {}, "not sent", "it was never sent"),
    ("refused", "pay", "back", REFUSED, "refused", "it was refused: 402"),
    ("refused, and its undo found that", "pay", "back", REFUSED | undone("nothing", "it was refused: 402"), "refused",
     "it was refused: 402"),
    ("never sent, and its undo found that", "pay", "back", undone("nothing", "it was never sent"), "not sent",
     "it was never sent"),
    ("not known to the service", "pay", "back", LOST | undone("nothing", "not there"), "nothing to undo", "not there"),
    ("a person said no", "pay", "back", NO | undone("nothing"), "refused",
     "a person said that it did not happen (Kim)"),
    ("undone", "pay", "back", DONE | undone("undone"), "undone", ""),
    ("undone at the second time", "pay", "back", DONE | UNDO_FAILED | undone("undone"), "undone", ""),
    ("undone by hand", "pay", "back", DONE | UNDO_FAILED | undone("by hand", "by Kim"), "undone by hand", "by Kim"),
    ("undone while in doubt", "pay", "back", LOST | undone("undone"), "undone", ""),
    ("an undo failed", "pay", "back", DONE | UNDO_FAILED, "undo failed", "503"),
    ("in doubt, an undo failed", "pay", "back", LOST | UNDO_FAILED, "undo failed", "503"),
    ("not undone", "pay", "back", DONE, "in doubt", "it was not undone"),
    ("in doubt", "pay", "back", LOST, "in doubt", "no answer"),
    ("in doubt, undecided", "pay", None, LOST, "in doubt", "no answer"),
    ("in doubt, forward", "tell", "forward", LOST, "in doubt", "no answer"),
    ("in doubt, nothing to undo", "check", "back", LOST, "nothing to undo", "no answer"),
    ("the pivot, which did not happen", "ship", "back", LOST, "nothing to undo", "no answer"),
    ("the pivot, nobody knows", "ship", "nowhere", LOST, "in doubt", "no answer"),
    ("marked as succeeded", "pay", "complete", MARKED, "done", "it was marked as succeeded by hand"),
    ("marked as succeeded, and to be undone", "pay", "back", MARKED, "in doubt", "it was marked as succeeded by hand"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "direction", "facts", "state", "why"),
    [case[1:] for case in STEP_STATES],
    ids=[case[0] for case in STEP_STATES],
)
def test_each_step_is_told_of(name: str, direction: str | None, facts: dict[str, Any], state: str, why: str) -> None:
    step = view_of(judge(journal_of(direction, **{name: facts})), name)

    assert (step.state, step.why) == (state, why)


def test_a_step_has_its_key_and_its_times() -> None:
    step = view_of(judge(journal_of("back", pay=DONE | undone("undone"))), "pay")

    assert step == StepView("pay", "undone", "", "key of pay in 3", sent_at=110.0, done_at=115.0, undone_at=131.0)


def test_what_was_never_sent_has_no_key() -> None:
    step = view_of(judge(journal_of("back", pay=undone("nothing", "it was never sent"))), "pay")

    assert (step.key, step.sent_at, step.undone_at) == (None, None, None)


def test_the_pivot_and_what_follows_it_are_named() -> None:
    view = judge(journal_of("complete"))

    assert [step.name for step in view.steps] == ["check", "pay", "ship", "tell"]
    assert [step.pivot for step in view.steps] == [False, False, True, False]
    assert [step.retriable for step in view.steps] == [False, False, False, True]


def test_a_saga_that_never_began_left_nothing() -> None:
    journal: dict[str, Any] = {}

    view = judge(journal)

    assert (view.state, view.why, view.epoch) == ("compensated", "it was ended before it began", 0)
    assert {step.state for step in view.steps} == {"not sent"}
    assert [step.name for step in view.steps if step.pivot] == ["ship"]
    assert journal == {}


def test_where_nothing_was_decided_nothing_is_sent_from_now_on() -> None:
    journal = journal_of(None)

    judge(journal)

    assert journal[EPOCH.fence] == {"at": 1000.0}


def test_a_view_is_an_object_of_json() -> None:
    view = judge(journal_of("back", check=DONE, pay=DONE | undone("undone"), ship=REFUSED))

    shown = json.loads(json.dumps(view.to_json()))

    assert shown["version"] == 1
    assert (shown["state"], shown["epoch"], shown["began_at"], shown["ended_at"]) == ("compensated", 3, 100.0, 1000.0)
    assert shown["steps"][1] == {
        "name": "pay",
        "state": "undone",
        "why": "",
        "key": "key of pay in 3",
        "pivot": False,
        "retriable": False,
        "sent_at": 110.0,
        "done_at": 115.0,
        "undone_at": 131.0,
    }
