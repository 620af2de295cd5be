"""An order's saga: undone by key, undone after a look-up, many orders a run, without keys; two of them held as well."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task

from airgate.hooks import Call
from airgate.sagas import Effect, saga
from tests.faults.telling import tell

Order = dict[str, Any]
DAG: dict[str, Any] = {"schedule": None, "catchup": False, "max_active_runs": 100, "is_paused_upon_creation": False}
HELD: dict[str, Any] = {**DAG, "is_paused_upon_creation": True}
"""Whose runs stay queued until somebody lets it go."""
ADDRESS = {"name": "Ada", "street": "1 Main Street", "city": "Newark", "postcode": "07102"}
LATER = timedelta(seconds=1)


def announce(context: Any) -> None:
    """Say which processes are about to do the work of a task."""
    ti = context["ti"]
    said = {"dag": ti.dag_id, "run": ti.run_id, "index": -1 if ti.map_index is None else ti.map_index}
    who = {"pid": os.getpid(), "parent": os.getppid()}
    tell(os.environ["SAGA_LISTENER"], {**said, **who, "task": ti.task_id.rpartition(".")[2], "stage": "begun"})


DEFAULTS: dict[str, Any] = {"retries": 6, "retry_delay": LATER, "pre_execute": announce}
PATIENCE: dict[str, Any] = {
    "retries": 6,
    "retry_delay": LATER,
    "undo_retries": 20,
    "undo_retry_delay": LATER,
    "max_retry_delay": timedelta(seconds=4),
    # A lost request arrives two seconds after it was given up, and the services take half a second besides.
    "settles_in": timedelta(seconds=4.5),
    "answer_within": None,
    "default_args": DEFAULTS,
}


def reserve(order: Order) -> Call:
    """Hold the items."""
    return Call(
        "POST", "/inventory/reservations", json={"order": order["id"], "items": [{"sku": order["sku"], "quantity": 1}]}
    )


def charge(order: Order, reservation: dict[str, Any]) -> Call:
    """Take the money."""
    amount, currency = reservation["total"], reservation["currency"]
    body = {"order": order["id"], "amount": amount, "currency": currency, "card": order["card"]}
    return Call("POST", "/payments/charges", json=body)


def ship(order: Order) -> Call:
    """Send it."""
    address = {**ADDRESS, "country": order["country"]}
    body = {"order": order["id"], "items": [{"sku": order["sku"], "quantity": 1}], "address": address}
    return Call("POST", "/shipping/shipments", json=body)


def notify(order: Order, shipment: dict[str, Any]) -> Call:
    """Tell the customer."""
    text = f"Your order is on its way: {shipment['tracking']}."
    return Call("POST", "/shipping/notices", json={"order": order["id"], "email": "ada@example.com", "text": text})


def cancelled(path: str) -> Any:
    """Take back by key, or see to it that nothing will be done under it."""
    return lambda effect: Call("DELETE", f"{path}/by-key/{{key}}", path_params={"key": effect.key})


def found(path: str) -> Any:
    """Look up by key."""
    return lambda effect: Call("GET", f"{path}/by-key/{{key}}", path_params={"key": effect.key})


def listed(path: str) -> Any:
    """Look up by order."""
    return lambda effect, order: Call("GET", path, params={"order": order["id"]})


def newest(collection: str, state: str) -> str:
    """Pick the effect that still holds."""
    return f"{collection}[?state == '{state}'] | [-1]"


def release(effect: Effect) -> Call:
    """Give the items back."""
    return Call("DELETE", "/inventory/reservations/{id}", path_params={"id": effect.result["id"]})


def refund(effect: Effect) -> Call:
    """Give the money back; a charge is refunded once, however often one asks for it."""
    return Call("POST", "/payments/charges/{id}/refund", path_params={"id": effect.result["id"]}, idempotency_key=True)


@saga(group_id="order", honours_keys=True, **PATIENCE)
def keyed(steps: Any, order: Order) -> None:
    """Undone by key, whatever has happened."""
    reservations, charges = "/inventory/reservations", "/payments/charges"
    reserved = steps.step("reserve", reserve, undo=cancelled(reservations), tombstone=True, inputs={"order": order})
    inputs = {"order": order, "reservation": reserved}
    steps.step("charge", charge, undo=cancelled(charges), tombstone=True, inputs=inputs)
    shipped = steps.step("ship", ship, lookup=found("/shipping/shipments"), pivot=True, inputs={"order": order})
    steps.step("notify", notify, retriable=True, inputs={"order": order, "shipment": shipped})


@saga(group_id="order", honours_keys=True, **PATIENCE)
def looked_up(steps: Any, order: Order) -> None:
    """Undone by id once the service has been asked by key."""
    reservations, charges = "/inventory/reservations", "/payments/charges"
    reserved = steps.step("reserve", reserve, undo=release, lookup=found(reservations), inputs={"order": order})
    inputs = {"order": order, "reservation": reserved}
    steps.step("charge", charge, undo=refund, lookup=found(charges), inputs=inputs)
    shipped = steps.step("ship", ship, lookup=found("/shipping/shipments"), pivot=True, inputs={"order": order})
    steps.step("notify", notify, retriable=True, inputs={"order": order, "shipment": shipped})


@saga(group_id="order", honours_keys=False, **PATIENCE)
def keyless(steps: Any, order: Order) -> None:
    """Sent again, and undone, only once the service has been asked by order."""
    mine = {"order": order}
    reserved = steps.step(
        "reserve",
        reserve,
        undo=release,
        lookup=listed("/inventory/reservations"),
        lookup_filter=newest("reservations", "held"),
        inputs=mine,
    )
    steps.step(
        "charge",
        charge,
        undo=refund,
        lookup=listed("/payments/charges"),
        lookup_filter=newest("charges", "captured"),
        inputs={**mine, "reservation": reserved},
    )
    shipped = steps.step(
        "ship",
        ship,
        lookup=listed("/shipping/shipments"),
        lookup_filter=newest("shipments", "dispatched"),
        pivot=True,
        inputs=mine,
    )
    steps.step(
        "notify",
        notify,
        lookup=listed("/shipping/notices"),
        lookup_filter=newest("notices", "sent"),
        retriable=True,
        inputs={**mine, "shipment": shipped},
    )


@task(retries=6, retry_delay=LATER, pre_execute=announce)
def read_orders() -> list[Order]:
    """The orders of this run."""
    run = get_current_context()["dag_run"]
    return list((run.conf or {})["orders"])


@task(retries=6, retry_delay=LATER, pre_execute=announce)
def read_order() -> Order:
    """The order of this run."""
    run = get_current_context()["dag_run"]
    return dict((run.conf or {})["orders"][0])


@dag(dag_id="sagas_keyed", **DAG)
def sagas_keyed() -> None:
    """One order, undone by key."""
    keyed(read_order.override(task_id="read_orders")())


@dag(dag_id="sagas_lookups", **DAG)
def sagas_lookups() -> None:
    """One order, undone after a look-up."""
    looked_up(read_order.override(task_id="read_orders")())


@dag(dag_id="sagas_keyless", **DAG)
def sagas_keyless() -> None:
    """One order, without keys."""
    keyless(read_order.override(task_id="read_orders")())


@dag(dag_id="sagas_batch", **DAG)
def sagas_batch() -> None:
    """Many orders."""
    keyed.expand(order=read_orders())


@dag(dag_id="sagas_keyed_held", **HELD)
def sagas_keyed_held() -> None:
    """One order of a run that stays queued."""
    keyed(read_order.override(task_id="read_orders")())


@dag(dag_id="sagas_batch_held", **HELD)
def sagas_batch_held() -> None:
    """Many orders of a run that stays queued."""
    keyed.expand(order=read_orders())


sagas_keyed()
sagas_lookups()
sagas_keyless()
sagas_batch()
sagas_keyed_held()
sagas_batch_held()
