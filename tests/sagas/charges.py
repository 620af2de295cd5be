"""Steps at the sample service `payments`, and sagas of them that do not pause between tries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airgate.hooks import Call
from airgate.sagas import Effect, Saga

NOTHING = timedelta(0)
PROMPT: dict[str, Any] = {
    "honours_keys": True,
    "retry_delay": NOTHING,
    "undo_retry_delay": NOTHING,
    "settles_in": NOTHING,
    "answer_within": None,
    "retries": 2,
    "undo_retries": 4,
    "forward_retries": 2,
}


def charge(card: str = "tok_visa", amount: Any = 5, order: str = "{{ run_id }}") -> Call:
    return Call("POST", "/charges", json={"order": order, "amount": amount, "currency": "EUR", "card": card})


DECLINED = charge("tok_declined")
REFUND = Call("POST", "/charges/{id}/refund", path_params={"id": "{{ effect.result.id }}"})
CANCEL = Call("DELETE", "/charges/by-key/{key}", path_params={"key": "{{ effect.key }}"})
FIND = Call("GET", "/charges/by-key/{key}", path_params={"key": "{{ effect.key }}"})
FOUND = {"undo": REFUND, "lookup": FIND}
CANCELLED = {"undo": CANCEL, "tombstone": True}


def refund(effect: Effect) -> Call:
    return Call("POST", f"/charges/{effect.result['id']}/refund")


def order_dag(define: Callable[[Any], None], **options: Any) -> DAG:
    """A DAG of one saga."""
    name = define.__name__.strip("<>")
    with DAG(f"orders_{name}", schedule=None) as dag, Saga("order", **{**PROMPT, **options}) as order:
        define(order)
    return dag


def then_declined(**arguments: Any) -> Callable[[Any], None]:
    """A charge with these arguments, and one that is refused."""

    def define(order: Any) -> None:
        order.step("charge", **{"do": charge(), **arguments})
        order.step("decline", DECLINED, undo=False)

    return define


def three_charges(order: Any) -> None:
    """The second one's undo is refused for good."""
    order.step("first", charge(), **FOUND)
    order.step("second", charge(), undo=charge("tok_declined"), lookup=FIND)
    order.step("third", charge(), **FOUND)
    order.step("decline", DECLINED, undo=False)
