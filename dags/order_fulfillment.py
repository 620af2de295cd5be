"""# Order fulfillment: reserve, charge, ship, notify.

An order goes through three services behind the gateway, in this order: the inventory reserves its items, payments
charges the card, shipping sends it, and the customer is told. What was done is undone when a later step cannot be: a
refused card gives the items back, a country without delivery gives the money back as well. From `ship` on nothing is
undone: what follows is tried until it succeeds.

**How it ends.** `verdict` says which of three it is: *completed*, the only one in which the run is green;
*compensated*, nothing of the order is left; or *needs-attention*, a person has to look, and finds the question under
*Required Actions*. Its XCom `saga` lists every step with its key and times.

**What can go wrong?** A worker, the scheduler, the gateway or a service dies; an answer is lost; a person marks the run
as failed in the middle. No card is charged twice and nothing stays reserved for an order that was not shipped: the
services honour idempotency keys, and can be asked and told to cancel by key.

**Try it.** Order `sold-out`, an item that nobody has; pay with the card `tok_declined`; or send it to the country `XX`.
`order_batch` does the same for many orders at once, every night.

**Needs** the connection `gateway_default` with the sample services `inventory`, `payments` and `shipping` behind it,
and the pool `gateway`; `scripts/demo` sets all of them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import Param, XComArg, dag, get_current_context, result, task

from airgate.hooks import Call, GatewayRetryPolicy
from airgate.sagas import Effect, SagaSteps, saga

Order = dict[str, Any]

ORDER: dict[str, Any] = {
    "customer": {
        "type": "object",
        "title": "Customer",
        "description": "Whom to tell, and whose name stands on the parcel.",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "email": {"type": "string", "format": "email", "maxLength": 200},
        },
        "required": ["name", "email"],
        "additionalProperties": False,
    },
    "items": {
        "type": "array",
        "title": "Items",
        "description": "What is ordered, and how many of it; nobody has sold-out.",
        "minItems": 1,
        "maxItems": 50,
        "items": {
            "type": "object",
            "properties": {
                "sku": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
                "quantity": {"type": "integer", "minimum": 1, "maximum": 1000},
            },
            "required": ["sku", "quantity"],
            "additionalProperties": False,
        },
    },
    "address": {
        "type": "object",
        "title": "Address",
        "description": "Where to send it; nobody delivers to the country XX.",
        "properties": {
            "street": {"type": "string", "minLength": 1, "maxLength": 200},
            "city": {"type": "string", "minLength": 1, "maxLength": 100},
            "postcode": {"type": "string", "minLength": 1, "maxLength": 20},
            "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
        },
        "required": ["street", "city", "postcode", "country"],
        "additionalProperties": False,
    },
}
"""What an order has, for the form and for the batch."""


def reserve(order: Order) -> Call:
    """Hold the items."""
    return Call("POST", "/inventory/reservations", json={"order": order["id"], "items": order["items"]})


def release(effect: Effect) -> Call:
    """Give them back, or keep a reservation that is still on its way from being made."""
    return Call("DELETE", "/inventory/reservations/by-key/{key}", path_params={"key": effect.key})


def charge(order: Order, reservation: dict[str, Any]) -> Call:
    """Take the money: the inventory says how much."""
    return Call(
        "POST",
        "/payments/charges",
        json={
            "order": order["id"],
            "amount": reservation["total"],
            "currency": reservation["currency"],
            "card": order["card"],
        },
    )


def refund(effect: Effect) -> Call:
    """Give it back, or keep a charge that is still on its way from being made."""
    return Call("DELETE", "/payments/charges/by-key/{key}", path_params={"key": effect.key})


def ship(order: Order) -> Call:
    """Send it: the point of no return."""
    address = {"name": order["customer"]["name"], **order["address"]}
    return Call("POST", "/shipping/shipments", json={"order": order["id"], "items": order["items"], "address": address})


def find_shipment(effect: Effect) -> Call:
    """Ask whether it was sent."""
    return Call("GET", "/shipping/shipments/by-key/{key}", path_params={"key": effect.key})


def notify(order: Order, shipment: dict[str, Any]) -> Call:
    """Tell the customer."""
    text = f"Your order {order['id']} is on its way: {shipment['tracking']}."
    return Call(
        "POST", "/shipping/notices", json={"order": order["id"], "email": order["customer"]["email"], "text": text}
    )


@saga(honours_keys=True, deadline=timedelta(hours=1), default_args={"pool": "gateway"})
def fulfillment(fulfil: SagaSteps, order: Order) -> XComArg:
    """One order; gives its shipment."""
    reserved = fulfil.step("reserve", reserve, undo=release, tombstone=True, inputs={"order": order})
    fulfil.step("charge", charge, undo=refund, tombstone=True, inputs={"order": order, "reservation": reserved})
    shipped = fulfil.step("ship", ship, lookup=find_shipment, pivot=True, inputs={"order": order})
    fulfil.step("notify", notify, retriable=True, inputs={"order": order, "shipment": shipped})
    return shipped


ORDERS = Path(__file__).resolve().parents[1] / "include" / "orders" / "night.json"
"""Stands for what a shop would ask its own database for."""

CARD: dict[str, Any] = {"type": "string", "pattern": "^tok_[a-z_]{1,40}$", "title": "Card"}
NUMBER: dict[str, Any] = {"type": ["null", "string"], "pattern": "^[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}$"}
BATCH_DOC = """\
# Order batch: the same for many orders, every night

