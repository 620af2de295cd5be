"""What a saga promises, each with a test of its own: real tasks, a real service, and its ledger as the witness."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from tests.sagas.charges import (
    CANCELLED,
    DECLINED,
    FOUND,
    REFUND,
    charge,
    order_dag,
    then_declined,
    three_charges,
)
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun


def test_all_steps_done_is_completed_and_green(payments: Payments) -> None:
    """The verdict tells each step with its key and times; the undos are skipped."""

    def define(order: Any) -> None:
        first = order.step("first", charge(), **FOUND)
        order.step("second", charge(amount=first["amount"]), **CANCELLED)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.state == "success"
    view = run.view()
    assert (view["state"], view["epoch"], view["saga"], view["map_index"]) == ("completed", 1, "order", -1)
    assert run.steps() == {"first": "done", "second": "done"}
    assert [step["key"] for step in view["steps"]] == payments.keys()
    times = [view["began_at"], *(step[name] for step in view["steps"] for name in ("sent_at", "done_at"))]
    assert times == sorted(times)
    assert times[-1] <= view["ended_at"]
    assert {run.states()[name] for name in ("undo_first", "undo_second")} == {"skipped"}
    assert run.xcom("order.verdict")["state"] == "completed"
    assert payments.told() == ["effect", "effect"]


def test_a_refused_step_takes_all_back_in_reverse_order(payments: Payments) -> None:
    """The run is red, and nothing is left of it."""

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), **CANCELLED)
        order.step("third", DECLINED, **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.state == "failed"
    assert run.view()["state"] == "compensated"
    assert "402" in run.view()["why"]
    assert run.steps() == {"first": "undone", "second": "undone", "third": "refused"}
    assert run.states()["undo_third"] == "skipped"
    first, second = payments.keys()
    assert [event["key"] for event in payments.events() if event["event"] == "undo"] == [second, first]
    undone = [step["undone_at"] for step in run.view()["steps"]]
    assert undone[1] < undone[0]
    assert undone[2] is None
    assert payments.net == 0


# -- 1: the key ------------------------------------------------------------------------------------------------------


def test_a_step_has_the_same_key_in_every_try(payments: Payments) -> None:
    """Twice the answer is lost after the effect; the service knows the request again and has one effect."""
    payments.misbehave(failed_after=1)
    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), **FOUND))).go()
    assert run.state == "success"
    assert run.tries("charge") == 3
    assert payments.told() == ["effect", "replay", "replay"]
    assert {event["key"] for event in payments.events()} == {run.step("charge")["key"]}


def test_an_undo_computes_the_key_of_its_step_again(payments: Payments) -> None:
    """Nothing came back from the step, and its undo finds the effect all the same."""
    payments.misbehave(failed_after=1)
    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), retries=0, **CANCELLED))).go()
    assert run.steps() == {"charge": "undone"}
    assert payments.told()[:2] == ["effect", "undo"]
    assert payments.events()[1]["key"] == run.step("charge")["key"]
    assert payments.net == 0


# -- 3: no record is no evidence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [True, False])
def test_a_step_whose_outcome_is_unknown_is_looked_up_before_it_is_undone(payments: Payments, dropped: bool) -> None:
    """The connection broke after the effect, or the service said 500: what is there is undone by what was found."""
    payments.misbehave(**({"dropped": 1} if dropped else {"failed_after": 1}))
    define = lambda order: order.step("charge", charge(), retries=0, **FOUND)  # noqa: E731
    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone"}
    assert (payments.effects, payments.net) == (1, 0)


def test_a_step_that_the_service_does_not_know_has_nothing_to_undo(payments: Payments) -> None:
    """Its process failed after it had written that it would send, and before it had."""

    def define(order: Any) -> None:
        order.step("charge", charge(), retries=0, **FOUND)

    dag = order_dag(define)
    run = SagaRun.asked_for(dag)
    crash_once(dag.get_task("order.charge"))
    run.go()
    assert run.view()["state"] == "compensated"
    assert "the service was asked and does not know it" in run.step("charge")["why"]
    assert run.states()["undo_charge"] == "skipped"
    assert payments.told() == []


def crash_once(task: Any) -> None:
    """Have the task's code fail by something that no typed error tells, right before it sends."""

    def crash(*arguments: object, **options: object) -> None:
        raise MemoryError("no memory")

    task._make_with = crash


def test_without_a_look_up_nobody_guesses(payments: Payments) -> None:
    """The effect may be there: the saga needs a person, and says which step it is about."""
    payments.misbehave(failed_after=1)
    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), retries=0, undo=REFUND))).go()
    assert run.state == "failed"
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"charge": "in doubt"}
    assert run.states()["undo_charge"] == "failed"
    assert payments.net == 1


