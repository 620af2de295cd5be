"""Steps publish: one event for each thing that was done or undone, under a name that does not change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, task

from airgate.hooks import Call, GatewayHook
from airgate.operators import GatewayOperator
from airgate.policy.events.batch import batch_of
from airgate.policy.events.event import Event
from airgate.sagas import Effect, current_effect, saga
from tests.sagas.charges import CANCEL, CANCELLED, DECLINED, FIND, FOUND, PROMPT, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun
from tests.sagas.test_saga_misuse import message_of

ORDERS = Asset("saga-outlets")
OTHERS = Asset("saga-outlets-too")


def stored(run: SagaRun, asset: Asset = ORDERS) -> list[dict[str, Any]]:
    """The extra of each asset event of a run, in the order in which they were stored."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        wanted = select(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        wanted = wanted.where(AssetModel.name == asset.name, AssetEvent.source_run_id == run.run_id)
        return [dict(row.extra) for row in session.scalars(wanted.order_by(AssetEvent.id))]


def told(run: SagaRun, asset: Asset = ORDERS) -> list[Event]:
    """The events as a dispatcher reads them; there is exactly one in each asset event."""
    events: list[Event] = []
    for extra in stored(run, asset):
        batch = batch_of(extra, asset=asset.uri, asset_event_id=1)
        assert (len(batch.events), batch.unreadable) == (1, ())
        events.extend(batch.events)
    return events


def test_a_step_that_is_done_tells_its_result_under_its_key(payments: Payments) -> None:
    """Source, id and time are known without looking at the run; beside it stands whose step it was."""
    run = SagaRun.asked_for(order_dag(lambda order: order.step("charge", charge(), outlets=[ORDERS], **FOUND))).go()
    [event] = told(run)
    step = run.step("charge")
    assert event.source == f"/dags/{run.dag.dag_id}/order".replace("<", "%3C").replace(">", "%3E")
    assert (event.id, event.type, event.subject) == (step["key"], "order.charge.done", run.run_id)
    assert event.data == run.xcom("order.charge")
    assert event.data["amount"] == 5
    assert event.time is not None
    assert datetime.fromisoformat(event.time).timestamp() == pytest.approx(step["done_at"], abs=0.002)
    [extra] = stored(run)
    assert {name: extra[name] for name in extra if name != "payload"} == {
        "from_saga": "order", "step": "charge", "state": "done"
    }  # fmt: skip


def test_what_an_event_tells_is_the_steps_own_word(payments: Payments) -> None:
    """An object, or a function of the result and those inputs that it has arguments for."""

    def shipped(result: dict[str, Any], customer: str) -> dict[str, Any]:
        return {"type": "order.shipped", "subject": customer, "data": {"paid": result["amount"]}}

    def pay(amount: int, customer: str) -> Call:
        return charge(amount=amount, order=f"of-{customer}")

    def define(order: Any) -> None:
        order.step("first", charge(), outlets=[ORDERS], event={"type": "order.begun"}, **FOUND)
        order.step(
            "second",
            pay,
            inputs={"amount": 7, "customer": "{{ dag.dag_id }}"},
            outlets=[ORDERS],
            event=shipped,
            **FOUND,
        )

    run = SagaRun.asked_for(order_dag(define)).go()
    first, second = told(run)
    assert (first.type, first.subject, first.data["amount"]) == ("order.begun", run.run_id, 5)
    assert (second.type, second.subject, second.data) == ("order.shipped", "orders_define", {"paid": 7})


def test_a_step_that_is_not_done_tells_nothing_and_an_undo_tells_that_it_is_undone(payments: Payments) -> None:
    """Each by its own outlets; the undo of what never happened is silent."""

    def define(order: Any) -> None:
        undone = {"outlets": [ORDERS], "event": lambda result: {"type": "charge.given-back", "data": result["state"]}}
        order.step("charge", charge(), undo_options=undone, outlets=[ORDERS, OTHERS], **CANCELLED)
        order.step("plain", charge(), undo_options={"outlets": [ORDERS]}, **CANCELLED)
        order.step(
            "decline", DECLINED, undo=CANCEL, undo_options={"outlets": [ORDERS]}, outlets=[ORDERS], tombstone=True
        )

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    key, plain = run.step("charge")["key"], run.step("plain")["key"]
    assert [(event.type, event.id) for event in told(run)] == [
        ("order.charge.done", key),
        ("order.plain.undone", f"{plain}.undone"),
        ("charge.given-back", f"{key}.undone"),
    ]
    assert told(run)[-1].data == "refunded"
    assert [event.id for event in told(run, OTHERS)] == [key]