Fulfils a list of orders, each by a saga of its own; see `order_fulfillment` for what one is.

**How it ends.** The run is green only if every order was completed. `fulfillment_verdicts` counts how they ended, and
names those that were not; the `verdict` of each order tells why. One order that fails does not keep the others from
going on. To mark the run as failed undoes all orders that are not past the point of no return.
"""
DEFAULTS: dict[str, Any] = {
    "owner": "order-desk",
    # Of the tasks around the saga; it gives its own tasks tries of their own.
    "retries": 3,
    "retry_policy": GatewayRetryPolicy(),
    "retry_delay": timedelta(seconds=5),
    "execution_timeout": timedelta(minutes=10),
}


@dag(
    dag_id="order_fulfillment",
    dag_display_name="Order fulfillment: reserve, charge, ship, notify",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    tags=["airgate", "services", "saga", "example"],
    default_args=DEFAULTS,
    params={
        "order": Param(None, **NUMBER, title="Order number", description="Left empty: the run's id."),
        "customer": Param({"name": "Ada", "email": "ada@example.com"}, **ORDER["customer"]),
        "items": Param([{"sku": "neck-pillow", "quantity": 1}], **ORDER["items"]),
        "address": Param(
            {"street": "1 Main Street", "city": "Newark", "postcode": "07102", "country": "US"}, **ORDER["address"]
        ),
        "card": Param("tok_visa", **CARD, description="tok_declined is refused."),
    },
)
def order_fulfillment() -> None:
    """Fulfil one order."""

    @task
    def read_order() -> Order:
        """The order of this run, as the services want it."""
        context = get_current_context()
        wanted = context["params"]
        number = wanted["order"] or context["run_id"]
        return {"id": number, **{name: wanted[name] for name in (*ORDER, "card")}}

    @result
    @task
    def fulfilled(order: Order, shipment: dict[str, Any]) -> dict[str, Any]:
        """What whoever asked for this run is told."""
        return {"order": order["id"], "shipment": shipment["id"], "tracking": shipment["tracking"]}

    order = read_order()
    fulfilled(order, fulfillment(order))


@dag(
    dag_id="order_batch",
    dag_display_name="Order batch: the same for many orders, every night",
    doc_md=BATCH_DOC,
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["airgate", "services", "saga", "example"],
    default_args=DEFAULTS,
    params={
        "orders": Param(
            json.loads(ORDERS.read_text()),
            type="array",
            title="Orders",
            description="What to fulfil; an order without an id gets one of the run's.",
            maxItems=1024,  # what Airflow maps at most
            items={
                "type": "object",
                "properties": {"id": NUMBER, **ORDER, "card": CARD},
                "required": [*ORDER, "card"],
                "additionalProperties": False,
            },
        )
    },
)
def order_batch() -> None:
    """Fulfil many orders."""

    @task
    def read_orders() -> list[Order]:
        """The orders of this run; one without a number gets the run's id and its place in the list."""
        context = get_current_context()
        orders = context["params"]["orders"]
        return [{"id": f"{context['run_id']}.{place}", **order} for place, order in enumerate(orders)]

    fulfillment.expand(order=read_orders())


order_fulfillment()
order_batch()
