"""What happens to a job's task, and when: a list of cases that a seed fixes."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Literal

Way = Literal["jobs_deferred", "jobs_here", "jobs_found", "jobs_once", "jobs_unfound"]
"""The DAGs: waiting in the triggerer, in the worker, with a service that honours no keys, and in one try; the last with
a service that cannot be asked for the job of a key."""
Moment = Literal[
    "before arrival", "before effect", "before answer", "before end", "at look", "at result", "last try",
    "last try unheard", "scheduler", "api-server", "api-server away", "marked failed",
    "marked failed without triggerer", "marked failed unheard", "marked failed on return", "cleared", "cleared unheard",
]  # fmt: skip
Victim = Literal["task", "supervisor", "both", ""]

WAYS: tuple[Way, ...] = ("jobs_deferred", "jobs_here", "jobs_found")
ONCE: Way = "jobs_once"
UNFOUND: Way = "jobs_unfound"
SUBMITTING: tuple[Moment, ...] = ("before arrival", "before effect", "before answer", "before end")
"""In the order of a submission: the task has started, the request is there, the job is made, the answer is out."""
WATCHING: tuple[Moment, ...] = ("at look", "at result")
"""The process that asks is killed before it hears."""
LAST: Moment = "last try"
"""It is killed, and no other try comes: of the way `ONCE` alone."""
LAST_UNHEARD: Moment = "last try unheard"
"""The same before the answer to the submission, so that nobody knows the job: of the ways `ONCE` and `UNFOUND`."""
MARKED_UNHEARD: Moment = "marked failed unheard"
"""Whoever submits is killed before the answer, and a person ends the task before another try begins."""
MARKED_ON_RETURN: Moment = "marked failed on return"
"""The same, and the run is ended while Airflow brings the task back: it may start it in the run that has ended."""
CLEARED_UNHEARD: Moment = "cleared unheard"
"""And clears it right after that: the job, which others look for by now, has the key of the next try."""
UNHEARD: tuple[Moment, ...] = (LAST_UNHEARD, MARKED_UNHEARD, MARKED_ON_RETURN, CLEARED_UNHEARD)
CLEARED: tuple[Moment, ...] = ("cleared", CLEARED_UNHEARD)
SERVERS: tuple[Moment, ...] = ("scheduler", "api-server")
"""Killed while the job runs; the process supervisor starts another one."""
AWAY: Moment = "api-server away"
"""The api-server is killed until Airflow has given up the worker that waits: its task is brought back."""
AWAY_SECONDS = 20.0
BY_HAND: tuple[Moment, ...] = (
    *("marked failed", "marked failed without triggerer"),
    *(MARKED_UNHEARD, MARKED_ON_RETURN, *CLEARED),
)
"""A person ends the task while the job runs."""
MOMENTS: tuple[Moment, ...] = (*SUBMITTING, *WATCHING, LAST, LAST_UNHEARD, *SERVERS, AWAY, *BY_HAND)

JOB_SECONDS = 8.0
"""How long a job runs, but for those below."""
ENDED_JOB_SECONDS = {
    **dict.fromkeys(("marked failed", "marked failed without triggerer", LAST, *UNHEARD), 240.0),
    **dict.fromkeys(CLEARED, 30.0),
    "at look": 20.0,
    **dict.fromkeys(SERVERS, 45.0),
    AWAY: 75.0,
}
"""How long one runs whose task is ended early: longer than Airflow takes to see it, and a triggerer to come back;
and one whose server or triggerer is killed, so that it still runs when they are back on a busy machine."""


@dataclass(frozen=True)
class JobCase:
    """One disturbance. Times are seconds."""

    number: int
    way: Way
    moment: Moment
    victim: Victim
    before_effect: float
    """How long the service takes from the submission to the job, the first time."""
    before_answer: float
    """And from there to its answer."""
    pause: float
    """From the beginning of the moment to the kill."""
    look: int
    """Which of the looks, or fetches, meets the kill."""
    runs: float = JOB_SECONDS
    """How long its jobs run."""

    def as_json(self) -> dict[str, Any]:
        """What the service is told."""
        return asdict(self)


def job_cases(count: int, seed: int, moments: tuple[Moment, ...] = MOMENTS) -> list[JobCase]:
    """Draw cases, every moment as often as the others, in random order.

    Args:
        count: how many.
        seed: the same one gives the same cases.
        moments: to choose from.
    """
    draw = random.Random(seed)
    size = len(moments)
    dealt = [(moments[number % size], _way(moments[number % size], number, size)) for number in range(count)]
    draw.shuffle(dealt)
    return [_case(number, moment, way, draw) for number, (moment, way) in enumerate(dealt)]


def _way(moment: Moment, number: int, size: int) -> Way:
    """Of a case, so that each moment meets all its ways in turn."""
    if moment == LAST:
        return ONCE
    if moment == LAST_UNHEARD:
        return (ONCE, UNFOUND)[number // size % 2]
    return WAYS[(number % size + number // size) % len(WAYS)]


def _case(number: int, moment: Moment, way: Way, draw: random.Random) -> JobCase:
    before_effect, before_answer = draw.uniform(0.3, 1.0), draw.uniform(0.3, 1.0)
    room = {
        "before arrival": 0.2,
        "before effect": before_effect,
        **dict.fromkeys(("before answer", *UNHEARD), before_answer),
        "before end": 0.04,  # the handle is stored and the task deferred within it
        "marked failed": 3.0,
        "marked failed without triggerer": 3.0,
        "cleared": 3.0,
    }.get(moment, 1.0)
    killed = moment in (*SUBMITTING, *WATCHING, LAST, LAST_UNHEARD)
    victim: Victim = draw.choice(("task", "task", "supervisor", "both")) if killed else ""
    if moment in BY_HAND and moment in UNHEARD:
        victim = draw.choice(("supervisor", "both"))  # without it Airflow notices only later, and a person has the time
    look = draw.randint(1, 2) if moment == "at look" else 1
    pause, runs = 0.9 * room * draw.random(), ENDED_JOB_SECONDS.get(moment, JOB_SECONDS)
    return JobCase(number, way, moment, victim, before_effect, before_answer, pause, look, runs)