def test_a_step_that_went_well_is_published_also_when_nothing_is_to_be_undone(payments: Payments) -> None:
    """An undo that is skipped as the saga is complete tells nothing."""

    def define(order: Any) -> None:
        order.step("charge", charge(), outlets=[ORDERS], undo_options={"outlets": [ORDERS]}, **CANCELLED)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert [event.type for event in told(run)] == ["order.charge.done"]


@pytest.mark.parametrize("again", ["a lost answer", "a clear"])
def test_a_repeated_step_tells_the_very_same_event(payments: Payments, again: str) -> None:
    """Whoever has taken it once knows it by source and id; not even its time is another one."""
    if again == "a lost answer":
        payments.misbehave(seed=1, dropped=0.5)

    def define(order: Any) -> None:
        order.step("charge", charge(), outlets=[ORDERS], retries=9, **FOUND)
        order.step("later", charge(), retries=9, **FOUND)  # were all steps cleared, all would be wanted anew

    run = SagaRun.asked_for(order_dag(define)).go()
    payments.behave()
    if again == "a clear":
        run.clear("charge", downstream=False)
        run.go()
    first, *others = told(run)
    assert others == [first] * (again == "a clear")
    assert first.id == run.step("charge")["key"]
    assert payments.effects == 2


def test_a_pivot_that_was_found_done_is_told_once_its_task_succeeds(payments: Payments) -> None:
    """Its answer was lost for good, and the service was asked: cleared, it is not repeated, and told."""

    def shipped_later(run: SagaRun) -> None:
        if run.states().get("ship") == "failed":
            payments.behave()

    def define(order: Any) -> None:
        order.step("ship", charge(), pivot=True, lookup=FIND, retries=0, outlets=[ORDERS])
        order.step("notify", charge(), retriable=True)

    payments.misbehave(failed_after=1)
    run = SagaRun.asked_for(order_dag(define)).go(shipped_later)
    assert run.steps() == {"ship": "done", "notify": "not sent"}
    assert told(run) == []
    run.clear("ship")
    run.go()
    [event] = told(run)
    assert event.id == run.step("ship")["key"]
    assert payments.effects == 2


@task(task_id="code", outlets=[ORDERS])
def charge_in_code() -> Any:
    """A step of one's own."""
    with GatewayHook() as hook:
        body = {"order": "in-code", "amount": 4, "currency": "EUR", "card": "tok_visa"}
        return hook.call("POST", "/charges", json=body, idempotency_key=True).json()


@task(task_id="undo_code", outlets=[ORDERS])
def refund_in_code() -> str:
    """Its undo."""
    with GatewayHook() as hook:
        hook.call("POST", f"/charges/{current_effect().result['id']}/refund")
    return "given back"


def test_tasks_of_ones_own_publish_as_well(payments: Payments) -> None:
    """Task functions and operators, done and undone; what they put beside the event stays."""

    @task(task_id="noted", outlets=[OTHERS])
    def noted(*, outlet_events: Any = None) -> int:
        outlet_events[OTHERS].extra["rows"] = 3
        return 3

    def define(order: Any) -> None:
        order.step("code", charge_in_code(), undo=refund_in_code(), lookup=FIND, event={"type": "coded"})
        order.step("noted", noted(), undo=False)
        order.step(
            "operator",
            GatewayOperator(
                task_id="operator",
                method="POST",
                path="/charges",
                json={"order": "in-operator", "amount": 3, "currency": "EUR", "card": "tok_visa"},
                idempotency_key=True,
                outlets=[ORDERS],
            ),
            undo=CANCEL,
            tombstone=True,
        )
        order.step("decline", DECLINED, undo=False)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "compensated"
    events = told(run)
    assert [(event.type, event.id) for event in events] == [
        ("coded", run.step("code")["key"]),
        ("order.operator.done", run.step("operator")["key"]),
        ("order.code.undone", f"{run.step('code')['key']}.undone"),
    ]
    assert [event.data["amount"] for event in events[:2]] == [4, 3]
    assert events[2].data == "given back"
    [extra] = stored(run, OTHERS)
    assert (extra["rows"], extra["step"]) == (3, "noted")
    [event] = told(run, OTHERS)
    assert event.data == 3


