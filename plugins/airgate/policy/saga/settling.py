"""What became of a step: by its own entries, by the service's word, or by a person's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.effects import Answer, Done, LookUp, Now, Program, Question, Read, Wait, Write
from airgate.policy.saga.entries import Epoch
from airgate.policy.saga.plan import Step


@dataclass(frozen=True, slots=True)
class Absent:
    """The step has no effect, and will have none."""

    why: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Its entries do not say what became of it."""

    settles_at: float
    """Unix time at which nothing of it can arrive any more."""
    why: str


def recorded(step: Step, epoch: Epoch) -> Program[Done | Absent | Doubtful]:
    """What the entries say of a step, once the fence is up."""
    done = yield Read(epoch.of(step.name, "done"))
    if done is not None:
        return Done(done["result"])
    word = yield Read(epoch.of(step.name, "word"))
    if word is not None:
        by = f" ({word['by']})" if word["by"] else ""
        return Done() if word["happened"] else Absent(f"a person said that it did not happen{by}")
    sent = yield Read(epoch.of(step.name, "sent"))
    if sent is None:
        marked = yield Read(epoch.of(step.name, "marked"))
        if marked is not None:
            return Doubtful(marked["at"], "it was marked as succeeded by hand")
        return Absent("it was never sent")
    if (yield Read(epoch.of(step.name, "again"))) is not None:
        return Doubtful((yield from _all_settle_at(sent, epoch)), "it was sent more than once")
    refused = yield Read(epoch.of(step.name, "refused"))
    if refused is not None and refused["of"] == sent["at"]:
        return Absent(f"it was refused: {refused['why']}")
    lost = yield Read(epoch.of(step.name, "lost"))
    if lost is not None and lost["of"] == sent["at"]:
        return Doubtful(lost["settles_at"], lost["why"])
    first = yield Read(epoch.of(step.name, "first"))
    is_sole = first is not None and first["at"] == sent["at"]
    settles_at = sent["settles_at"] if is_sole else (yield from _all_settle_at(sent, epoch))
    return Doubtful(settles_at, "it was sent, and what came of it was not recorded")


def _all_settle_at(sent: Any, epoch: Epoch) -> Program[float]:
    """When nothing of any try can arrive any more.

    A try that was slow to write may hide what a later one wrote, but none that read the clock behind the fence has
    sent anything.
    """
    fence = yield Read(epoch.fence)
    settles_at: float = sent["settles_at"]
    return settles_at if fence is None else max(settles_at, fence["at"] + (settles_at - sent["at"]))


def settle(step: Step, epoch: Epoch, answer: Answer | None = None) -> Program[Done | Absent]:
    """Find out what became of a step, once the fence is up.

    Args:
        step: The step.
        epoch: Its epoch.
        answer: What a person said when this was asked before.

    Raises:
        NeedsAttention: Nobody knows.
    """
    known = yield from recorded(step, epoch)
    if not isinstance(known, Doubtful):
        return known
    now = yield Now()
    if known.settles_at > now:
        # What a service or a person says before is no answer: a request may still arrive.
        yield Wait(known.settles_at)
    if not step.lookup:
        return (yield from _asked(step, epoch, known, answer))
    found: Any = yield LookUp(step.name, epoch.number)
    if found is None:
        return Absent(f"{known.why}; the service was asked and does not know it")
    now = yield Now()
    yield Write(epoch.of(step.name, "done"), {"at": now, "result": found.result, "by": "look-up"})
    return Done(found.result)


def _asked(step: Step, epoch: Epoch, known: Doubtful, answer: Answer | None) -> Program[Done | Absent]:
    if answer is None or answer.matter != "happened":
        answer = yield Question(step.name, epoch.number, "happened", known.why)
    if answer is None or answer.choice not in {"yes", "no"}:
        raise NeedsAttention(
            f"step {step.name!r}: {known.why}, it has no look-up, and no person has said whether it happened"
        )
    now = yield Now()
    yield Write(epoch.of(step.name, "word"), {"at": now, "happened": answer.choice == "yes", "by": answer.by})
    return Done() if answer.choice == "yes" else Absent("a person said that it did not happen")
