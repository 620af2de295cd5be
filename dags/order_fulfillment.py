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
Clients of the gateway order by `POST /orders`, as the tag `airgate:ingress` allows them. `order_batch` does the same
for many orders at once, every night.

**Needs** the connection `gateway_default` with the sample services `inventory`, `payments` and `shipping` behind it,
and the pool `gateway`; `scripts/demo` sets all of them. The folder `include` must be importable (PYTHONPATH).
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, Param, XComArg, dag, get_current_context, result, task

from airgate.hooks import GatewayRetryPolicy
from airgate.sagas import SagaSteps, saga
from include.orders.calls import Order, charge, find_shipment, notify, refund, release, reserve, ship

INCLUDE = Path(__file__).resolve().parents[1] / "include"
SCHEMA: dict[str, Any] = json.loads((INCLUDE / "gateway" / "schemas" / "order.json").read_text())["properties"]
"""What an order has, field by field: the gateway checks those that clients send by the same file."""
ORDER: dict[str, Any] = {name: SCHEMA[name] for name in ("customer", "items", "address")}
"""What each has of its own, for the form and for the batch."""


@saga(honours_keys=True, deadline=timedelta(hours=1), default_args={"pool": "gateway"})
def fulfillment(fulfil: SagaSteps, order: Order) -> XComArg:
    """One order; gives its shipment."""
    reserved = fulfil.step("reserve", reserve, undo=release, tombstone=True, inputs={"order": order})
    fulfil.step("charge", charge, undo=refund, tombstone=True, inputs={"order": order, "reservation": reserved})
    shipped = fulfil.step("ship", ship, lookup=find_shipment, pivot=True, inputs={"order": order})
    fulfil.step("notify", notify, retriable=True, inputs={"order": order, "shipment": shipped})
    return shipped


ORDERS = INCLUDE / "orders" / "night.json"
"""Stands for what a shop would ask its own database for."""

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
    tags=["airgate", "services", "saga", "example", "airgate:ingress"],
    default_args=DEFAULTS,
    params={
        "order": Param(None, **SCHEMA["order"]),
        "customer": Param({"name": "Ada", "email": "ada@example.com"}, **ORDER["customer"]),
        "items": Param([{"sku": "neck-pillow", "quantity": 1}], **ORDER["items"]),
        "address": Param(
            {"street": "1 Main Street", "city": "Newark", "postcode": "07102", "country": "US"}, **ORDER["address"]
        ),
        "card": Param("tok_visa", **SCHEMA["card"]),
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
    # Without a start date the first night is the next one: to switch the DAG on fulfils nothing by itself.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
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
                "properties": {"id": SCHEMA["order"], **ORDER, "card": SCHEMA["card"]},
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
