"""Orders in whose way a test can step: what fails until it is mended, and what waits until it is released."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, get_current_context, task

from airgate.client.message import Response
from airgate.hooks import Call
from airgate.sagas import Effect, Saga

Order = dict[str, str]


def is_set(name: str, order: str) -> bool:
    """Whether the test wants this of an order."""
    return (Path(os.environ["AIRFLOW_HOME"]) / name / order).exists()


def hold(where: str, order: str) -> None:
    """Wait here as long as the test wants it, or until the process is ended."""
    while is_set(f"hold-{where}", order):
        time.sleep(0.1)


def reserve(order: Order) -> Call:
    """Hold an item."""
    return Call(
        "POST", "/inventory/reservations", json={"order": order["id"], "items": [{"sku": "eye-mask", "quantity": 1}]}
    )


def release(effect: Effect, order: Order) -> Call:
    """Give it back, unless the test keeps it from that."""
    hold("undo_reserve", order["id"])
    broken = is_set("broken-undo_reserve", order["id"])
    return Call("DELETE", f"/inventory/reservations/{'reservation-0' if broken else effect.result['id']}")


def charge(order: Order) -> Call:
    """Take the money, unless the card is declined."""
    hold("charge", order["id"])
    card = "tok_declined" if is_set("broken-charge", order["id"]) else "tok_visa"
    return Call(
        "POST", "/payments/charges", json={"order": order["id"], "amount": 790, "currency": "EUR", "card": card}
    )


def charged(response: Response) -> Any:
    """What the service says, which is not written down yet."""
    made = response.json()
    hold("charged", made["order"])
    return made


def ship(order: Order) -> Call:
    """Send it."""
    address = {"name": "Ada", "street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"}
    items = [{"sku": "eye-mask", "quantity": 1}]
    return Call("POST", "/shipping/shipments", json={"order": order["id"], "items": items, "address": address})


def notify(order: Order) -> Call:
    """Write a letter, unless there is no such address."""
    email = "nowhere" if is_set("broken-notify", order["id"]) else "ada@example.com"
    return Call("POST", "/shipping/notices", json={"order": order["id"], "email": email, "text": "It is on its way."})


FIND = {
    "reserve": Call("GET", "/inventory/reservations/by-key/{{ effect.key }}"),
    "ship": Call("GET", "/shipping/shipments/by-key/{{ effect.key }}"),
}

with DAG("order_corners", schedule=None, start_date=pendulum.datetime(2013, 1, 1, tz="UTC")):

    @task
    def read_order() -> Order:
        """It has nothing but a name."""
        return {"id": get_current_context()["run_id"]}

    made: Any = read_order()
    given = {"inputs": {"order": made}}
    with Saga("order", honours_keys=True, settles_in=timedelta(seconds=1), undo_retry_delay=timedelta(0)) as saga:
        saga.step("reserve", reserve, undo=release, lookup=FIND["reserve"], **given)
        saga.step(
            "charge", charge, response_filter=charged, tombstone=True, **given,
            undo=Call("DELETE", "/payments/charges/by-key/{key}", path_params={"key": "{{ effect.key }}"}),
        )  # fmt: skip
        saga.step("ship", ship, lookup=FIND["ship"], pivot=True, **given)
        saga.step("notify", notify, retriable=True, **given)
