"""# Order hybrid: a saga that others listen to.

The same order as in `order_fulfillment`: a saga is in charge of reserve, charge and ship, as what must not be half done
has one controller. But what others make of it is theirs. Its steps publish to the asset `order-events`, and the saga
knows nobody who listens:

* `order_hybrid` fulfils the order. Its steps tell `order.charged`, `order.refunded` and `order.shipped`, each once it
  is true.
* `order_dispatcher` hands `order.shipped` on to `loyalty`, up to a hundred events a run. Other events are left out.
* `loyalty` gives the customer points, once for each event, however often it is told.
* `order_analytics` computes the table `order_daily` anew. It listens to the asset itself: of ten events in a minute
  Airflow makes one run, which is all that a table wants.

**Why is nothing given for `order.charged`?** A charge may still be taken back. `ship` is the pivot: what it tells stays
true.

**What can go wrong?** A listener that is paused, or fails, holds up no order, and misses nothing: the dispatcher reads
the asset's event log on from where it was, and the table is computed from the log. A customer who is no member is
refused by the loyalty service; that event is parked (`airflow gateway events parked`).

**Try it.** Order with the card `tok_declined`: nothing is told. To the country `XX`: charged, then refunded, and no
points. With an e-mail address that ends with `.invalid`: shipped, and its event is parked.

**Needs** the connections `gateway_default`, with the sample services `inventory`, `payments`, `shipping` and `loyalty`
behind it, and `warehouse_default`, the pools `gateway` and `warehouse`, and `[airgate] data_root`; `scripts/demo` sets
all of them. The folder `include` must be importable (PYTHONPATH).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.sdk import Asset, Param, XComArg, dag, get_current_context, result, task
from airflow.sdk.exceptions import AirflowSkipException

from airgate.events import DispatchEventsOperator, Event, each_event, events_of, logged_events
from airgate.hooks import GatewayHook, GatewayRetryPolicy
from airgate.operators import TableLoadOperator
from airgate.sagas import SagaSteps, saga
from include.orders.calls import Order, charge, find_shipment, notify, refund, release, reserve, ship

if TYPE_CHECKING:
    import pandas as pd

INCLUDE = Path(__file__).resolve().parents[1] / "include"
SCHEMA: dict[str, Any] = json.loads((INCLUDE / "gateway" / "schemas" / "order.json").read_text())["properties"]
ORDER_EVENTS = Asset("order-events")
"""What happens to orders. Whoever wants to know listens to it."""
POINTS_AN_ITEM = 10

SETTINGS: dict[str, Any] = {
    "start_date": pendulum.datetime(2013, 1, 1, tz="UTC"),
    "catchup": False,
    "tags": ["airgate", "services", "saga", "events", "example"],
    "default_args": {
        "owner": "order-desk",
        "retries": 4,
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
}


def charged(charge: dict[str, Any], order: Order) -> dict[str, Any]:
    """What is told of a charge: no name, and no card."""
    return {
        "type": "order.charged",
        "subject": order["id"],
        "data": {"amount": charge["amount"], "currency": charge["currency"]},
    }


def refunded(charge: dict[str, Any], order: Order) -> dict[str, Any]:
    """What is told when it is taken back; where it never arrived, that is nothing."""
    return {"type": "order.refunded", "subject": order["id"], "data": {"amount": charge.get("amount", 0)}}


def shipped(shipment: dict[str, Any], order: Order) -> dict[str, Any]:
    """What is told of a parcel."""
    items = sum(item["quantity"] for item in order["items"])
    data = {"customer": order["customer"]["email"], "items": items, "tracking": shipment["tracking"]}
    return {"type": "order.shipped", "subject": order["id"], "data": data}


@saga(honours_keys=True, deadline=timedelta(hours=1), default_args={"pool": "gateway"})
def fulfillment(fulfil: SagaSteps, order: Order) -> XComArg:
    """One order; gives its shipment."""
    reserved = fulfil.step("reserve", reserve, undo=release, tombstone=True, inputs={"order": order})
    fulfil.step(
        "charge",
        charge,
        undo=refund,
        tombstone=True,
        inputs={"order": order, "reservation": reserved},
        outlets=[ORDER_EVENTS],
        event=charged,
        undo_options={"outlets": [ORDER_EVENTS], "event": refunded},
    )
    sent = fulfil.step(
        "ship",
        ship,
        lookup=find_shipment,
        pivot=True,
        inputs={"order": order},
        outlets=[ORDER_EVENTS],
        event=shipped,
    )
    fulfil.step("notify", notify, retriable=True, inputs={"order": order, "shipment": sent})
    return sent


@dag(
    dag_id="order_hybrid",
    dag_display_name="Order hybrid: a saga that others listen to",
    doc_md=__doc__,
    schedule=None,
    params={
        "order": Param(None, **SCHEMA["order"]),
        "customer": Param({"name": "Ada", "email": "ada@example.com"}, **SCHEMA["customer"]),
        "items": Param([{"sku": "neck-pillow", "quantity": 2}], **SCHEMA["items"]),
        "address": Param(
            {"street": "1 Main Street", "city": "Newark", "postcode": "07102", "country": "US"}, **SCHEMA["address"]
        ),
        "card": Param("tok_visa", **SCHEMA["card"]),
    },
    **SETTINGS,
)
def order_hybrid() -> None:
    """Fulfil one order, and tell who listens."""

    @task
    def read_order() -> Order:
        """The order of this run, as the services want it."""
        context = get_current_context()
        wanted = context["params"]
        fields = ("customer", "items", "address", "card")
        return {"id": wanted["order"] or context["run_id"], **{name: wanted[name] for name in fields}}

    @result
    @task
    def fulfilled(order: Order, shipment: dict[str, Any]) -> dict[str, Any]:
        """What whoever asked for this run is told."""
        return {"order": order["id"], "shipment": shipment["id"], "tracking": shipment["tracking"]}

    order = read_order()
    fulfilled(order, fulfillment(order))


@dag(
    dag_id="order_dispatcher",
    dag_display_name="Order hybrid: hands shipped orders on",
    doc_md=__doc__,
    schedule=[ORDER_EVENTS],
    max_active_runs=1,
    **SETTINGS,
)
def order_dispatcher() -> None:
    """Make runs of what is new in the log."""
    DispatchEventsOperator(
        task_id="dispatch", asset=ORDER_EVENTS, to={"order.shipped": "loyalty", "*": None}, batch=100
    )


@dag(
    dag_id="loyalty",
    dag_display_name="Order hybrid: points for what was shipped",
    doc_md=__doc__,
    schedule=None,
    **SETTINGS,
)
def loyalty() -> None:
    """Give points for each order."""

    @task(pool="gateway")
    def grant() -> dict[str, int]:
        """Points for each event of this run, once."""
        gateway = GatewayHook()

        def one(event: Event) -> str:
            told = event.data
            body = {"order": event.subject, "member": told["customer"], "points": told["items"] * POINTS_AN_ITEM}
            answer = gateway.call("POST", "/loyalty/grants", json=body, idempotency_key=event.key("points"))
            return str(answer.json()["id"])

        return each_event(one, events_of(get_current_context())).to_json()

    grant()


@dag(
    dag_id="order_analytics",
    dag_display_name="Order hybrid: figures by day",
    doc_md=__doc__,
    schedule=[ORDER_EVENTS],
    max_active_runs=1,
    params={
        "days": Param(
            7,
            type="integer",
            minimum=1,
            maximum=366,
            title="Days",
            description="How many days are computed anew, today among them.",
        )
    },
    **SETTINGS,
)
def order_analytics() -> None:
    """Compute the figures of the last days anew."""

    @task.dataframe(inlets=[ORDER_EVENTS])
    def daily() -> pd.DataFrame:
        """One row a day, from all events of these days."""
        import pandas as pd

        context = get_current_context()
        first = datetime.now(UTC).date() - timedelta(days=context["params"]["days"] - 1)
        since = datetime.combine(first, time(), UTC)
        rows = [
            {
                "day": str(event.time)[:10],
                "charged": event.type == "order.charged",
                "refunded": event.type == "order.refunded",
                "shipped": event.type == "order.shipped",
                "revenue": _sign(event) * event.data.get("amount", 0),
            }
            for event in logged_events(context, ORDER_EVENTS, since)
            # Of an event that was stored late, its day was computed before.
            if event.type.startswith("order.") and str(event.time)[:10] >= str(first)
        ]
        if not rows:
            raise AirflowSkipException(f"nothing has happened since {first}")
        return pd.DataFrame(rows).groupby("day", as_index=False).sum()

    TableLoadOperator(task_id="load", data=daily(), table="order_daily", key=["day"], pool="warehouse")


def _sign(event: Event) -> int:
    return -1 if event.type == "order.refunded" else 1


order_hybrid()
order_dispatcher()
loyalty()
order_analytics()
