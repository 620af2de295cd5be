"""What is explored: a saga, the services behind it, and how much may go wrong in one history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from airgate.policy.saga.plan import Plan, Step

SETTLES_IN = 10
"""Seconds until nothing that a dead try has sent can arrive any more."""
KNOWN_SETTLES_IN = 2
"""The same, for a try that lived to say that its request went wrong."""
TICK = 4
"""Seconds by which the clock goes on where a scenario lets it."""

Operation = Literal[
    "fail", "succeed", "fail-step", "skip-step", "clear-step", "clear-begin", "clear-decide", "clear-undo"
]
"""What a person does in Airflow: mark the run as failed; mark a step as succeeded, failed or skipped; clear a task with
all downstream."""


class Budget(NamedTuple):
    """How much of each may still happen in a history."""

    crashes: int = 0
    """Processes that die."""
    ghosts: int = 0
    """Processes that Airflow believes to be dead, and that go on."""
    operations: int = 0
    troubles: int = 0
    """Requests of a step that are refused, get lost, or are late."""
    undo_troubles: int = 0
    questions: int = 0
    """Answers of a person."""
    ticks: int = 0


@dataclass(frozen=True)
class Scenario:
    """One saga and its world."""

    name: str
    plan: Plan
    budget: Budget
    operations: frozenset[Operation] = frozenset()
    keyless: frozenset[str] = frozenset()
    """Steps whose service does every request it gets."""
    tries: int = 2
    """Tries of a step."""
    own_tries: int = 2
    """Tries of the saga's own tasks."""
    deadline: float | None = None
    ghosts_of: frozenset[str] = frozenset()
    """Tasks whose processes may be believed dead; empty for all steps."""
    at_least: int = 0
    """States that it has, in round numbers, so that a world which has shrunk is noticed."""

    def __str__(self) -> str:
        """Its name, as pytest shows it."""
        return self.name


def steps(
    *, lookup: bool = True, tombstone: bool = False, pivot: bool = True, notify: bool = False
) -> tuple[Step, ...]:
    """Reserve, charge, ship, and maybe notify, one after the other."""
    found = [
        Step("reserve", undo=True, lookup=lookup, tombstone=tombstone),
        Step("charge", frozenset({"reserve"}), undo=True, lookup=lookup, tombstone=tombstone),
        Step(
            "ship",
            frozenset({"charge"}),
            undo=None if pivot else True,
            lookup=lookup,
            tombstone=tombstone and not pivot,
            pivot=pivot,
        ),
    ]
    if notify:
        found.append(Step("notify", frozenset({"ship"}), retriable=True))
    return tuple(found)
