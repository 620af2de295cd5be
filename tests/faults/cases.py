"""Which process is killed when: a list of cases that a seed fixes."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Literal

Moment = Literal["before arrival", "before effect", "before answer", "before end", "while waiting"]
Victim = Literal["task", "supervisor", "both", "triggerer"]

MOMENTS: tuple[Moment, ...] = ("before arrival", "before effect", "before answer", "before end", "while waiting")
"""In the order of a call: its task has started, the request is there, the effect is done, the answer is out. The last
one is apart: the service has asked to be left alone for a while, and the task waits for that to pass."""

VICTIMS: tuple[Victim, ...] = ("task", "task", "supervisor", "both")
"""Of a kill around a call on a worker, the most common one twice."""

LINGER = 1.0
"""Seconds that a task goes on after its call, so that a kill between answer and end of task has room."""

RETRY_AFTER = 12
"""Seconds that a refusal asks for: more than a gateway connection waits without giving its worker slot back."""


@dataclass(frozen=True)
class Case:
    """One kill. Times are seconds."""

    number: int
    moment: Moment
    victim: Victim
    before_effect: float
    """How long the service takes from the request to its effect, the first time."""
    before_answer: float
    """And from there to its answer."""
    pause: float
    """From the beginning of the moment to the kill."""
    refusal: int | None = None
    """Status of the answer to the first request, which then has no effect; None for none."""

    def as_json(self) -> dict[str, Any]:
        """What the service is told."""
        return asdict(self)


def cases(count: int, seed: int, moments: tuple[Moment, ...] = MOMENTS) -> list[Case]:
    """Draw cases, every moment as often as the others, in random order.

    Args:
        count: how many.
        seed: the same one gives the same cases.
        moments: to choose from.
    """
    draw = random.Random(seed)
    dealt = [moments[number % len(moments)] for number in range(count)]
    draw.shuffle(dealt)
    return [_case(number, moment, draw) for number, moment in enumerate(dealt)]


def as_met_by_a_trigger(case: Case) -> Case:
    """The case for an operator that sends its request from the triggerer: that is the process to kill, then."""
    return Case(case.number, "before answer", "triggerer", case.before_effect, 1.0, min(case.pause, 0.5))


def _case(number: int, moment: Moment, draw: random.Random) -> Case:
    before_effect, before_answer = draw.uniform(0.3, 1.0), draw.uniform(0.3, 1.0)
    share, victim = draw.random(), draw.choice(VICTIMS)
    refusal = draw.choice((429, 503))
    if moment == "while waiting":
        return Case(number, moment, "triggerer", before_effect, before_answer, 3.0 * share, refusal)
    room = {
        "before arrival": 0.2,
        "before effect": before_effect,
        "before answer": before_answer,
        "before end": LINGER,
    }[moment]
    return Case(number, moment, victim, before_effect, before_answer, 0.9 * room * share)
