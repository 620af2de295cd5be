"""Whether a saga kept its promise: what its verdict says, held against the books of the services."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

COLLECTIONS = {"reserve": "reservations", "charge": "charges", "ship": "shipments", "notify": "notices"}
"""Step -> where its effects are."""
STATES = ("completed", "compensated", "needs-attention")

Books = Mapping[str, Mapping[str, Any]]
"""Service -> its ``truth`` and the ``events`` of its ledger."""


@dataclass(frozen=True)
class Account:
    """What came of one step of one order."""

    effects: int = 0
    undone: int = 0
    at_once: int = 0
    """The most effects that there were at a time."""
    keys: int = 0
    refusals: int = 0

    @property
    def net(self) -> int:
        """What is left."""
        return self.effects - self.undone

    def as_json(self) -> dict[str, int]:
        """What is reported of it."""
        return {"effects": self.effects, "undone": self.undone, "net": self.net, "at_once": self.at_once}


def accounts(books: Books, order: str) -> dict[str, Account]:
    """Step -> what came of it for an order.

    Raises:
        AssertionError: A service's ledger and its truth contradict each other.
    """
    found = {step: _account(books, order, collection) for step, collection in COLLECTIONS.items()}
    for book in books.values():
        for collection, net in book["truth"]["orders"].get(order, {}).get("collections", {}).items():
            step = next(step for step, name in COLLECTIONS.items() if name == collection)
            assert found[step].net == net, (order, collection, found[step], net)
    return found


def _account(books: Books, order: str, collection: str) -> Account:
    events = [
        event
        for book in books.values()
        for event in book["events"]
        if event["order"] == order and event["collection"] == collection
    ]
    net = at_once = 0
    for event in events:
        net += {"effect": 1, "undo": -1}.get(event["event"], 0)
        at_once = max(at_once, net)
    kinds = [event["event"] for event in events]
    keys = {event["key"] for event in events if event["event"] == "effect" and event["key"]}
    return Account(kinds.count("effect"), kinds.count("undo"), at_once, len(keys), kinds.count("refusal"))


def broken(view: Mapping[str, Any] | None, found: Mapping[str, Account], marked: Collection[str] = ()) -> list[str]:
    """How a saga broke its promise; empty where it kept it.

    Args:
        view: How it says that it ended; None where it never began.
        found: Step -> what came of it.
        marked: Steps that a person marked as succeeded, whose word counts.
    """
    faults = [f"{step}: {each.at_once} at once" for step, each in found.items() if each.at_once > 1]
    if view is None:
        return faults + [f"{step}: done without a verdict" for step, each in found.items() if each.effects]
    if view["state"] not in STATES:
        return [*faults, f"the state {view['state']!r}"]
    said = {step["name"]: step["state"] for step in view["steps"]}
    for step, each in found.items():
        allowed = _allowed(view["state"], said[step], word=step in marked)
        if each.net not in allowed:
            faults.append(f"{step}: {view['state']}, {said[step]}, and {each.net} left")
    return faults


def _allowed(state: str, said: str, *, word: bool) -> tuple[int, ...]:
    """How many effects of a step may be left."""
    if state == "compensated":
        return (0,)
    if state == "completed" or said == "done":
        return (0, 1) if word else (1,)
    return (0, 1) if said in ("in doubt", "undo failed") else (0,)
