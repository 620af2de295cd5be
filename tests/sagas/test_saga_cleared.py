"""What follows when a person clears a part of a saga: Airflow clears `begin` along with each step, as its setup."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.hooks import Call
from tests.sagas.charges import DECLINED, FIND, FOUND, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun


def three(order: Any) -> None:
    """Three charges, the second of which is the pivot."""
    order.step("first", charge(), **FOUND)
    order.step("second", charge(), lookup=FOUND["lookup"], pivot=True)
    order.step("third", charge(), retriable=True)


@pytest.mark.parametrize("downstream", [True, False])
@pytest.mark.parametrize("step", ["second", "third"])
def test_a_step_of_a_completed_saga_is_not_done_again(payments: Payments, step: str, downstream: bool) -> None:
    """`begin` runs again beside it, and asks for nothing new: the epoch and the effects stay."""
    run = SagaRun.asked_for(order_dag(three)).go()
    assert run.state == "success"
    run.clear(step, downstream=downstream)
    assert run.states()["begin"] == "None"
    run.go()
    assert run.state == "success"
    assert run.tries("begin") == 2
    assert run.xcom("order.journal", "begun")["epoch"] == 1
    assert payments.told() == ["effect"] * 3


MENDED = {"card": "tok_declined"}


def declined(order: Any) -> None:
    """A charge, and one whose card is declined until it is mended."""
    order.step("first", charge(), **FOUND)
    order.step("second", lambda order: charge(MENDED["card"], order=order), inputs={"order": "{{ run_id }}"}, **FOUND)


@pytest.mark.parametrize("downstream", [True, False])
def test_a_step_of_a_compensated_saga_is_not_sent(payments: Payments, downstream: bool) -> None:
    """Not even with a card that is good by now: it would stand alone, as what it rests on was undone."""
    MENDED["card"] = "tok_declined"
    run = SagaRun.asked_for(order_dag(declined)).go()
    assert run.view()["state"] == "compensated"
    MENDED["card"] = "tok_visa"
    sent = payments.requests
    run.clear("second", downstream=downstream)
    run.go()
    assert run.view()["state"] == "compensated"
    assert run.states()["second"] == "failed"
    assert payments.requests == sent


def test_a_whole_run_that_needs_a_person_is_driven_on_by_a_clear(payments: Payments) -> None:
    """Clearing all of it tries the undo again and sends no step; no task is stuck behind a `begin` that failed."""
    where = {"id": "charge-0"}

    def define(order: Any) -> None:
        order.step("first", charge(), undo=lambda effect: refund_of(where.get("id", effect.result["id"])), lookup=FIND)
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "needs-attention"
    run.clear("begin")
    run.go()
    assert run.view()["state"] == "needs-attention"
    where.clear()
    run.clear("begin")
    run.go()
    assert run.view()["state"] == "compensated"
    assert run.view()["epoch"] == 1
    assert payments.told("effect", "undo") == ["effect", "undo"]


def refund_of(charge_id: str) -> Call:
    """Give it back."""
    return Call("POST", f"/charges/{charge_id}/refund")
