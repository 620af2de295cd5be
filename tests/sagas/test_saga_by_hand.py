"""What a person clears or marks: rule by rule, what is done anew, what is refused and what counts as done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airgate.hooks import Call
from airgate.sagas import Effect
from tests.sagas.charges import CANCEL, CANCELLED, DECLINED, FIND, FOUND, charge, order_dag, three_charges
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun

CARD = {"card": "tok_declined"}


def charged(order: str) -> Any:
    return charge(CARD["card"], order=order)


INPUTS = {"order": "{{ run_id }}"}


def first_then_charged(order: Any) -> None:
    order.step("first", charge(), **FOUND)
    order.step("second", charged, inputs=INPUTS, **FOUND)


@pytest.fixture
def compensated(payments: Payments) -> SagaRun:
    """A run whose card was declined, which would be good now."""
    CARD["card"] = "tok_declined"
    run = SagaRun.asked_for(order_dag(first_then_charged)).go()
    assert run.view()["state"] == "compensated"
    CARD["card"] = "tok_visa"
    return run


@pytest.mark.parametrize("downstream", [True, False])
def test_a_step_of_a_compensated_saga_is_refused(payments: Payments, compensated: SagaRun, downstream: bool) -> None:
    """Its work would stand alone: what it rests on was undone. The error says what to clear instead."""
    compensated.clear("second", downstream=downstream)
    compensated.go()
    assert compensated.state == "failed"
    assert compensated.states()["second"] == "failed"
    assert compensated.tries("second") == 2
    assert compensated.view()["state"] == "compensated"
    assert payments.told("effect", "undo") == ["effect", "undo"]


def test_clearing_begin_starts_a_new_epoch(payments: Payments, compensated: SagaRun) -> None:
    """All is wanted anew: other keys, other effects, and the run is green."""
    [before] = payments.keys()
    compensated.clear("begin")
    compensated.go()
    assert compensated.state == "success"
    assert compensated.view()["epoch"] == 2
    assert compensated.steps() == {"first": "done", "second": "done"}
    assert before not in payments.keys()[1:]
    assert len(set(payments.keys())) == 3
    assert payments.net == 2


def test_clearing_begin_of_a_saga_that_is_not_over_does_nothing_anew(payments: Payments) -> None:
    """A new epoch would leave behind what the one before has done: steps are refused, the undo is tried again."""
    run = SagaRun.asked_for(order_dag(three_charges)).go()
    run.clear("begin")
    run.go()
    assert run.state == "failed"
    assert {run.states()[name] for name in ("first", "third", "decline")} <= {"success", "failed", "upstream_failed"}
    assert run.view()["state"] == "needs-attention"
    assert run.view()["epoch"] == 1
    assert run.tries("undo_second") == 2
    assert payments.told("effect", "undo") == ["effect"] * 3 + ["undo"] * 2
    assert payments.net == 1


def test_a_failed_undo_that_is_cleared_is_done(payments: Payments) -> None:
    """The saga is compensated once what kept it from going back is mended; what was undone is not undone again."""
    broken = ["charge-0"]

    def back(effect: Effect) -> Call:
        return Call("POST", f"/charges/{broken[0] if broken else effect.result['id']}/refund")

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), undo=back, lookup=FIND)
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "needs-attention"
    broken.clear()
    run.clear("undo_second")
    run.go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"first": "undone", "second": "undone", "decline": "refused"}
    assert payments.told("undo") == ["undo", "undo"]


@pytest.mark.parametrize("downstream", [True, False])
def test_a_cleared_step_that_was_done_is_not_done_again(payments: Payments, downstream: bool) -> None:
    """A completed saga is cleared from the middle on: the journal still knows."""

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), **CANCELLED)

    run = SagaRun.asked_for(order_dag(define)).go()
    run.clear("second", downstream=downstream)
    run.go()
    assert run.view()["state"] == "completed"
    assert payments.told() == ["effect", "effect"]


def test_a_step_that_a_person_marks_as_succeeded_counts_as_done(payments: Payments) -> None:
    """And is looked up before it is undone, as nobody has seen what it did."""
    payments.misbehave(failed_after=1)

    def define(order: Any) -> None:
        order.step("charge", charge(), retry_delay=timedelta(minutes=5), **FOUND)
        order.step("decline", charged, inputs=INPUTS, undo=False)

    def take_over(run: SagaRun) -> None:
        if run.states().get("charge") == "up_for_retry":
            payments.behave()
            run.mark("charge", "success")

    CARD["card"] = "tok_visa"
    run = SagaRun.asked_for(order_dag(define)).go(take_over)
    assert run.view()["state"] == "completed"
    assert run.steps() == {"charge": "done", "decline": "done"}

    payments.service.reset()
    payments.misbehave(failed_after=1)
    CARD["card"] = "tok_declined"
    run = SagaRun.asked_for(order_dag(define)).go(take_over)
    assert run.view()["state"] == "compensated"
    assert run.steps()["charge"] == "undone"
    assert payments.net == 0


def test_a_cancelled_key_is_not_taken_for_a_success(payments: Payments) -> None:
    """An undo went by key before the request: the step cannot be done under it any more."""
    dag = order_dag(lambda order: order.step("charge", charge(), retries=0, undo=CANCEL, tombstone=True, lookup=FIND))
    run = SagaRun.asked_for(dag)
    key = dag.get_task("order.begin").wiring.key(_Ti(run), "charge", 1)
    payments.service.session.delete(f"{payments.service.url}/charges/by-key/{key}", timeout=10).raise_for_status()
    run.go()
    assert run.view()["state"] == "compensated"
    assert payments.effects == 0


class _Ti:
    """What a key is made of."""

    def __init__(self, run: SagaRun) -> None:
        self.dag_id, self.run_id, self.map_index = run.dag.dag_id, run.run_id, -1
