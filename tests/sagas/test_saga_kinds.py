"""What a step, its undo and its look-up may be: calls, functions, operators and task functions, and what they know."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airgate.hooks import Call, GatewayHook
from airgate.operators import GatewayOperator
from airgate.sagas import Effect, Saga, current_effect
from tests.sagas.charges import CANCEL, CANCELLED, DECLINED, FIND, FOUND, PROMPT, REFUND, charge, order_dag, refund
from tests.sagas.conftest import Payments, connect
from tests.sagas.saga_run import SagaRun
from tests.scripted_server import Answer, ScriptedServer

RUN = "{{ run_id }}"


def charge_as_much(order: str, before: dict[str, Any]) -> Call:
    return charge(amount=before["amount"] + 1, order=order)


def test_results_of_steps_are_inputs_of_later_ones(payments: Payments) -> None:
    """Whole or by field, in a call, in a function, and behind the saga."""
    told: list[Any] = []

    @task
    def tell(amount: Any, each: Any) -> None:
        told.extend([amount, each])

    with DAG("orders_results", schedule=None) as dag:
        with Saga("order", **PROMPT) as order:
            first = order.step("first", charge(amount=7), **FOUND)
            second = order.step("second", charge(amount=first["amount"]), **FOUND)
            order.step("third", charge_as_much, undo=refund, inputs={"order": RUN, "before": second})
        tell(second["amount"], first["currency"])
    run = SagaRun.asked_for(dag).go()
    assert run.state == "success"
    assert [run.xcom(f"order.{name}")["amount"] for name in ("first", "second", "third")] == [7, 7, 8]
    assert told == [7, "EUR"]
    assert run.xcom("order.first", "order") is None  # nobody asks for it


def test_an_undo_may_be_a_function_of_the_effect_and_the_inputs(payments: Payments) -> None:
    """Of those inputs that it has arguments for; it gives a call, or undoes the step itself."""
    seen: list[Any] = []

    def back(effect: Effect, reason: str) -> Call:
        seen.append((effect.step, effect.result["amount"], reason))
        return refund(effect)

    def by_itself(effect: Effect) -> dict[str, str]:
        with GatewayHook() as hook:
            hook.call("POST", f"/charges/{effect.result['id']}/refund")
        return {"gone": effect.result["id"]}

    def first(order: str, reason: str) -> Call:
        return charge(order=order)

    def define(order: Any) -> None:
        order.step("first", first, undo=back, inputs={"order": RUN, "reason": "{{ dag.dag_id }}"})
        order.step("second", charge(), undo=by_itself)
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert seen == [("first", 5, "orders_define")]
    assert run.xcom("order.undo_second") == {"gone": run.xcom("order.second")["id"]}
    assert payments.net == 0


@task
def charge_in_code() -> Any:
    """A step that is a task function: its first write has the step's key."""
    with GatewayHook() as hook:
        return hook.call("POST", "/charges", json=CHARGED, idempotency_key=True).json()


CHARGED = {"order": "in-code", "amount": 4, "currency": "EUR", "card": "tok_visa"}


@task
def refund_in_code() -> str:
    """An undo that is a task function: it asks what it is to undo."""
    effect = current_effect()
    with GatewayHook() as hook:
        hook.call("POST", f"/charges/{effect.result['id']}/refund")
    return effect.key


def own_tasks(order: Any) -> None:
    order.step(
        "code",
        charge_in_code.override(task_id="code")(),
        undo=refund_in_code.override(task_id="undo_code")(),
        lookup=FIND,
    )
    order.step(
        "operator",
        GatewayOperator(task_id="operator", method="POST", path="/charges", json=CHARGED, idempotency_key=True),
        undo=CANCEL,
        tombstone=True,
    )
    order.step("decline", DECLINED, undo=False)


def test_steps_and_undos_may_be_tasks_of_ones_own(payments: Payments) -> None:
    """Operators and task functions: their calls carry the step's key, and their undos know what to undo."""
    run = SagaRun.asked_for(order_dag(own_tasks)).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"code": "undone", "operator": "undone", "decline": "refused"}
    assert payments.keys() == [run.step("code")["key"], run.step("operator")["key"]]
    assert run.xcom("order.undo_code") == run.step("code")["key"]
    assert payments.net == 0


