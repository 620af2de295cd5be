"""Whether a saga kept its promise: its verdict, held against the books of the services and the colour of its run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


@dataclass(frozen=True)
class End:
    """How a run ended, by Airflow."""

    state: str
    views: Sequence[Mapping[str, Any] | None]
    """What the verdicts of its orders say, None for one that says nothing."""
    expanded: bool = True
    """Whether there are tasks of each order; of a mapped group there are none before it is expanded."""
    counting: str | None = None
    """State of the task that counts the verdicts of a mapped group; None where there is no such task."""

    @property
    def before_orders(self) -> bool:
        """Whether no order can have a verdict: there were none yet, and the task that counts says so by its colour."""
        return not self.expanded and self.counting == "failed"


def miscoloured(end: End) -> list[str]:
    """What of a run's colour is not as its verdicts have it: green says that all its orders are completed.

    Red need not say the contrary. A run that a person marked stays red, and so does one whose last step failed although
    a look found it done, as Airflow goes by that task.
    """
    said = [None if view is None else view["state"] for view in end.views]
    completed = bool(said) and all(state == "completed" for state in said)
    faults = []
    if end.state not in ("success", "failed"):
        faults.append(f"the run is {end.state or 'unknown'}")
    elif end.state == "success" and not completed:
        faults.append(f"the run is {end.state}, and its verdicts are {said}")
    if end.counting is not None and end.counting != ("success" if completed else "failed"):
        faults.append(f"the task that counts is {end.counting}, and the verdicts are {said}")
    return faults


def broken(
    view: Mapping[str, Any] | None,
    found: Mapping[str, Account],
    marked: Collection[str] = (),
    *,
    before_orders: bool = False,
) -> list[str]:
    """How a saga broke its promise; empty where it kept it.

    Args:
        view: How it says that it ended; None where it says nothing.
        found: Step -> what came of it.
        marked: Steps that a person marked as succeeded, whose word counts.
        before_orders: Whether its run was ended before it had orders, so that there can be no view.
    """
    faults = [f"{step}: {each.at_once} at once" for step, each in found.items() if each.at_once > 1]
    if view is None:
        faults += [] if before_orders else ["no verdict"]
        return faults + [f"{step}: done without a verdict" for step, each in found.items() if each.effects]
    if view["state"] not in STATES:
        return [*faults, f"the state {view['state']!r}"]
    if view["state"] != "completed" and not view["why"]:
        faults.append(f"{view['state']}, and nobody says why")
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
