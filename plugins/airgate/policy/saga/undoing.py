"""The program of an undo: nothing is undone on a guess, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.effects import Answer, Done, NothingToUndo, Now, Program, Question, Read, Undo, Wait, Write
from airgate.policy.saga.entries import Epoch, current_epoch
from airgate.policy.saga.plan import Plan, Step
from airgate.policy.saga.settling import Absent, Doubtful, recorded, settle


@dataclass(frozen=True, slots=True)
class ToUndo:
    """A step that has to be undone."""

    epoch: Epoch
    step: Step
    result: Any
    """What it gave; None where only its key is known."""
    settles_at: float = 0
    """Unix time at which nothing of it can arrive any more, should it not be cancelled before."""


def effect_to_undo(plan: Plan, name: str, answer: Answer | None = None) -> Program[ToUndo]:
    """Find what there is to undo of a step.

    Args:
        plan: The saga's.
        name: The step's.
        answer: What a person said when this was asked before.

    Raises:
        NothingToUndo: Nothing.
        NeedsAttention: Nobody knows, or the saga has not decided to go back.
    """
    epoch = yield from current_epoch()
    step = plan[name]
    yield from _check_back(plan, step, epoch)
    undone = yield Read(epoch.of(name, "undone"))
    if undone is not None:
        raise NothingToUndo(undone["why"] or "it is undone already")
    if step.tombstone:
        known = yield from recorded(step, epoch)
        # What is in doubt is cancelled by key: the undo itself sees to it that nothing can arrive any more.
        if isinstance(known, Doubtful):
            return ToUndo(epoch, step, None, known.settles_at)
    else:
        known = yield from settle(step, epoch, answer)
    if isinstance(known, Absent):
        yield from note_undone(epoch, name, "nothing", known.why)
        raise NothingToUndo(known.why)
    return ToUndo(epoch, step, known.result)


def _check_back(plan: Plan, step: Step, epoch: Epoch) -> Program[None]:
    decision = yield Read(epoch.decision)
    if decision is None:
        raise NeedsAttention(
            f"step {step.name!r} is not undone, as `decide` did not decide; clear `begin` with all downstream"
        )
    if decision["direction"] == "nowhere":
        raise NeedsAttention(f"step {step.name!r} is not undone: {decision['why']}")
    if decision["direction"] != "back":
        raise NothingToUndo(f"the saga goes {decision['direction']}")
    if plan.halt_on_failed_undo:
        for earlier in sorted(plan.undone_first(step.name)):
            if (yield Read(epoch.of(earlier, "undone"))) is None:
                raise NeedsAttention(f"step {step.name!r} is not undone, as {earlier!r} is not (halt_on_failed_undo)")


def note_undone(epoch: Epoch, name: str, how: str, why: str = "") -> Program[None]:
    """Write that nothing is left of a step.

    Args:
        epoch: Its epoch.
        name: The step's.
        how: ``undone``, ``nothing`` (there was nothing to undo) or ``by hand``.
        why: In words.
    """
    now = yield Now()
    yield Write(epoch.of(name, "undone"), {"at": now, "how": how, "why": why})


def undo(plan: Plan, name: str, answer: Answer | None = None) -> Program[Any]:
    """Undo a step; gives what the undo gave.

    Args:
        plan: The saga's.
        name: The step's.
        answer: What a person said when this was asked before.

    Raises:
        NothingToUndo: There is nothing to undo.
        NeedsAttention: Nobody knows whether there is, or it could not be undone and a person has not done it.
        Exception: What the undo failed with, where another try may succeed.
    """
    epoch = yield from current_epoch()
    undone = yield Read(epoch.of(name, "undone"))
    if undone is not None and undone["how"] != "nothing":
        return None
    found = yield from effect_to_undo(plan, name, answer)
    about_undo = answer if answer is not None and answer.matter == "undo" else None
    if about_undo is not None and about_undo.choice != "again":
        return (yield from _by_word(found, about_undo))
    while True:
        outcome = yield Undo(name, found.epoch.number, found.result)
        if isinstance(outcome, Done):
            yield from note_undone(found.epoch, name, "undone")
            return outcome.result
        now = yield Now()
        yield Write(found.epoch.of(name, "undo_failed"), {"at": now, "why": str(outcome.error)})
        if found.settles_at > now:
            # A person cancels no key, so what they see before is not the last word.
            yield Wait(found.settles_at)
        said = yield Question(name, found.epoch.number, "undo", str(outcome.error))
        if said is None or said.choice != "again":
            return (yield from _by_word(found, said))


def _by_word(found: ToUndo, said: Answer | None) -> Program[None]:
    """Take a person's word for an undo that failed.

    Raises:
        NeedsAttention: It is left as it is.
    """
    name = found.step.name
    if said is not None and said.choice == "yes":
        yield from note_undone(found.epoch, name, "by hand", f"undone by hand{f' by {said.by}' if said.by else ''}")
        return
    failed = yield Read(found.epoch.of(name, "undo_failed"))
    why = failed["why"] if failed is not None else "a person left it as it is"
    raise NeedsAttention(f"step {name!r} could not be undone: {why}")
