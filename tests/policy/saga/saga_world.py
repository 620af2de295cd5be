"""All that may happen next in the world of a saga."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

from airgate.policy.saga.effects import (
    Answer,
    LookUp,
    Marked,
    Now,
    Question,
    Read,
    Send,
    Undo,
    Wait,
    Write,
)
from airgate.policy.saga.entries import BEGUN
from airgate.policy.saga.forward import pause
from tests.policy.saga import saga_service as service
from tests.policy.saga.saga_airflow import Airflow, Event
from tests.policy.saga.saga_claims import Claims
from tests.policy.saga.saga_notice import is_unseen, writes
from tests.policy.saga.saga_runs import Frozen
from tests.policy.saga.saga_scenario import KNOWN_SETTLES_IN, TICK, Scenario
from tests.policy.saga.saga_state import Process, State, Task

TIMES = (BEGUN, ".sent", ".first", ".marked", ".fence")
"""Entries whose time decides something. Elsewhere it is left out, which makes one of many worlds that are alike."""


class World:
    """One scenario's world: from a state, the events that may come next and the states they lead to.

    What no other process can notice happens at once: a process reads what nobody else may be writing before any other
    process does something. Of all orders that differ in nothing but that, one is enough.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.airflow = Airflow(scenario)
        self.claims = Claims(scenario)
        self._number = {name: index for index, name in enumerate(self.airflow.names)}

    def events(self, state: State) -> Iterator[Event]:
        """All events that may come next; none when all is over."""
        for process in state.processes:
            if process.run.effect is None:
                yield from self.airflow.ended(state, process)
                return
        for process in state.processes:
            if writes(process, ".decision"):  # it has looked for one a moment ago
                yield from self._advance(state, process)
                return
            if is_unseen(self.scenario.plan, state, process):
                if not (state.left.ghosts or state.left.operations or process.can_die):
                    yield self._unseen(state, process)
                    return
                yield from self._advance(state, process)
                yield from self._interventions(state)
                return
        if (name := self.airflow.startable(state)) is not None:
            yield f"{name} starts", self.airflow.launch(state, name)
            yield from self.airflow.operations(state)
            return
        yield from self._outside(state)
        for process in state.processes:
            yield from self._advance(state, process)
        yield from self._interventions(state)

    def may_end(self, state: State) -> bool:
        """Whether nothing more has to happen; a ghost may die whenever it likes, as nobody waits for it."""
        if state.flights or not all(process.ghost for process in state.processes):
            return False
        moving = {"running", "retry", "waiting"} | ({"asked"} if state.left.questions else set())
        at_rest = moving.isdisjoint(task.status for task in state.tasks.values())
        return at_rest and self.airflow.startable(state) is None

    def _unseen(self, state: State, process: Process) -> Event:
        """All at once that a process does next and nobody can tell when."""
        labels = []
        while is_unseen(self.scenario.plan, state, process):
            index = state.processes.index(process)
            ((label, state),) = self._advance(state, process)
            labels.append(label)
            if len(state.processes) <= index or state.processes[index].number != process.number:
                break  # it was a ghost, and has ended
            process = state.processes[index]
        return ", ".join(labels), state

    def _outside(self, state: State) -> Iterator[Event]:
        """What happens without a process: requests arrive, time passes, people answer."""
        for flight in dict.fromkeys(state.flights):
            rest = list(state.flights)
            rest.remove(flight)
            landed = state._replace(flights=tuple(rest))
            yield (
                f"late request of {flight.step} arrives",
                service.arrive(self.scenario, landed, flight.epoch, flight.step),
            )
        wakes = [task.until for task in state.tasks.values() if task.status == "waiting" and task.until > state.clock]
        if wakes and (later := _at(state, int(min(wakes)))) is not None:
            yield f"it is {later.clock}", later
        for name, task in state.tasks.items():
            if task.status == "asked":
                yield from self._answers(state, name, task)

    def _answers(self, state: State, name: str, task: Task) -> Iterator[Event]:
        matter, step = task.asks.split(":")
        left = state.spend("questions")
        if left is None:
            return
        epoch = state.journal[BEGUN]["epoch"]
        if matter == "happened":
            happened = state.held(epoch, step).effects > 0
            truth: Any = "yes" if happened else "no"
            yield f"a person says of {step}: {truth}", self.airflow.launch(left, name, Answer("happened", truth))
        else:
            by_hand = service.undone(left, epoch, step, cancels=False)
            yield f"a person undoes {step}", self.airflow.launch(by_hand, name, Answer("undo", "yes"))
            yield f"a person lets {step} be undone again", self.airflow.launch(left, name, Answer("undo", "again"))
        leave = Answer(cast("Any", matter), "leave")
        yield f"a person leaves {step} as it is", self.airflow.launch(left, name, leave)

    def _interventions(self, state: State) -> Iterator[Event]:
        """What may befall running processes, and what a person may do."""
        for process in state.processes:
            if process.ghost:
                continue
            if process.can_die and (left := state.spend("crashes")) is not None:
                yield f"{process.task} dies", self.airflow.lost(left, process)
            if self._may_haunt(process) and (left := state.spend("ghosts")) is not None:
                yield f"{process.task} is believed dead", self.airflow.given_up(left, process)
        yield from self.airflow.operations(state)
        if (left := state.spend("ticks")) is not None and (later := _at(left, state.clock + TICK)) is not None:
            yield f"it is {later.clock}", later

    def _may_haunt(self, process: Process) -> bool:
        return process.task in (self.scenario.ghosts_of or self.airflow.steps)

    def _advance(self, state: State, process: Process) -> Iterator[Event]:
        """What may come of a process's next effect."""
        effect = process.run.effect
        about = f"{'ghost of ' if process.ghost else ''}{process.task}"
        match effect:
            case Now():
                yield f"{about}: now", _told(state, process, self._now(state, process), can_die=False)
            case Read(name):
                entry = state.journal.get(name)
                if name == BEGUN and entry is not None:
                    state, process = _replaced(state, process, process._replace(epoch=entry["epoch"]))
                yield f"{about} reads {name}", _told(state, process, entry, can_die=False)
            case Write(name, entry):
                yield f"{about} writes {name} {dict(entry)}", self._written(state, process, name, Frozen(entry))
            case Marked():
                done = frozenset(each for each in self.airflow.steps if state.status(each) == "success")
                yield f"{about}: {sorted(done)} succeeded", _told(state, process, done, can_die=False)
            case Send():
                yield from self._sent(state, process, effect, about)
            case LookUp(step, epoch):
                found = service.look_up(state, epoch, step)
                yield f"{about} looks up {step}: {found}", _told(state, process, found, can_die=False)
            case Undo():
                self.claims.may_undo(state, process, effect)
                for outcome in service.undo(self.scenario, state, effect):
                    yield f"{about}: {outcome.label}", _told(outcome.state, process, outcome.answer)
            case Wait(until):
                yield (
                    f"{about} waits",
                    self.airflow.parked(
                        state,
                        process,
                        Task("waiting", until=math.ceil(until), resumed=process.task in self.airflow.steps),
                    ),
                )
            case Question(step, _, matter):
                if state.left.questions:
                    asked = Task("asked", asks=f"{matter}:{step}")
                    yield f"{about} asks a person", self.airflow.parked(state, process, asked)
                else:
                    yield f"{about} has nobody to ask", _told(state, process, None, can_die=False)

    def _written(self, state: State, process: Process, name: str, entry: Frozen) -> State:
        self.claims.may_write(state, process, name, entry)
        if not name.endswith(TIMES):
            entry = entry.with_("at", None)
        after = state._replace(journal=state.journal.with_(name, entry))
        if name.endswith(".sent"):
            fenced = f"{process.epoch}.fence" in state.journal
            sends = process._replace(may_send_until=entry["settles_at"], fenced=fenced)
            after, process = _replaced(after, process, sends)
        return _told(after, process, None)

    def _sent(self, state: State, process: Process, effect: Send, about: str) -> Iterator[Event]:
        self.claims.may_send(state, process)
        if state.clock > process.may_send_until:
            yield f"{about} has died before it sent", self.airflow.lost(state, process)
            return
        for outcome in service.send(self.scenario, state, process, effect):
            if outcome.then == "dies":
                after = self.airflow.lost(outcome.state, process)
            elif outcome.then == "waits":
                after = self.airflow.parked(outcome.state, process, Task("waiting", resumed=True))
                after = after._replace(journal=self._paused(after, process, effect))
            else:
                after = _told(outcome.state, process, outcome.answer)
            self.claims.holds(after)
            yield f"{about}: {outcome.label}", after

    def _paused(self, state: State, process: Process, effect: Send) -> Frozen:
        """The journal after a try has given its worker back."""
        step, repeatable = process.task, process.task not in self.scenario.keyless
        program = pause(step, effect.epoch, effect.at, KNOWN_SETTLES_IN, repeatable=repeatable)
        journal, now = state.journal, self._now(state, process)
        try:
            wanted = next(program)
            while True:
                if isinstance(wanted, Write):
                    journal = journal.with_(wanted.name, Frozen({**wanted.entry, "at": None}))
                wanted = program.send(now if isinstance(wanted, Now) else None)
        except StopIteration:
            return journal

    def _now(self, state: State, process: Process) -> float:
        """The time, as no other process has ever read it."""
        return state.clock + (self._number[process.task] * 100 + process.number) / 10_000


def _replaced(state: State, process: Process, by: Process) -> tuple[State, Process]:
    processes = tuple(by if each is process else each for each in state.processes)
    return state._replace(processes=processes), by


def _told(state: State, process: Process, answer: Any, *, can_die: bool = True) -> State:
    """The world after a process has heard what came of its effect."""
    after = process.told(answer, can_die=can_die)
    if after.ghost and after.run.effect is None:
        return state._replace(processes=tuple(each for each in state.processes if each is not process))
    return _replaced(state, process, after)[0]


def _at(state: State, clock: int) -> State | None:
    """The world at a later time; None while a request has to arrive before, or the fence has to be put up."""
    if any(flight.arrives_by < clock for flight in state.flights):
        return None
    if any(writes(process, ".fence") for process in state.processes):
        return None
    return state._replace(clock=clock)
