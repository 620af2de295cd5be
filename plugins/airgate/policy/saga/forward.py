"""The program of a step: its intent is written before anything is sent, what came of it after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.policy.errors import OutcomeUnknown, SagaClosed
from airgate.policy.saga.effects import Done, Now, Program, Read, Refused, Send, Unknown, Write
from airgate.policy.saga.entries import Epoch, current_epoch
from airgate.policy.saga.plan import Plan, Step
from airgate.policy.saga.settling import Doubtful, recorded, settle


@dataclass(frozen=True, slots=True)
class Started:
    """A step that may be sent."""

    epoch: Epoch
    name: str
    at: float
    """What tells this try's entries from those of others."""
    again: bool
    """Whether an earlier try has sent it, or the same one before a wait."""


def start(
    plan: Plan, name: str, settles_in: float, *, resumed: bool = False, repeatable: bool = True, by: str = ""
) -> Program[Started | Done]:
    """Get the word that a step may be sent, or what an earlier try did.

    Here a step and ``decide`` exclude each other: this one writes that it will send and then looks for the fence, that
    one puts up the fence and then looks for this. Whatever the order, at least one of them sees the other, so a step
    that has no entry ``sent`` behind the fence was never sent and never will be.

    Args:
        plan: The saga's.
        name: The step's.
        settles_in: Seconds until nothing that this try sends can arrive any more.
        resumed: Whether the same try goes on after a wait that it spent outside of the worker.
        repeatable: Whether sending it twice does no harm, as the service honours its key. Otherwise it is sent a second
            time only after a look-up, once nothing of the first time can arrive any more.
        by: What tells this try from others when it goes on after a wait, see ``going_on``; empty where nothing does.

    Raises:
        SagaClosed: The saga goes no further forward.
        OutcomeUnknown: It may have been sent before, and the service can neither be asked nor know it again.
    """
    epoch = yield from current_epoch()
    done = yield Read(epoch.of(name, "done"))
    if done is not None:
        return Done(done["result"])
    word = yield Read(epoch.of(name, "word"))
    if word is not None and word["happened"]:
        return Done()
    fenced = not plan.is_behind_pivot(name)
    now = yield Now()
    yield from _check_open(name, epoch, fenced=fenced)
    if fenced and epoch.deadline is not None and now >= epoch.deadline:
        raise SagaClosed(f"step {name!r} was not sent: the saga's deadline has passed")
    if not repeatable:
        found = yield from _sent_before(plan[name], epoch)
        if found is not None:
            return found
        now = yield Now()
    earlier = yield Read(epoch.of(name, "sent"))
    first_at = now if earlier is None else earlier["first_at"]
    sent = {"at": now, "first_at": first_at, "settles_at": now + settles_in, "by": by}
    yield Write(epoch.of(name, "sent"), sent)
    # What is repeatable may have been sent before a wait.
    other = (repeatable or not resumed) if earlier is not None else not (yield from _is_first(name, epoch, now))
    if other:
        yield Write(epoch.of(name, "again"), {"at": now})
    yield from _check_open(name, epoch, fenced=fenced)
    return Started(epoch, name, now, other or earlier is not None)


def going_on(name: str, settles_in: float, by: str) -> Program[Started | Done | None]:
    """Find what a try began before it gave its worker back.

    Args:
        name: The step's.
        settles_in: Seconds until nothing that it sends from now on can arrive any more.
        by: What it gave to ``start``.

    Returns:
        None when it has not begun, whatever tries before it have done.
    """
    epoch = yield from current_epoch()
    done = yield Read(epoch.of(name, "done"))
    if done is not None:
        return Done(done["result"])
    sent = yield Read(epoch.of(name, "sent"))
    if sent is None or sent["by"] != by:
        return None
    now = yield Now()
    why = "it went on after a wait, and what came of it was not recorded"
    lost = {"at": now, "of": sent["at"], "settles_at": now + settles_in, "why": why}
    yield Write(epoch.of(name, "lost"), lost)
    return Started(epoch, name, sent["at"], again=True)


def _is_first(name: str, epoch: Epoch, at: float) -> Program[bool]:
    """Whether this try is the only one that may say so; it has written ``sent`` by now.

    Two tries may run at once and both have found nothing sent, but only one of them is told that it is the first: the
    fast path of Lamport's mutual exclusion. What a sole try says of itself holds for the step.
    """
    if (yield Read(epoch.of(name, "first"))) is not None:
        return False
    yield Write(epoch.of(name, "first"), {"at": at})
    sent = yield Read(epoch.of(name, "sent"))
    return bool(sent["at"] == at)


def _sent_before(step: Step, epoch: Epoch) -> Program[Done | None]:
    """What an earlier try did that no service would know again; None when it did nothing."""
    known = yield from recorded(step, epoch)
    if not isinstance(known, Doubtful):
        return None
    if not step.lookup:
        raise OutcomeUnknown(f"step {step.name!r} is not sent again: {known.why}, and it has neither key nor look-up")
    found = yield from settle(step, epoch)
    return found if isinstance(found, Done) else None


def _check_open(name: str, epoch: Epoch, *, fenced: bool) -> Program[None]:
    if fenced and (yield Read(epoch.fence)) is None:
        return
    decision = yield Read(epoch.decision)
    if not fenced and (decision is None or decision["direction"] != "back"):
        return
    way = "is ended" if decision is None else f"went {decision['direction']}"
    raise SagaClosed(
        f"step {name!r} was not sent: this saga {way}, and goes no further forward. To do it all anew clear `begin` "
        "with all downstream once `verdict` says compensated, or start another run"
    )


def finish(started: Started, outcome: Done | Refused | Unknown) -> Program[Any]:
    """Write what came of a step; gives its result.

    Raises:
        Exception: What the step failed with.
    """
    epoch, name = started.epoch, started.name
    now = yield Now()
    if isinstance(outcome, Done):
        yield Write(epoch.of(name, "done"), {"at": now, "result": outcome.result})
        return outcome.result
    if isinstance(outcome, Refused):
        yield Write(epoch.of(name, "refused"), {"at": now, "of": started.at, "why": str(outcome.error)})
    elif outcome.settles_in is not None:
        settled = {"at": now, "of": started.at, "settles_at": now + outcome.settles_in, "why": str(outcome.error)}
        yield Write(epoch.of(name, "lost"), settled)
    raise outcome.error


def pause(name: str, epoch: int, at: float, settles_in: float, *, repeatable: bool) -> Program[None]:
    """Write that a try gives its worker back for a while, as the service has put it off.

    Args:
        name: The step's.
        epoch: Number of its epoch.
        at: What ``Send`` said of the try.
        settles_in: Seconds until nothing that it has sent by now can arrive any more.
        repeatable: Whether it may have been sent before it was put off. What is not repeatable is not sent again after
            a doubt, so if that waits, it provably has not happened.
    """
    now = yield Now()
    put_off = {"at": now, "of": at, "why": "the service has put it off"}
    if repeatable:
        yield Write(Epoch(epoch, 0.0).of(name, "lost"), {**put_off, "settles_at": now + settles_in})
    else:
        yield Write(Epoch(epoch, 0.0).of(name, "refused"), put_off)


def forward(
    plan: Plan, name: str, settles_in: float, *, resumed: bool = False, repeatable: bool = True
) -> Program[Any]:
    """Do a step; gives its result. The arguments and errors are those of ``start`` and ``finish``."""
    started = yield from start(plan, name, settles_in, resumed=resumed, repeatable=repeatable)
    if isinstance(started, Done):
        return started.result
    outcome = yield Send(started.epoch.number, started.at, started.again)
    return (yield from finish(started, outcome))
