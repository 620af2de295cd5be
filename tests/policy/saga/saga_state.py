"""The state of a saga's world between two of its events."""

from __future__ import annotations

from typing import Literal, NamedTuple

from airgate.policy.saga.effects import Send
from tests.policy.saga.saga_runs import Frozen, Run
from tests.policy.saga.saga_scenario import Budget

Status = Literal["none", "running", "retry", "waiting", "asked", "success", "failed", "skipped"]
"""Of a task, in Airflow. ``waiting``: for a time, without a process; ``asked``: for a person."""

ENDED = frozenset({"success", "failed", "skipped"})


class Task(NamedTuple):
    """A task as Airflow knows it."""

    status: Status = "none"
    tries_left: int = 0
    launches: int = 0
    """Processes that were ever started for it."""
    until: float = 0
    """When a wait ends."""
    resumed: bool = False
    """Whether its next process goes on with the same try."""
    asks: str = ""
    """The matter of the question that a person was asked."""


class Process(NamedTuple):
    """A process that runs a task's program."""

    task: str
    number: int
    """Which of the task's."""
    run: Run
    ghost: bool = False
    """Whether Airflow believes that it is dead."""
    epoch: int = 0
    """The one that it works in, once it has read it."""
    may_send_until: float = 0
    fenced: bool = False
    """Whether the fence was up when it wrote that it would send."""
    sends: bool = False
    """Whether it has come to where it sends its request."""
    can_die: bool = True
    """Whether its death here would differ from a death one effect earlier."""

    def told(self, answer: object, *, can_die: bool) -> Process:
        """The process after it has heard what came of its effect."""
        run = self.run.told(answer)
        return self._replace(run=run, can_die=can_die, sends=self.sends or isinstance(run.effect, Send))


class Flight(NamedTuple):
    """A request whose sender has given up or died, and that will arrive."""

    arrives_by: int
    epoch: int
    step: str


class Held(NamedTuple):
    """What the service holds of one step in one epoch."""

    effects: int = 0
    undone: bool = False
    """Whether it was there and was undone."""
    cancelled: bool = False
    """Whether its key was cancelled, so that nothing of it will ever have an effect."""


NOTHING = Held()


class Seen(NamedTuple):
    """What ``verdict`` said."""

    state: str
    epoch: int
    steps: Frozen
    """Name -> the step's state."""


class State(NamedTuple):
    """The whole world."""

    clock: int
    journal: Frozen
    ledger: Frozen
    """(epoch, step) -> Held."""
    flights: tuple[Flight, ...]
    tasks: Frozen
    """Name -> Task."""
    processes: tuple[Process, ...]
    failed: bool
    """Whether a person has marked the run as failed."""
    by_hand: frozenset[tuple[int, str]]
    """Steps that a person has marked as succeeded, with the epoch."""
    seen: Seen | None
    left: Budget

    def held(self, epoch: int, step: str) -> Held:
        """What the service holds of a step."""
        held: Held = self.ledger.get((epoch, step), NOTHING)
        return held

    def with_held(self, epoch: int, step: str, held: Held) -> State:
        """The world after the service has changed what it holds."""
        return self._replace(ledger=self.ledger.with_((epoch, step), held))

    def with_task(self, name: str, task: Task) -> State:
        """The world after Airflow has changed a task."""
        return self._replace(tasks=self.tasks.with_(name, task))

    def status(self, name: str) -> Status:
        """A task's status."""
        task: Task = self.tasks[name]
        return task.status

    def spend(self, what: str) -> State | None:
        """The world with one less left of something; None when nothing is left of it."""
        left: int = getattr(self.left, what)
        return self._replace(left=self.left._replace(**{what: left - 1})) if left else None
