"""Orders on a whole Airflow, with people who end, clear, mark and answer; all asked for at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from stack.airflow_api import ApiFailed
from tests.integration.example_stack import PROJECT, ExampleStack, Run, example_stack, until

SHOP = ("inventory", "payments", "shipping")
ADDRESS = {"street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"}
ORDERS: dict[str, dict[str, Any]] = {
    "good": {"items": [{"sku": "eye-mask", "quantity": 2}]},
    "sold-out": {"items": [{"sku": "sold-out", "quantity": 1}]},
    "declined": {"card": "tok_declined"},
    "nowhere": {"address": {**ADDRESS, "country": "XX"}},
}
CORNERS: dict[str, set[str]] = {
    "given-up": {"hold-charged"},
    "taken-over": {"hold-charge"},
    "turned-back": {"broken-charge", "hold-undo_reserve"},
    "anew": {"broken-charge"},
    "left": {"broken-charge", "broken-undo_reserve"},
    "by-hand": {"broken-charge", "broken-undo_reserve"},
    "driven-on": {"broken-notify"},
}
"""Order -> what is in its way; see saga_dags/order_corners.py."""
BATCH = [
    {"id": f"batch-{place}", "card": card, "items": [{"sku": "ear-plugs", "quantity": 1}], "address": ADDRESS}
    | {"customer": {"name": "Ada", "email": "ada@example.com"}}
    for place, card in enumerate(["tok_visa", "tok_declined", "tok_visa"])
]
OVER = {"success", "failed"}


@dataclass
class Order:
    """A run with one saga, as people at Airflow and at the services see it."""

    run: Run
    group: str
    home: Path
    views: list[dict[str, Any]] = field(default_factory=list)
    """How it ended, each time that it did."""

    def ended(self) -> dict[str, Any]:
        """Wait until the saga has ended; how."""
        task_id = f"{self.group}.verdict"
        until(lambda: self.run.states().get(task_id) in OVER or None, 0.5, self.run.told)
        self.views.append(self.run.stack.airflow.xcom(self.run.dag_id, self.run.run_id, task_id, "saga"))
        return self.views[-1]

    def until_task(self, name: str, *states: str) -> None:
        """Wait until one of its tasks is in one of these states."""
        until(lambda: self.run.states().get(f"{self.group}.{name}") in states or None, 0.2, self.run.told)

    def answer(self, name: str, option: str) -> None:
        """Answer what one of its tasks asks, until it has taken it; it may ask again, see ``Run.answer``."""
        airflow, run, task_id = self.run.stack.airflow, self.run, f"{self.group}.{name}"

        def taken() -> bool | None:
            state = run.states().get(task_id)
            # Not before it waits: with SQLite an answer that crosses the question is kept and resumes nobody.
            if state == "awaiting_input" and not _is_answered(run, task_id):
                airflow.answer(run.dag_id, run.run_id, task_id, option)
            return True if state in OVER else None

        until(taken, 1.0, run.told)

    def clear(self, name: str) -> None:
        """With all that follows, as the page does it unless told otherwise."""
        airflow = self.run.stack.airflow
        airflow.clear(self.run.dag_id, self.run.run_id, [f"{self.group}.{name}"], downstream=True)

    def mend(self) -> None:
        """Take everything out of its way."""
        for flag in self.home.glob(f"*-*/{self.run.run_id}"):
            flag.unlink()

    def state(self, name: str) -> str:
        """Of one of its tasks."""
        return self.run.states()[f"{self.group}.{name}"]


def _is_answered(run: Run, task_id: str) -> bool:
    question = run.stack.airflow.question(run.dag_id, run.run_id, task_id)
    return question is not None and bool(question["response_received"])


def steps(view: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in view["steps"]}


@dataclass(frozen=True)
class Played:
    """What came of all runs."""

    stack: ExampleStack
    orders: dict[str, Order]
    batch: Run
    refused: dict[str, int | None]
    """Params that make no sense -> the status of the answer."""
    ledgers: dict[str, list[dict[str, Any]]]
    """Service -> what it has written down."""

    def left(self, order: str) -> dict[str, int]:
        """Collection -> how many effects are left of an order, by the services' own count."""
        net: dict[str, int] = {}
        for ledger in self.ledgers.values():
            for event in ledger:
                if event["order"] == order and event["event"] in {"effect", "undo"}:
                    change = 1 if event["event"] == "effect" else -1
                    net[event["collection"]] = net.get(event["collection"], 0) + change
        return net