def test_an_undo_of_ones_own_is_skipped_when_there_is_nothing(payments: Payments) -> None:
    """The step before it was refused."""

    def define(order: Any) -> None:
        order.step("decline", DECLINED, undo=False)
        order.step(
            "code", charge_in_code.override(task_id="code")(), undo=refund_in_code.override(task_id="undo_code")()
        )

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.states()["undo_code"] == "skipped"
    assert run.view()["state"] == "compensated"


def test_a_step_of_ones_own_that_failed_is_looked_up(payments: Payments) -> None:
    """Nobody knows how far its code came, so the service is asked once it cannot be running any more."""

    @task(task_id="code", execution_timeout=timedelta(seconds=1))
    def charge_and_fail() -> None:
        with GatewayHook() as hook:
            hook.call("POST", "/charges", json=CHARGED, idempotency_key=True)
        raise ValueError("after the effect")

    def define(order: Any) -> None:
        order.step("code", charge_and_fail(), undo=REFUND, lookup=FIND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.steps() == {"code": "undone"}
    assert payments.told() == ["effect", "undo"]


def test_a_step_of_ones_own_that_was_done_is_not_run_again(payments: Payments) -> None:
    """Cleared with all that follows, its result is what it was, and its code does not run."""
    runs: list[int] = []

    @task(task_id="code")
    def count() -> dict[str, int]:
        runs.append(1)
        return {"runs": len(runs)}

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        result = order.step("code", count(), undo=False)
        order.step("last", charge(amount=result["runs"]), **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "completed"
    run.clear("code")
    run.go()
    assert run.state == "success"
    assert runs == [1]
    assert run.xcom("order.code") == {"runs": 1}
    assert payments.effects == 2


@pytest.mark.parametrize("kind", ["operation", "PUT", "operation of an operator"])
def test_the_effect_is_known_by_the_key_that_was_sent(
    server: ScriptedServer, airflow_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Whatever names the call, or makes its method repeatable: the look-up asks for the key that went out."""
    document = {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {"/things": {"post": {"operationId": "makeThing", "responses": {"200": {"description": "ok"}}}}},
    }
    server.answers = [Answer(500), Answer(404)]
    (tmp_path / "things.json").write_text(json.dumps(document))

    def define(order: Any) -> None:
        do: Any = Call("PUT", "/things", json={"n": 1})
        if kind == "operation":
            do = Call(operation="makeThing")
        elif kind == "operation of an operator":
            do = GatewayOperator(
                task_id="make", operation="makeThing", idempotency_key=True, execution_timeout=timedelta(seconds=1)
            )
        options: dict[str, Any] = {} if isinstance(do, GatewayOperator) else {"retries": 0}
        order.step("make", do, undo=CANCEL, lookup=Call("GET", "/things/{{ effect.key }}"), **options)

    connect(monkeypatch, server.url, openapi=str(tmp_path / "things.json"))
    SagaRun.asked_for(order_dag(define)).go()
    sent, asked = server.seen[0], server.seen[-1]
    assert (asked.method, asked.path) == ("GET", f"/things/{sent.headers['idempotency-key']}")


def test_a_filter_that_fails_after_the_effect_does_not_hide_it(payments: Payments) -> None:
    """The task fails although the service has done it: that is no refusal, and it is undone."""

    def define(order: Any) -> None:
        order.step("charge", charge(), response_filter=lambda response: 1 / 0, retries=0, **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone"}
    assert payments.told() == ["effect", "undo"]


def test_a_check_that_does_not_hold_after_the_effect_does_not_hide_it(payments: Payments) -> None:
    """The same for a response that is not what was hoped for."""

    def define(order: Any) -> None:
        order.step("charge", charge(), response_check="state == 'queued'", retries=0, **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.steps() == {"charge": "undone"}
    assert payments.net == 0


def test_a_call_under_a_key_of_its_own_is_refused_when_a_function_gives_it(payments: Payments) -> None:
    """It would not be found again; nothing is sent."""

    def own(order: str) -> Call:
        return Call("POST", "/charges", json={**CHARGED, "order": order}, headers={"Idempotency-Key": "mine"})

    run = SagaRun.asked_for(order_dag(lambda o: o.step("charge", own, inputs={"order": RUN}, **CANCELLED))).go()
    assert run.view()["state"] == "compensated"
    assert payments.requests == 0
