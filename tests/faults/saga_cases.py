"""What happens to the orders of a saga, and when: a list of cases that a seed fixes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Way = Literal["sagas_keyed", "sagas_lookups", "sagas_batch", "sagas_keyless"]
"""The DAGs: undone by key with tombstones, undone after a look-up, several orders a run, and services without keys."""
Business = Literal["good", "sold out", "declined", "nowhere"]
"""What the services say to the order: nothing against it; `reserve`, `charge` or `ship` is refused."""
What = Literal[
    "nothing", "task", "supervisor", "both",
    "scheduler", "api-server", "edge", "service", "triggerer",
    "queued", "marked failed", "cleared", "marked success", "cleared after",
    "decided again", "begun again", "driven on",
]  # fmt: skip
Stage = Literal["begun", "arrived", "done", "answered"]
"""Of a task: before it does anything; its request is at the service; the effect is there and the answer is not out
yet; the answer is out."""

KEYED: tuple[Way, ...] = ("sagas_keyed", "sagas_lookups", "sagas_batch")
KEYLESS: Way = "sagas_keyless"
BATCH: Way = "sagas_batch"
HELD = {"sagas_keyed": "sagas_keyed_held", "sagas_batch": "sagas_batch_held"}
"""Way -> the same DAG again, paused, so that its runs stay queued."""

WORKERS: tuple[What, ...] = ("task", "supervisor", "both")
"""Killed at a task's stage."""
SERVERS: tuple[What, ...] = ("scheduler", "api-server", "edge", "service", "triggerer")
"""Killed for all that run; the process supervisor starts another one."""
DURING: tuple[What, ...] = ("marked failed", "cleared", "marked success")
"""A person's doing while a task is at its stage."""
AFTER: tuple[What, ...] = ("cleared after", "decided again", "begun again", "driven on")
"""A person's doing once the run has ended: a step cleared; `decide` cleared with all downstream; marked failed in a
step, and then `begin`, or the step behind the pivot, cleared with all downstream."""

READ = "read_orders"
STEPS = ("reserve", "charge", "ship", "notify")
UNDOS = ("undo_charge", "undo_reserve")
OWN = ("begin", "decide", "verdict")
BATCH_SIZE = 5
"""Orders of a run of the way `BATCH`."""
_IN_TURN = 3
"""Orders of another way, before the next one's turn."""

_DEAL: tuple[tuple[What, tuple[str, ...], tuple[Stage, ...], int], ...] = (
    ("nothing", ("",), ("begun",), 4),
    ("task", (*STEPS, *UNDOS), ("begun", "arrived", "done", "answered"), 5),
    ("supervisor", (*STEPS, *UNDOS), ("begun", "arrived", "done", "answered"), 4),
    ("both", (*STEPS, *UNDOS, *OWN), ("begun", "arrived", "done", "answered"), 5),
    ("scheduler", STEPS, ("begun", "arrived"), 1),
    ("api-server", (*STEPS, *OWN), ("begun", "done"), 1),
    ("edge", (*STEPS, *UNDOS), ("arrived", "done"), 2),
    ("service", (*STEPS, *UNDOS), ("arrived", "done"), 3),
    ("triggerer", ("charge", "ship"), ("arrived",), 1),
    ("queued", (READ,), ("begun",), 1),
    ("marked failed", (READ, *OWN, *STEPS, *UNDOS), ("begun", "arrived", "done"), 8),
    ("cleared", STEPS, ("begun", "arrived", "done"), 2),
    ("marked success", ("reserve", "charge", "ship"), ("begun", "arrived"), 1),
    ("cleared after", STEPS, ("begun",), 1),
    ("decided again", ("decide",), ("begun",), 1),
    ("begun again", ("charge",), ("arrived",), 1),
    ("driven on", ("notify",), ("begun", "arrived"), 1),
)
"""What, at which tasks and stages, and how many of a round."""
ROUND = sum(share for *_, share in _DEAL)
_BUSINESS: tuple[Business, ...] = ("good",) * 6 + ("sold out", "declined", "nowhere", "nowhere")


@dataclass(frozen=True)
class SagaCase:
    """One order. Times are seconds."""

    number: int
    way: Way
    what: What
    task: str = ""
    """Whose stage it is that something happens at."""
    stage: Stage = "begun"
    pause: float = 0.0
    """From there to a kill."""
    business: Business = "good"


def saga_cases(count: int, seed: int, ways: Sequence[Way] = KEYED) -> list[SagaCase]:
    """Draw cases, each thing that happens in its share, in random order.

    Args:
        count: How many.
        seed: The same one gives the same cases.
        ways: In turn; the cases of `BATCH` stand together, a run each.
    """
    draw = random.Random(seed)
    deck: list[tuple[What, tuple[str, ...], tuple[Stage, ...]]] = []
    while len(deck) < count:
        round_ = [(what, tasks, stages) for what, tasks, stages, share in _DEAL for _ in range(share)]
        draw.shuffle(round_)
        deck += round_
    dealt: list[Way] = []
    turn = 0
    while len(dealt) < count:
        way = ways[turn % len(ways)]
        turn += 1
        dealt += [way] * min(BATCH_SIZE if way == BATCH else _IN_TURN, count - len(dealt))
    return [_case(number, way, *deck[number], draw) for number, way in enumerate(dealt)]


def _case(
    number: int,
    way: Way,
    what: What,
    tasks: tuple[str, ...],
    stages: tuple[Stage, ...],
    draw: random.Random,
) -> SagaCase:
    task, stage, luck = draw.choice(tasks), draw.choice(stages), draw.choice(_BUSINESS)
    pause = draw.uniform(0.0, 0.8 if stage == "begun" else 0.3)
    if what == "queued" and way not in HELD:
        what = "marked failed"
    if task in (READ, *OWN):
        stage = "begun"
    return SagaCase(number, way, what, task, stage, pause, _fitting(what, task, luck))


def _fitting(what: What, task: str, luck: Business) -> Business:
    """What the services have to say for the order to come to the task at all."""
    if what == "nothing":
        return luck
    if task == "undo_charge":
        return "nowhere"
    if task == "undo_reserve":
        return "declined" if luck == "declined" else "nowhere"
    return "good" if task in STEPS and what != "cleared after" else luck
