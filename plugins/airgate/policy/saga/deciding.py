"""The program of `decide`: whether the saga is complete, goes back, or can only go forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.effects import Answer, Done, Marked, Now, Program, Read, Write
from airgate.policy.saga.entries import Epoch, current_epoch
from airgate.policy.saga.plan import Plan
from airgate.policy.saga.settling import recorded, settle

Direction = Literal["complete", "back", "forward", "nowhere"]
"""``forward``: the pivot has happened and a step behind it has not; ``nowhere``: nobody knows whether the pivot has."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the saga goes."""

    direction: Direction
    why: str = ""


def decide(plan: Plan, answer: Answer | None = None) -> Program[Decision]:
    """Put up the fence, and decide.

    "Back" and "complete" stay. "Forward" and "nowhere" are decided anew, as a step behind the pivot may be done by
    then, or a person may know.

    Args:
        plan: The saga's.
        answer: What a person said of the pivot when this was asked before.
    """
    epoch = yield from current_epoch()
    final = yield from _final(epoch)
    if final is not None:
        return final
    if (yield Read(epoch.fence)) is None:
        now = yield Now()
        yield Write(epoch.fence, {"at": now})
    decision = yield from _direction(plan, epoch, answer)
    now = yield Now()
    # A try that Airflow believed to be dead may come here late, when another has decided and undos have begun.
    final = yield from _final(epoch)
    if final is not None:
        return final
    yield Write(epoch.decision, {"at": now, "direction": decision.direction, "why": decision.why})
    return decision


def _final(epoch: Epoch) -> Program[Decision | None]:
    earlier = yield Read(epoch.decision)
    if earlier is None or earlier["direction"] not in {"complete", "back"}:
        return None
    return Decision(earlier["direction"], earlier["why"])


def _direction(plan: Plan, epoch: Epoch, answer: Answer | None) -> Program[Decision]:
    missing = yield from _missing(plan, epoch)
    if not missing:
        return Decision("complete")
    said = yield from _reason(plan, epoch, missing)
    if plan.pivot is None:
        return Decision("back", said)
    if plan.pivot.name not in missing:
        return Decision("forward", said)
    try:
        pivot = yield from settle(plan.pivot, epoch, answer)
    except NeedsAttention as nobody:
        return Decision("nowhere", str(nobody))
    if not isinstance(pivot, Done):
        return Decision("back", said)
    missing.remove(plan.pivot.name)
    if not missing:
        return Decision("complete")
    said = yield from _reason(plan, epoch, missing)
    return Decision("forward", said)


def _reason(plan: Plan, epoch: Epoch, missing: list[str]) -> Program[str]:
    """Why the saga is not complete: what is known of the first step that is not done."""
    first = next(step for step in plan.steps if step.name in missing and not plan.before(step.name) & set(missing))
    known = yield from recorded(first, epoch)
    why = "" if isinstance(known, Done) else f": {known.why}"
    return f"{first.name} is not done{why}"


def _missing(plan: Plan, epoch: Epoch) -> Program[list[str]]:
    """The steps that are not known to be done, by their own word or by a person who marked them as succeeded."""
    missing = []
    for step in plan.steps:
        if (yield Read(epoch.of(step.name, "done"))) is not None:
            continue
        word = yield Read(epoch.of(step.name, "word"))
        if word is not None and word["happened"]:
            continue
        # Its task may have been cleared since, but steps behind it have gone on from there.
        if (yield Read(epoch.of(step.name, "marked"))) is None:
            missing.append(step.name)
    if not missing:
        return []
    succeeded = yield Marked()
    now = yield Now()
    for name in [name for name in missing if name in succeeded]:
        yield Write(epoch.of(name, "marked"), {"at": now})
        missing.remove(name)
    return missing
