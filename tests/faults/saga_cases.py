"""What happens to the orders of a saga, and when: a list of cases that a seed fixes."""

from __future__ import annotations

import itertools
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
"""Orders of a run of the way `BATCH`, at the most."""
_IN_TURN = 3
"""Orders of another way, before the next one's turn."""

Cancelled = Literal["while queued", "before begin", "in begin", "before the group expands", "during an undo"]
CANCELLED: dict[Cancelled, tuple[What, tuple[str, ...], tuple[Way, ...]]] = {
    "during an undo": ("marked failed", UNDOS, (*KEYED, KEYLESS)),
    "in begin": ("marked failed", ("begin",), (*KEYED, KEYLESS)),
    "before begin": ("marked failed", (READ,), ("sagas_keyed", "sagas_lookups", KEYLESS)),
    "before the group expands": ("marked failed", (READ,), (BATCH,)),
    "while queued": ("queued", (READ,), tuple(HELD)),
}
"""Moments at which a run is marked as failed that no seed leaves out: what that is, of which tasks, in which ways."""
_CANCELLED_EACH = 50
"""Orders for which each of them is dealt once more."""
_CANCELLED_SHARE = 3
"""At most one of so many orders is dealt like that; the others are drawn."""

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
_Dealt = tuple[Way, What, tuple[str, ...], tuple[Stage, ...]]
"""A way, and of what happens what, at which tasks and at which of their stages."""


@dataclass(frozen=True)
class SagaCase:
    """One order. Times are seconds."""

    number: int
    run: int
    """Orders with the same number are those of one run."""
    way: Way
    what: What
    task: str = ""
    """Whose stage it is that something happens at."""
    stage: Stage = "begun"
    pause: float = 0.0
    """From there to a kill."""
    business: Business = "good"


def saga_cases(count: int, seed: int, ways: Sequence[Way] = KEYED) -> list[SagaCase]:
    """Draw cases, each thing that happens in its share, in random order; those of `CANCELLED` are always among them.

    Args:
        count: How many.
        seed: The same one gives the same cases.
        ways: In turn; the cases of `BATCH` stand together, some a run.
    """
    draw = random.Random(seed)
    alone = _cancelled(count, ways, draw)
    runs = _drawn(count - len(alone), ways, draw)
    for each in alone:  # each has a run to itself, so that it hits no other case of its run
        runs.insert(draw.randrange(len(runs) + 1), [each])
    cases: list[SagaCase] = []
    for run, together in enumerate(runs):
        cases += [_case(len(cases) + place, run, dealt, draw) for place, dealt in enumerate(together)]
    return cases


def cancelled(case: SagaCase) -> Cancelled | None:
    """Which of those it is, if it is one of them."""
    for moment, (what, tasks, ways) in CANCELLED.items():
        if case.what == what and case.task in tasks and case.way in ways:
            return moment
    return None


def _cancelled(count: int, ways: Sequence[Way], draw: random.Random) -> list[_Dealt]:
    """Those that are dealt whatever the seed, the first ones first where not all of them fit."""
    found: list[_Dealt] = []
    first = draw.randrange(len(ways))
    for time in range(max(1, count // _CANCELLED_EACH)):
        for what, tasks, fitting in CANCELLED.values():
            if those := [way for way in ways if way in fitting]:
                way = those[(first + time) % len(those)]
                found.append((way, what, tasks, ("begun", "arrived", "done")))
    return found[: count // _CANCELLED_SHARE]


def _drawn(count: int, ways: Sequence[Way], draw: random.Random) -> list[list[_Dealt]]:
    """The others, run by run."""
    deck: list[tuple[What, tuple[str, ...], tuple[Stage, ...]]] = []
    while len(deck) < count:
        round_ = [(what, tasks, stages) for what, tasks, stages, share in _DEAL for _ in range(share)]
        draw.shuffle(round_)
        deck += round_
    runs: list[list[_Dealt]] = []
    left = deck[:count]
    for way in itertools.cycle(ways):
        if not left:
            return runs
        size = BATCH_SIZE if way == BATCH else _IN_TURN
        some: list[_Dealt] = [(way, *dealt) for dealt in left[:size]]
        runs += [some] if way == BATCH else [[each] for each in some]
        left = left[size:]
    return runs


def _case(number: int, run: int, dealt: _Dealt, draw: random.Random) -> SagaCase:
    way, what, tasks, stages = dealt
    task, stage, luck = draw.choice(tasks), draw.choice(stages), draw.choice(_BUSINESS)
    pause = draw.uniform(0.0, 0.8 if stage == "begun" else 0.3)
    if what == "queued" and way not in HELD:
        what = "marked failed"
    if task in (READ, *OWN):
        stage = "begun"
    return SagaCase(number, run, way, what, task, stage, pause, _fitting(what, task, luck))


def _fitting(what: What, task: str, luck: Business) -> Business:
    """What the services have to say for the order to come to the task at all."""
    if what == "nothing":
        return luck
    if task == "undo_charge":
        return "nowhere"
    if task == "undo_reserve":
        return "declined" if luck == "declined" else "nowhere"
    return "good" if task in STEPS and what != "cleared after" else luck
