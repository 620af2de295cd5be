"""What has to be true of every history of a saga."""

from __future__ import annotations

from collections.abc import Iterator

from airgate.policy.saga.beginning import OVER
from airgate.policy.saga.effects import Undo
from airgate.policy.saga.entries import BEGUN
from airgate.policy.saga.verdict import View, verdict
from tests.policy.saga.saga_airflow import seen_of
from tests.policy.saga.saga_journal import run
from tests.policy.saga.saga_runs import Frozen
from tests.policy.saga.saga_scenario import SETTLES_IN, Scenario
from tests.policy.saga.saga_state import Process, Seen, State

LEFT = frozenset({"in doubt", "undo failed"})
GONE = frozenset({"undone", "undone by hand", "nothing to undo", "not sent", "refused"})


class BrokenError(AssertionError):
    """A history that must not be."""


class Claims:
    """Checks the worlds of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.plan = scenario.plan
        self.names = [step.name for step in self.plan.steps]

    def may_send(self, state: State, process: Process) -> None:
        """No step that stands before the pivot, or is it, announces behind the fence or the deadline what it sends."""
        if self.plan.is_behind_pivot(process.task):
            return
        if process.fenced:
            raise BrokenError(f"{process.task} is sent behind the fence")
        deadline = state.journal[BEGUN]["deadline"]
        if deadline is not None and process.may_send_until - SETTLES_IN >= deadline:
            raise BrokenError(f"{process.task} is sent behind the deadline")

    def may_undo(self, state: State, process: Process, effect: Undo) -> None:
        """Nothing is undone when the pivot has happened, on a guess, or before its turn."""
        step, epoch = effect.step, effect.epoch
        for earlier in self.plan.undone_first(step) if self.plan.halt_on_failed_undo else ():
            if f"{epoch}.{earlier}.undone" not in state.journal:
                raise BrokenError(f"{step} is undone before {earlier}")
        pivot = self.plan.pivot
        if pivot is not None and self._is_there(state, epoch, pivot.name):
            raise BrokenError(f"{step} is undone although {pivot.name} has happened")
        held = state.held(epoch, step)
        if not self.plan[step].tombstone and not held.effects and not held.undone:
            raise BrokenError(f"{step} is undone, and it never happened")
        late = any((each.epoch, each.step) == (epoch, step) for each in state.flights)
        if step in self.scenario.keyless and late:
            raise BrokenError(f"{step} is undone while a request of it may still arrive")

    def may_write(self, state: State, process: Process, name: str, entry: Frozen) -> None:
        """A final decision stays, and an epoch begins when the one before is over."""
        earlier = state.journal.get(name)
        if earlier is None:
            return
        was_final = name.endswith(".decision") and earlier["direction"] in {"complete", "back"}
        if was_final and entry["direction"] != earlier["direction"]:
            raise BrokenError(f"the decision {earlier['direction']} becomes {entry['direction']}")
        if name == BEGUN and entry["epoch"] != earlier["epoch"]:
            ended = state.journal.get(f"{earlier['epoch']}.verdict")
            if ended is None or ended["state"] not in OVER:
                raise BrokenError(f"epoch {entry['epoch']} begins, and the one before is not over")

    def holds(self, state: State) -> None:
        """Nothing has happened twice."""
        for (epoch, step), held in state.ledger.items():
            if held.effects > 1:
                raise BrokenError(f"{step} has happened {held.effects} times in epoch {epoch}")

    def at_end(self, state: State) -> str:
        """Nothing will happen any more: what ``verdict`` said is so; gives it."""
        self.holds(state)
        again = judge(self.scenario, state)
        if state.seen is None:
            state = state._replace(seen=seen_of(again))  # `verdict` has died too often
        assert state.seen is not None
        if seen_of(again) != seen_of(judge(self.scenario, state)):
            raise BrokenError("the verdict is not the same when it is asked for again")
        # What was in doubt may be known by now, but what was final stays, unless another epoch has begun.
        if state.seen.state in OVER and again.state != state.seen.state and again.epoch == state.seen.epoch:
            raise BrokenError(f"the verdict was {state.seen.state}, and now it is {again.state}")
        self._epochs_before(state, state.seen)
        self._ended(state, state.seen.epoch, state.seen.state)
        for problem in self._steps(state, seen_of(again)) if again.epoch == state.seen.epoch else ():
            raise BrokenError(problem)
        if state.seen.state == "needs-attention":
            self._has_cause(state, state.seen)
        return state.seen.state

    def _epochs_before(self, state: State, seen: Seen) -> None:
        for epoch in range(1, seen.epoch):
            ended = state.journal.get(f"{epoch}.verdict")
            if ended is None or ended["state"] not in OVER:
                raise BrokenError(f"epoch {epoch} never ended")
            self._ended(state, epoch, ended["state"])

    def _ended(self, state: State, epoch: int, ended: str) -> None:
        """An epoch that ended well has left what it should."""
        for step in self.plan.steps:
            there = self._is_there(state, epoch, step.name)
            if ended == "completed" and not there and (epoch, step.name) not in state.by_hand:
                raise BrokenError(f"completed, and {step.name} has not happened in epoch {epoch}")
            if ended == "compensated" and there and step.undo is not False:
                raise BrokenError(f"compensated, and {step.name} is left of epoch {epoch}")

    def _steps(self, state: State, seen: Seen) -> Iterator[str]:
        """What the verdict says of a step that is not so."""
        for step in self.plan.steps:
            said = seen.steps[step.name]
            there = self._is_there(state, seen.epoch, step.name)
            if said == "done" and not there and (seen.epoch, step.name) not in state.by_hand:
                yield f"{step.name} is said to be done, and has not happened"
            if said in GONE and there and step.undo is not False:
                yield f"{step.name} is said to be {said}, and it is there"

    def _has_cause(self, state: State, seen: Seen) -> None:
        """A person is not called for nothing."""
        decision = state.journal.get(f"{seen.epoch}.decision")
        if decision is None:
            if state.status("decide") == "success":
                raise BrokenError("needs attention, as nothing was decided, but `decide` has succeeded")
            return
        if decision["direction"] == "back":
            failed = {step.name for step in self.plan.undoable if state.status(f"undo_{step.name}") != "success"}
            if extra := {name for name, said in seen.steps.items() if said in LEFT} - failed:
                raise BrokenError(f"needs attention for {sorted(extra)}, whose undo has succeeded")
        if decision["direction"] == "nowhere" and (self.plan.pivot is None or self.plan.pivot.lookup):
            raise BrokenError("needs attention, and the service could have been asked")

    def _is_there(self, state: State, epoch: int, step: str) -> bool:
        return state.held(epoch, step).effects > 0


def judge(scenario: Scenario, state: State) -> View:
    """What ``verdict`` would say now."""
    return run(verdict(scenario.plan, lambda step, epoch: f"{step}-{epoch}"), dict(state.journal))
