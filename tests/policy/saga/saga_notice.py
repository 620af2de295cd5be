"""What other processes may notice of a process, so that it matters when it happens."""

from __future__ import annotations

from functools import cache

from airgate.policy.saga.effects import Marked, Now, Read, Write
from airgate.policy.saga.entries import BEGUN
from airgate.policy.saga.plan import Plan
from tests.policy.saga.saga_state import ENDED, Process, State


def is_unseen(plan: Plan, state: State, process: Process) -> bool:
    """Whether nobody can tell when the process does what it does next."""
    effect = process.run.effect
    if isinstance(effect, Now):
        return True
    if isinstance(effect, Marked):
        return not process.ghost
    if not isinstance(effect, Read):
        return False
    is_step = process.task in {step.name for step in plan.steps}
    if is_step and effect.name.endswith(".decision") and not plan.is_behind_pivot(process.task):
        return True  # it only words the error
    writers = writers_of(effect.name)
    others = (each for each in state.processes if each is not process and each.task in writers)
    if any(_may_write(each, effect.name) for each in others):
        return False
    if not process.ghost or effect.name == BEGUN:
        return True
    # Airflow does not wait for a ghost: other tasks may start before it goes on.
    return not any(state.left.operations or state.status(name) not in ENDED for name in writers & state.tasks.keys())


def writes(process: Process, fact: str) -> bool:
    """Whether a process writes such an entry next."""
    return isinstance(process.run.effect, Write) and process.run.effect.name.endswith(fact)


def _may_write(process: Process, name: str) -> bool:
    """Whether a process of a task that writes an entry may still do so."""
    return not process.sends or not name.endswith((".sent", ".first", ".again"))


@cache
def writers_of(name: str) -> frozenset[str]:
    """The tasks whose processes write an entry."""
    if name == BEGUN:
        return frozenset({"begin"})
    about = name.split(".")[1:]
    if len(about) == 1:
        return frozenset({"decide", "verdict"})
    step, fact = about
    undo = f"undo_{step}"
    if fact in {"undone", "undo_failed"}:
        return frozenset({undo})
    if fact in {"done", "word", "marked"}:
        return frozenset({step, undo, "decide"})
    return frozenset({step})