def test_a_step_of_ones_own_that_is_not_run_again_is_told_again(payments: Payments) -> None:
    """Cleared, its code does not run, and its event is what it was."""

    def define(order: Any) -> None:
        order.step("code", charge_in_code(), undo=refund_in_code(), lookup=FIND)
        order.step("later", charge(), **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    run.clear("code", downstream=False)
    run.go()
    first, second = told(run)
    assert first == second
    assert payments.effects == 2


def test_each_order_of_a_mapped_saga_has_events_of_its_own(payments: Payments) -> None:
    """The declined one's is missing, and no two have one id."""

    @task
    def cards() -> list[str]:
        return ["tok_visa", "tok_declined", "tok_visa"]

    @saga(**PROMPT)
    def each(steps: Any, card: str) -> None:
        steps.step(
            "pay", lambda card: charge(card, order="mapped"), inputs={"card": card}, outlets=[ORDERS], **CANCELLED
        )

    with DAG("orders_told", schedule=None) as dag:
        each.expand(card=cards())
    run = SagaRun.asked_for(dag).go()
    events = told(run)
    assert {event.subject for event in events} == {f"{run.run_id}[0]", f"{run.run_id}[2]"}
    assert len({event.id for event in events}) == 2


def test_an_event_whose_words_cannot_be_found_is_told_without_them(payments: Payments) -> None:
    """The money is taken: a step that failed for its event's sake would give it back."""

    def broken(result: dict[str, Any]) -> dict[str, Any]:
        return {"subject": result["no such field"]}

    def define(order: Any) -> None:
        order.step("broken", charge(), outlets=[ORDERS], event=broken, **FOUND)
        order.step("unknown", charge(), outlets=[ORDERS], event=lambda _: {"kind": "x"}, **FOUND)
        order.step("object", charge(), outlets=[ORDERS], event=lambda _: {"data": {"at": object()}}, **FOUND)

    run = SagaRun.asked_for(order_dag(define)).go()
    assert run.view()["state"] == "completed"
    events = told(run)
    assert [(event.type, event.data) for event in events] == [
        ("order.broken.done", None),
        ("order.unknown.done", None),
        ("order.object.done", None),
    ]
    assert [event.id for event in events] == [run.step(name)["key"] for name in ("broken", "unknown", "object")]


def test_data_that_is_large_is_left_out(payments: Payments) -> None:
    """The event says that it happened; who wants all of it asks the service."""
    run = SagaRun.asked_for(
        order_dag(
            lambda order: order.step(
                "charge", charge(), outlets=[ORDERS], event=lambda _: {"data": "x" * 70_000}, **FOUND
            )
        )
    ).go()
    [event] = told(run)
    assert (event.type, event.data) == ("order.charge.done", None)


def two(result: Any, other: Any) -> dict[str, Any]:
    """One argument too many."""
    return {"data": [result, other]}


def no_result(*, card: str) -> dict[str, Any]:
    """No place for the result."""
    return {"data": card}


DO = Call("POST", "/things", json={"n": 1})


def undo(effect: Effect) -> Call:
    return Call("DELETE", "/things/by-key/{key}", path_params={"key": effect.key})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"event": {"type": "t"}}, "step 'make': event is for the assets in outlets, and there are none"),
        ({"event": ["t"], "outlets": [ORDERS]}, "step 'make': event must be an object with type, subject, data"),
        ({"event": {"id": "1"}, "outlets": [ORDERS]}, "step 'make': event has type, subject, data, and no id"),
        ({"event": {"type": ""}, "outlets": [ORDERS]}, "step 'make': event: type must be a text that is not empty"),
        ({"event": two, "outlets": [ORDERS]}, "step 'make': event wants 'other', which inputs of the step must give"),
        ({"event": no_result, "outlets": [ORDERS]}, "step 'make': event must take the result as its first argument"),
        ({"undo_options": {"event": {"type": "t"}}}, "the undo of step 'make': event is for the assets in outlets"),
        (
            {"undo_options": {"event": {"kind": "t"}, "outlets": [ORDERS]}},
            "the undo of step 'make': event has type, subject, data, and no kind",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_while_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    """With the step and the cure."""

    def define(order: Any) -> None:
        order.step("make", DO, **{"undo": undo, **arguments})

    assert said in message_of(define)


def test_an_asset_is_an_outlet_of_its_steps_task_alone() -> None:
    """So that Airflow shows who publishes, and no other task of the saga tells anything."""

    def define(order: Any) -> None:
        order.step("make", DO, undo=undo, outlets=[ORDERS])

    tasks: Callable[..., Any] = order_dag(define).task_dict.items
    assert {task_id for task_id, each in tasks() if each.outlets} == {"order.make"}
