"""How a service is asked what became of a step, with keys and without."""

from __future__ import annotations

from typing import Any

from airgate.hooks import Call, GatewayHook
from airgate.sagas import Effect
from tests.sagas.charges import DECLINED, REFUND, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun

RUN = "{{ run_id }}"


def test_a_look_up_may_be_a_function_of_the_effect_and_the_inputs(payments: Payments) -> None:
    """What it gives is the result of the step; None says that it is not there."""
    asked: list[str] = []

    def look(effect: Effect, order: str) -> Any:
        asked.append(effect.key)
        with GatewayHook() as hook:
            found = hook.call("GET", "/charges", params={"order": order}).json()["charges"]
        return next((each for each in found if each["key"] == effect.key), None)

    def lost(order: str, amount: int) -> Call:
        return charge(amount=amount, order=order)

    def define(order: Any) -> None:
        order.step("first", lost, undo=REFUND, lookup=look, retries=0, inputs={"order": RUN, "amount": 3})

    payments.misbehave(failed_after=1)
    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.steps() == {"first": "undone"}
    assert set(asked) == {run.step("first")["key"]}
    payments.service.reset()
    payments.behave()
    payments.misbehave(unavailable=1)
    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert payments.effects == 0


def test_a_look_up_that_says_neither_is_an_error(payments: Payments) -> None:
    """An empty list is no effect and no word that there is none; the saga does not take it for either."""
    payments.misbehave(failed_after=1)

    def define(order: Any) -> None:
        lookup = Call("GET", "/charges", params={"order": "nobody"})
        order.step("charge", charge(), undo=REFUND, lookup=lookup, lookup_filter="charges", retries=0)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "failed":
            payments.behave()

    run = SagaRun.asked_for(order_dag(define, undo_retries=1)).go(see)
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"charge": "in doubt"}
    assert payments.net == 1


KEYLESS = {
    "honours_keys": False,
    "undo": REFUND,
    "lookup": Call("GET", "/charges", params={"order": RUN}),
    "lookup_filter": "charges[0]",
}


def test_without_keys_a_step_asks_before_it_sends_again(payments: Payments) -> None:
    """The answer was lost after the effect; the service, which knows no keys, is asked by order, not sent to twice."""
    payments.misbehave(honours_keys=False, failed_after=1)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "up_for_retry":
            payments.misbehave(failed_after=0)

    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), **KEYLESS))).go(see)
    assert run.view()["state"] == "completed"
    assert payments.told() == ["effect"]
    assert payments.keys() == [None]
    assert run.xcom("order.charge")["amount"] == 5


def test_without_keys_a_step_that_is_not_there_is_sent_again(payments: Payments) -> None:
    """The look-up says so, once nothing can arrive any more."""
    payments.misbehave(honours_keys=False, dropped=1, late=60)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "up_for_retry":
            payments.misbehave(dropped=0)

    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), **KEYLESS))).go(see)
    assert run.view()["state"] == "completed"
    assert payments.told() == ["effect"]


def test_without_keys_an_undo_is_repeated(payments: Payments) -> None:
    """It does no harm when it is done twice, and its answer was lost."""
    payments.misbehave(honours_keys=False)

    def define(order: Any) -> None:
        order.step("charge", charge(), **KEYLESS)
        order.step("decline", DECLINED, undo=False)

    def lose(run: SagaRun) -> None:
        if run.states().get("decline") == "failed":
            payments.misbehave(failed_after=1)

    run = SagaRun.asked_for(order_dag(define)).go(lose)
    assert run.view()["state"] == "compensated"
    assert run.tries("undo_charge") == 3
    assert payments.told() == ["effect", "refusal", "undo"]
