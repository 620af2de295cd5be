"""What the tasks of one saga know of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airgate.hooks.call import Call
from airgate.hooks.selection import Selection
from airgate.policy.idempotency import idempotency_key
from airgate.policy.saga.plan import Plan
from airgate.sagas.effect import Effect
from airgate.sagas.journal import XComJournal

CallOrFunction = Call | Callable[..., Any]
Telling = Mapping[str, Any] | Callable[..., Mapping[str, Any]]
"""What a step says of its event: ``type``, ``subject`` and ``data``, or a function of the result and the inputs."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """How a service is asked what became of a step."""

    ask: CallOrFunction
    select: Selection | None = None
    """Picks the effect out of the answer; null says that it is not there."""


@dataclass(slots=True)
class StepWiring:
    """One step as its undo and ``decide`` see it."""

    task_id: str
    conn_id: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """As the DAG gave them, not yet resolved."""
    lookup: Lookup | None = None
    event: Telling | None = None
    undo_event: Telling | None = None


@dataclass(slots=True, eq=False)
class Wiring:
    """One saga of a DAG; complete once its group is closed."""

    name: str
    """The group's id."""
    deadline: float | None = None
    """Seconds."""
    settles_in: float = 15.0
    """Seconds in which a request may still arrive whose sender has given up."""
    answer_within: timedelta | None = None
    """How long a person has to answer; None where nobody is asked."""
    notifiers: Sequence[Any] = ()
    steps: dict[str, StepWiring] = field(default_factory=dict)
    journal_id: str = ""
    undo_ids: dict[str, str] = field(default_factory=dict)
    chosen: Plan | None = None

    @property
    def plan(self) -> Plan:
        """The shape of the saga.

        Raises:
            RuntimeError: The group is still open.
        """
        if self.chosen is None:
            raise RuntimeError(f"saga {self.name!r} was never closed: define its steps in `with Saga(…) as saga:`")
        return self.chosen

    def journal(self, ti: Any) -> XComJournal:
        """The journal that a task instance shares with the others of its saga."""
        return XComJournal.of(ti, self.journal_id)

    def key(self, ti: Any, step: str, epoch: int) -> str:
        """The idempotency key of a step."""
        task_id = self.steps[step].task_id
        return idempotency_key(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            call=task_id,
            epoch=str(epoch),
        )

    def effect(self, ti: Any, step: str, epoch: int, result: Any = None) -> Effect:
        """What the undo and the look-up of a step are told."""
        return Effect(step, self.key(ti, step, epoch), result)
