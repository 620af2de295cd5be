"""The services behind a saga: what a request, an undo or a look-up may come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from airgate.policy.errors import OutcomeUnknown, Rejected, Unavailable
from airgate.policy.saga.effects import Done, Refused, Send, Undo, Unknown
from tests.policy.saga.saga_scenario import KNOWN_SETTLES_IN, Scenario
from tests.policy.saga.saga_state import NOTHING, Flight, Held, Process, State

REFUSED = Refused(Rejected("no"))
LOST = Unknown(OutcomeUnknown("no answer"), KNOWN_SETTLES_IN)
LOST_FOR_LONG = Unknown(OutcomeUnknown("no answer"))
UNDO_FAILED = Unknown(Unavailable("no undo today"))

Then = Literal["hears", "dies", "waits"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request came to."""

    label: str
    state: State
    answer: Done | Refused | Unknown | None = None
    then: Then = "hears"
    """What becomes of the process: it hears the answer, it dies, or it leaves the worker for a long wait."""


def arrive(scenario: Scenario, state: State, epoch: int, step: str) -> State:
    """The world after a request of a step has reached its service."""
    held = state.held(epoch, step)
    if step in scenario.keyless:
        return state.with_held(epoch, step, held._replace(effects=held.effects + 1))
    return state.with_held(epoch, step, held._replace(effects=1)) if held == NOTHING else state


def send(scenario: Scenario, state: State, process: Process, effect: Send) -> Iterator[Outcome]:
    """All that a request of a step may come to."""
    step, epoch = process.task, effect.epoch
    held = state.held(epoch, step)
    if held.cancelled:
        yield Outcome("the service refuses a cancelled key", state, REFUSED)
        return
    arrived = arrive(scenario, state, epoch, step)
    yield Outcome("done", arrived, Done(f"{step} {epoch}"))
    fresh = step in scenario.keyless or held == NOTHING
    late = _late(state, epoch, step, int(process.may_send_until)) if fresh else None
    if late is not None and (dead := _dead(late, process)) is not None:
        yield Outcome("the process dies, the request is late", dead, then="dies")
    if state.spend("troubles") is None:
        return
    yield Outcome("refused", _troubled(state), REFUSED)
    yield Outcome("waits for long before it asks again", _troubled(state), then="waits")
    yield Outcome("done, the answer is lost", _troubled(arrived), LOST)
    if fresh:
        yield Outcome("the request is lost", _troubled(state), LOST)
        soon = min(int(process.may_send_until), state.clock + KNOWN_SETTLES_IN)
        yield Outcome("the request is late", _troubled(_late(state, epoch, step, soon)), LOST)
        if late is not None:
            yield Outcome("the request is very late", _troubled(late), LOST_FOR_LONG)
    if step in scenario.keyless:
        return
    yield Outcome("done, the answer is lost, then waits for long", _troubled(arrived), then="waits")
    if fresh:
        yield Outcome(
            "the request is late, then waits for long", _troubled(_late(state, epoch, step, soon)), then="waits"
        )


def _troubled(state: State) -> State:
    left = state.spend("troubles")
    assert left is not None
    return left


def _late(state: State, epoch: int, step: str, arrives_by: int) -> State:
    return state._replace(flights=tuple(sorted((*state.flights, Flight(arrives_by, epoch, step)))))


def _dead(state: State, process: Process) -> State | None:
    """A ghost may die whenever it likes, as nobody waits for it."""
    return state if process.ghost else state.spend("crashes")


def undo(scenario: Scenario, state: State, effect: Undo) -> Iterator[Outcome]:
    """All that an undo may come to."""
    step, epoch = effect.step, effect.epoch
    after = undone(state, epoch, step, cancels=scenario.plan[step].tombstone)
    yield Outcome("undone", after, Done(f"undid {step}"))
    for label, each in (("undone, the answer is lost", after), ("not undone", state)):
        if (left := each.spend("undo_troubles")) is not None:
            yield Outcome(label, left, UNDO_FAILED)


def undone(state: State, epoch: int, step: str, *, cancels: bool) -> State:
    """The world after an effect was undone, if it was there."""
    held = state.held(epoch, step)
    was_there = held.effects > 0
    return state.with_held(
        epoch, step, Held(max(0, held.effects - 1), held.undone or was_there, held.cancelled or cancels)
    )


def look_up(state: State, epoch: int, step: str) -> Done | None:
    """What the service says of a step."""
    return Done(f"{step} {epoch}") if state.held(epoch, step).effects else None
