"""One saga for each of many orders."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airgate.hooks import Call
from airgate.sagas import saga
from tests.sagas.charges import CANCELLED, FOUND, PROMPT, charge
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun


@saga(**PROMPT)
def each_order(order_saga: Any, order: dict[str, str]) -> None:
    def pay(order: dict[str, str]) -> Call:
        return charge(order["card"], order=order["id"])

    order_saga.step("first", lambda order: charge(order=order["id"]), inputs={"order": order}, **FOUND)
    order_saga.step("second", pay, inputs={"order": order}, **CANCELLED)


def test_a_mapped_saga_ends_each_order_by_itself(payments: Payments) -> None:
    """One card is declined: its order goes back, the others stay, and the count tells which it was."""

    @task
    def orders() -> list[dict[str, str]]:
        cards = ["tok_visa", "tok_declined", "tok_visa"]
        return [{"id": f"order-{number}", "card": card} for number, card in enumerate(cards)]

    with DAG("orders_mapped", schedule=None) as dag:
        each_order.expand(order=orders())
    run = SagaRun.asked_for(dag).go()
    assert run.state == "failed"
    ends = [run.view("each_order", index) for index in range(3)]
    assert [end["state"] for end in ends] == ["completed", "compensated", "completed"]
    assert [end["map_index"] for end in ends] == [0, 1, 2]
    assert len({step["key"] for end in ends for step in end["steps"]}) == 6
    counted = {"orders": 3, "completed": 2, "compensated": 1}
    assert run.xcom("each_order_verdicts", "saga") == {**counted, "not_completed": {"1": "compensated"}}
    sums = payments.service.truth()["orders"]
    assert {name: each["net"] for name, each in sums.items()} == {"order-0": 2, "order-1": 0, "order-2": 2}


@pytest.mark.parametrize("asked_for", [0, 2])
def test_a_mapped_saga_whose_orders_are_all_completed_is_green(payments: Payments, asked_for: int) -> None:
    """Also when there was none."""

    @task
    def orders() -> list[dict[str, str]]:
        return [{"id": f"order-{number}", "card": "tok_visa"} for number in range(asked_for)]

    with DAG("orders_green", schedule=None) as dag:
        each_order.expand(order=orders())
    run = SagaRun.asked_for(dag).go()
    assert run.state == "success", run.states()
    assert json.dumps(run.xcom("each_order_verdicts")["orders"]) == str(asked_for)
    assert payments.net == 2 * asked_for