NOTHING = {"reservations": 0}
ALL = {"reservations": 1, "charges": 1, "shipments": 1, "notices": 1}
NONSENSE: dict[str, dict[str, Any]] = {
    "no item": {"items": []},
    "a negative quantity": {"items": [{"sku": "eye-mask", "quantity": -1}]},
    "no address": {"address": None},
    "half an address": {"address": {"street": "1 Quay"}},
    "no card": {"card": "4111 1111 1111 1111"},
    "no e-mail": {"customer": {"name": "Ada", "email": "ada"}},
    "an unknown field": {"customer": {"name": "Ada", "email": "ada@example.com", "vip": True}},
}


@contextmanager
def played_orders(home: Path) -> Iterator[Played]:
    """Every run, ended: some by themselves, some after people had a hand in them."""
    dags = home / "dags"
    dags.mkdir(parents=True)
    for path in (PROJECT / "dags" / "order_fulfillment.py", Path(__file__).parent / "saga_dags" / "order_corners.py"):
        (dags / path.name).symlink_to(path)
    with example_stack(home, ("order_fulfillment", "order_batch", "order_corners"), SHOP, dags) as stack:
        queued = _ended_while_queued(stack, home)
        orders = {"queued": queued} | {
            name: Order(stack.start("order_fulfillment", name, conf), "fulfillment", home)
            for name, conf in ORDERS.items()
        }
        for name, flags in CORNERS.items():
            for flag in flags:
                (home / flag).mkdir(exist_ok=True)
                (home / flag / name).touch()
            orders[name] = Order(stack.start("order_corners", name, {}), "order", home)
        batch = stack.start("order_batch", "batch", {"orders": BATCH})
        refused = {name: _status(stack, conf) for name, conf in NONSENSE.items()}
        _have_a_hand(orders)
        for order in orders.values():
            if not order.views:
                order.ended()
        _come_back(orders)
        batch.ended()
        until(lambda: None if set(batch.states().values()) & {None, "running", "queued", "scheduled"} else True, 0.5)
        ledgers = {name: _ledger(stack, name) for name in SHOP}
        yield Played(stack, orders, batch, refused, ledgers)


def _ended_while_queued(stack: ExampleStack, home: Path) -> Order:
    """A run that a person marks as failed before anything of it has begun."""
    stack.airflow.pause("order_fulfillment")
    run = stack.start("order_fulfillment", "queued", {})
    run.mark_failed()
    stack.airflow.pause("order_fulfillment", paused=False)
    return Order(run, "fulfillment", home)


def _have_a_hand(orders: dict[str, Order]) -> None:
    """End, take over and answer while they run."""
    given_up = orders["given-up"].run
    until(lambda: "given-up" in _charged(given_up.stack) or None, 0.2, given_up.told)
    orders["given-up"].run.mark_failed()
    taken = orders["taken-over"]
    taken.until_task("charge", "running")
    taken.run.stack.airflow.mark("order_corners", "taken-over", "order.charge", "success")
    orders["turned-back"].until_task("undo_reserve", "running")
    orders["turned-back"].run.mark_failed()
    orders["turned-back"].mend()
    orders["left"].answer("undo_reserve", "Leave it")
    orders["by-hand"].answer("undo_reserve", "Undone by hand")


def _charged(stack: ExampleStack) -> set[str]:
    """The orders of which the service says that they are charged."""
    return {event["order"] for event in _ledger(stack, "payments") if event["event"] == "effect"}


def _come_back(orders: dict[str, Order]) -> None:
    """Mend what was broken, and clear what is to go on."""
    for name, task in (("anew", "begin"), ("left", "undo_reserve"), ("driven-on", "notify"), ("declined", "charge")):
        orders[name].mend()
        orders[name].clear(task)
    for name in ("anew", "left", "driven-on", "declined"):
        orders[name].ended()


def _status(stack: ExampleStack, conf: dict[str, Any]) -> int | None:
    """What the API answers to params; None where it takes them."""
    try:
        stack.airflow.trigger("order_fulfillment", "nonsense", conf)
    except ApiFailed as error:
        return error.status
    return None


def _ledger(stack: ExampleStack, service: str) -> list[dict[str, Any]]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{stack.services[service]}/-/ledger", timeout=30)
    return list(answer.json()["events"])
