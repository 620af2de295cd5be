"""The pivot: before it all goes back, behind it all goes forward, and nobody guesses on which side a saga stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.sagas.charges import DECLINED, FIND, FOUND, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun

CARD = {"card": "tok_visa"}
INPUTS = {"order": "{{ run_id }}"}


def with_card(order: str) -> Any:
    return charge(CARD["card"], order=order)


def with_pivot(**pivot: Any) -> Callable[[Any], None]:
    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("ship", **{"do": charge(), "pivot": True, "lookup": FIND, "retries": 0, **pivot})
        order.step("notify", with_card, inputs=INPUTS, retriable=True)

    return define


def losing(payments: Payments) -> Callable[[SagaRun], None]:
    """The answer to the pivot is lost after its effect."""

    def see(run: SagaRun) -> None:
        states = run.states()
        if states.get("ship") == "failed":
            payments.behave()
        elif states.get("first") == "success":
            payments.misbehave(failed_after=1)

    return see


def test_a_pivot_that_is_refused_takes_all_back(payments: Payments) -> None:
    """It has provably not happened, so the steps before it are undone."""
    run = SagaRun.asked_for(order_dag(with_pivot(do=DECLINED))).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"first": "undone", "ship": "refused", "notify": "not sent"}
    assert payments.net == 0


def test_a_pivot_that_happened_without_anybody_knowing_is_found(payments: Payments) -> None:
    """The look-up says so: nothing is undone, and clearing the pivot, which is not repeated, drives the saga on."""
    CARD["card"] = "tok_visa"
    run = SagaRun.asked_for(order_dag(with_pivot())).go(losing(payments))
    assert run.state == "failed"
    assert run.view()["state"] == "needs-attention"
    assert "the pivot has happened, so nothing is undone" in run.view()["why"]
    assert run.steps() == {"first": "done", "ship": "done", "notify": "not sent"}
    assert run.states()["undo_first"] == "skipped"
    run.clear("ship")
    run.go()
    assert run.state == "success"
    assert run.view()["state"] == "completed"
    assert payments.told() == ["effect"] * 3


def test_a_step_behind_the_pivot_only_goes_forward(payments: Payments) -> None:
    """When it fails for good a person has to look; cleared, it completes the saga."""
    CARD["card"] = "tok_declined"
    run = SagaRun.asked_for(order_dag(with_pivot())).go()
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"first": "done", "ship": "done", "notify": "refused"}
    assert payments.told("undo") == []
    CARD["card"] = "tok_visa"
    run.clear("notify")
    run.go()
    assert run.state == "success"
    assert run.steps() == {"first": "done", "ship": "done", "notify": "done"}
    assert payments.told("effect") == ["effect"] * 3


def test_a_step_behind_the_pivot_is_tried_longer(payments: Payments) -> None:
    """It has no way back, so it does not give up where another step would."""
    CARD["card"] = "tok_visa"

    def go_down(run: SagaRun) -> None:
        if run.states().get("ship") == "success":
            payments.misbehave(unavailable=1)

    run = SagaRun.asked_for(order_dag(with_pivot(), retries=0, forward_retries=5)).go(go_down)
    assert run.view()["state"] == "completed"
    assert run.tries("notify") == 3


# -- what a person says ----------------------------------------------------------------------------------------------


def asked(define: Callable[[Any], None], answers: list[str], **options: Any) -> SagaRun:
    run = SagaRun.asked_for(order_dag(define, answer_within=timedelta(hours=1), **options))
    run.answers = answers
    return run


def test_a_person_says_that_the_pivot_happened(payments: Payments) -> None:
    """Then the saga stays as it is, and goes forward when it is cleared."""
    CARD["card"] = "tok_visa"
    run = asked(with_pivot(lookup=None), ["It happened"]).go(losing(payments))
    assert run.questions == ["order.decide"]
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"first": "done", "ship": "done", "notify": "not sent"}
    run.clear("ship")
    run.go()
    assert run.view()["state"] == "completed"
    assert payments.told("effect") == ["effect"] * 3


def test_a_person_says_that_the_pivot_did_not_happen(payments: Payments) -> None:
    """Then all goes back."""
    run = asked(with_pivot(lookup=None), ["It did not happen"]).go(losing(payments))
    assert run.view()["state"] == "compensated"
    assert run.steps()["first"] == "undone"
    assert "a person said that it did not happen (Grace)" in run.step("ship")["why"]


def test_a_person_leaves_the_pivot_as_it_is(payments: Payments) -> None:
    """Nothing is undone, as it may have happened; the question comes again when `decide` is cleared."""
    run = asked(with_pivot(lookup=None), ["Leave it"]).go(losing(payments))
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"first": "done", "ship": "in doubt", "notify": "not sent"}
    assert payments.told("undo") == []
    run.answers = ["It did not happen"]
    run.clear("decide")
    run.go()
    assert run.view()["state"] == "compensated"
    assert payments.told("undo") == ["undo"]
