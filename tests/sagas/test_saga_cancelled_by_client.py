"""A client cancels the run of a saga: it is undone up to the pivot, and goes on from there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from airgate.policy.ingress_run import RESERVED, Identity, RunOrigin, run_id_of
from tests.sagas.charges import CANCELLED, FIND, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun

SHOP = Identity("https://issuer.example/", "shop")


@pytest.mark.parametrize("behind", ["first", "pivot"])
def test_a_cancelled_saga_goes_back_until_its_pivot_is_done(payments: Payments, behind: str) -> None:
    from airgate.ingress.cancelling import CannotCancel, cancel

    said: list[Any] = []

    def define(order: Any) -> None:
        order.step("first", charge(), **CANCELLED)
        order.step("pivot", charge(), lookup=FIND, pivot=True)
        order.step("last", charge(), retriable=True)

    def cancels(run: SagaRun) -> None:
        if not said and run.states()[behind] == "success":
            try:
                said.append(cancel(dag.dag_id, run.run_id, SHOP, SHOP))
            except CannotCancel as refused:
                said.append(str(refused))

    dag = order_dag(define)
    conf = {RESERVED: RunOrigin.of(SHOP, {}).to_json()}
    run = SagaRun.asked_for(dag, run_id_of(dag.dag_id, SHOP, uuid4().hex), conf).go(cancels)
    if behind == "first":
        assert not said[0].over
        assert said[0].content["cancelled_at"]
        assert (run.state, run.view()["state"], payments.net) == ("failed", "compensated", 0)
        assert payments.told() == ["effect", "undo"]
    else:
        assert said == ["Saga order has passed its point of no return."]
        assert (run.state, run.view()["state"], payments.net) == ("success", "completed", 3)