def test_a_skipped_step_counts_as_attempted(payments: Payments) -> None:
    """Marking a run as failed skips a step that waits for its next try, although an earlier one has sent it."""
    payments.misbehave(failed_after=1)
    dag = order_dag(lambda order: order.step("charge", charge(), retry_delay=timedelta(minutes=5), **FOUND))

    def give_up(run: SagaRun) -> None:
        if run.states().get("charge") == "up_for_retry":
            payments.behave()
            run.mark("charge", "skipped")

    run = SagaRun.asked_for(dag).go(give_up)
    assert run.states()["charge"] == "skipped"
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone"}
    assert (payments.effects, payments.net) == (1, 0)


def test_a_step_that_was_never_sent_is_not_looked_up(payments: Payments) -> None:
    """The one before it failed, so it provably never started."""

    def define(order: Any) -> None:
        order.step("decline", DECLINED, undo=False)
        order.step("charge", charge(), **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"decline": "refused", "charge": "not sent"}
    assert run.step("charge")["key"] is None
    assert payments.requests == 1


# -- 4: the fence ----------------------------------------------------------------------------------------------------


def test_an_undo_that_cancels_by_key_stops_a_request_that_is_still_on_its_way(payments: Payments) -> None:
    """It need not wait: the service takes the key for cancelled, and refuses what comes later."""
    payments.misbehave(dropped=1, late=4)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "failed":
            payments.behave()

    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), retries=0, **CANCELLED))).go(see)
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone"}
    assert payments.told() == ["tombstone"]
    until(lambda: payments.told() == ["tombstone", "refusal"])
    assert payments.effects == 0


def test_a_look_up_waits_until_nothing_can_arrive_any_more(payments: Payments) -> None:
    """Asked at once, the service would not know the request that is still to come."""
    payments.misbehave(dropped=1, late=2)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "failed":
            payments.behave()

    dag = order_dag(lambda order: order.step("charge", charge(), retries=0, **FOUND), settles_in=timedelta(seconds=4))
    run = SagaRun.asked_for(dag).go(see)
    assert run.steps() == {"charge": "undone"}
    assert payments.told() == ["effect", "undo"]


def test_a_long_wait_for_that_needs_no_worker(payments: Payments) -> None:
    """The undo goes to the triggerer, and is gone on with after it."""
    payments.misbehave(failed_after=1)
    dag = order_dag(lambda order: order.step("charge", charge(), retries=0, **FOUND), settles_in=timedelta(seconds=8))
    began = time.time()
    run = SagaRun.asked_for(dag).go()
    assert run.steps() == {"charge": "undone"}
    assert time.time() - began >= 8
    assert payments.net == 0


def until(holds: Any) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


# -- 5: undos --------------------------------------------------------------------------------------------------------


def test_undos_are_tried_more_often_than_steps(payments: Payments) -> None:
    """The service is down for a while when the money is to go back."""

    def go_down(run: SagaRun) -> None:
        if run.states().get("decline") == "failed":
            payments.misbehave(unavailable=1)

    run = SagaRun.asked_for(order_dag(then_declined(retries=0, **FOUND))).go(go_down)
    assert run.view()["state"] == "compensated"
    assert run.tries("undo_charge") == 3
    assert payments.net == 0


def test_one_failing_undo_does_not_stop_the_others(payments: Payments) -> None:
    """What can go back goes back; the rest needs a person."""
    run = SagaRun.asked_for(order_dag(three_charges)).go()
    assert run.state == "failed"
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"first": "undone", "second": "undo failed", "third": "undone", "decline": "refused"}
    assert "second (undo failed)" in run.view()["why"]
    assert "402" in run.step("second")["why"]
    assert run.tries("undo_second") == 1  # it was refused for good
    assert payments.net == 1


def test_a_failing_undo_stops_the_others_where_that_is_asked_for(payments: Payments) -> None:
    """Some must not go back while a later one stands."""
    run = SagaRun.asked_for(order_dag(three_charges, halt_on_failed_undo=True)).go()
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"first": "in doubt", "second": "undo failed", "third": "undone", "decline": "refused"}
    assert payments.net == 2


def test_an_undo_that_is_repeated_does_nothing_twice(payments: Payments) -> None:
    """Its answer is lost after the effect, so it is sent again."""

    def lose(run: SagaRun) -> None:
        if run.states().get("decline") == "failed":
            payments.misbehave(failed_after=1)

    run = SagaRun.asked_for(order_dag(then_declined(**FOUND))).go(lose)
    assert run.steps()["charge"] == "undone"
    assert run.tries("undo_charge") == 3
    assert payments.told("undo") == ["undo"]


# -- 6: the deadline -------------------------------------------------------------------------------------------------


def test_after_the_deadline_nothing_new_is_sent_and_all_goes_back(payments: Payments) -> None:
    """The step that comes too late is refused at once, without a try more."""
    payments.misbehave(latency=1.0)

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), **FOUND)

    run = SagaRun.asked_for(order_dag(define, deadline=timedelta(seconds=0.9))).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"first": "undone", "second": "not sent"}
    assert run.tries("second") == 1
    assert (payments.effects, payments.net) == (1, 0)
