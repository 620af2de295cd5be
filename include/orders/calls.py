"""What an order asks of the shop's services, step by step, and what undoes it."""

from __future__ import annotations

from typing import Any

from airgate.hooks import Call
from airgate.sagas import Effect

Order = dict[str, Any]
"""With `id`, `customer`, `items`, `address` and `card`, by include/gateway/schemas/order.json."""


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
