"""Airflow around a saga: which task may run, and what becomes of it when its process ends or a person interferes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import NoneType
from typing import Any

from airgate.policy.errors import GatewayError, NeedsAttention, SagaClosed
from airgate.policy.saga import beginning, deciding, forward, undoing, verdict
from airgate.policy.saga.effects import Answer, NothingToUndo, Program
from airgate.policy.saga.entries import BEGUN
from tests.policy.saga.saga_runs import Frozen, Run
from tests.policy.saga.saga_scenario import SETTLES_IN, Scenario
from tests.policy.saga.saga_state import ENDED, Process, Seen, State, Task

Event = tuple[str, State]


class Airflow:
    """The tasks of one saga."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.plan = scenario.plan
        self.steps = [step.name for step in self.plan.steps]
        self.undos = {step.name: f"undo_{step.name}" for step in self.plan.undoable}
        self.names = ["begin", *self.steps, "decide", *self.undos.values(), "verdict"]
        self._runs: dict[object, Run] = {}

    def fresh(self, name: str) -> Task:
        """A task that has not run."""
        is_step = name in self.steps
        return Task(tries_left=self.scenario.tries if is_step else self.scenario.own_tries)

    def first(self) -> State:
        """The world before anything has happened."""
        tasks = Frozen({name: self.fresh(name) for name in self.names})
        none = Frozen()
        return State(0, none, none, (), tasks, (), False, frozenset(), None, self.scenario.budget)

    def run_of(self, name: str, *, resumed: bool = False, answer: Answer | None = None) -> Run:
        """A task's program at its beginning."""
        about = (name, resumed, answer)
        if about not in self._runs:
            self._runs[about] = Run(self._program(name, resumed, answer))
        return self._runs[about]

    def _program(self, name: str, resumed: bool, answer: Answer | None) -> Callable[[], Program[Any]]:
        plan = self.plan
        if name == "begin":
            return partial(beginning.begin, self.scenario.deadline)
        if name == "decide":
            return partial(deciding.decide, plan, answer)
        if name == "verdict":
            return partial(verdict.verdict, plan, lambda step, epoch: f"{step}-{epoch}")
        if name in self.steps:
            repeatable = name not in self.scenario.keyless
            return partial(forward.forward, plan, name, SETTLES_IN, resumed=resumed, repeatable=repeatable)
        return partial(undoing.undo, plan, name.removeprefix("undo_"), answer)

    def startable(self, state: State) -> str | None:
        """A task that the scheduler would start now."""
        for name in self.names:
            task: Task = state.tasks[name]
            due = task.status == "retry" or (task.status == "waiting" and task.until <= state.clock)
            if due or (task.status == "none" and self._is_ready(state, name)):
                return name
        return None

    def _is_ready(self, state: State, name: str) -> bool:
        if name == "begin":
            return not state.failed
        if name in self.steps:
            before = ["begin", *self.plan[name].after]
            return not state.failed and all(state.status(each) == "success" for each in before)
        if name == "decide":
            return state.status("begin") == "success" and self.steps_are_over(state)
        if name == "verdict":
            before = ["begin", "decide", *self.undos.values()]
        else:
            first = self.plan.undone_first(name.removeprefix("undo_"))
            before = ["decide", *(self.undos[each] for each in first)]
        return all(state.status(each) in ENDED for each in before)

    def steps_are_over(self, state: State) -> bool:
        """Whether no step runs or ever will."""
        return not any(
            state.status(step) in {"running", "retry", "waiting"}
            or (state.status(step) == "none" and self._is_ready(state, step))
            for step in self.steps
        )

    def launch(self, state: State, name: str, answer: Answer | None = None) -> State:
        """Start a task's process."""
        task: Task = state.tasks[name]
        goes_on = task.status in {"waiting", "asked"}
        number = task.launches + 1
        run = self.run_of(name, resumed=goes_on and task.resumed, answer=answer)
        started = Task("running", task.tries_left - (not goes_on), number)
        process = Process(name, number, run)
        return state.with_task(name, started)._replace(processes=tuple(sorted((*state.processes, process), key=_order)))

    def without(self, state: State, process: Process) -> State:
        """The world without a process."""
        return state._replace(processes=tuple(each for each in state.processes if each is not process))

    def parked(self, state: State, process: Process, task: Task) -> State:
        """The world after a process has ended because its task waits without one."""
        gone = self.without(state, process)
        if process.ghost:
            return gone
        now: Task = state.tasks[process.task]
        return gone.with_task(process.task, task._replace(tries_left=now.tries_left, launches=now.launches))

    def lost(self, state: State, process: Process) -> State:
        """The world after Airflow has noticed that a process is dead."""
        gone = self.without(state, process)
        return gone if process.ghost else self._tried(gone, process.task)

    def _tried(self, state: State, name: str) -> State:
        task: Task = state.tasks[name]
        return (
            self._failed(state, name) if task.tries_left <= 0 else state.with_task(name, task._replace(status="retry"))
        )

    def _failed(self, state: State, name: str) -> State:
        state = state.with_task(name, state.tasks[name]._replace(status="failed"))
        return self._skip(state, ["decide", *self.undos.values()]) if name == "begin" else state

    def _skip(self, state: State, names: Iterable[str]) -> State:
        for name in names:
            state = state.with_task(name, state.tasks[name]._replace(status="skipped"))
        return state

    def ended(self, state: State, process: Process) -> Iterator[Event]:
        """What may become of a task whose program has ended."""
        gone, name, error = self.without(state, process), process.task, process.run.raised
        if not isinstance(error, GatewayError | NothingToUndo | NoneType):
            raise error
        if process.ghost:
            yield f"ghost of {name} ends", gone
        elif error is None or isinstance(error, NothingToUndo):
            yield f"{name} ends", self._succeeded(gone, name, process.run.returned)
        else:
            yield f"{name} fails: {error}", self._failed(gone, name)
            if state.tasks[name].tries_left and not isinstance(error, SagaClosed | NeedsAttention):
                yield f"{name} will be tried again: {error}", self._tried(gone, name)

    def _succeeded(self, state: State, name: str, returned: Any) -> State:
        state = state.with_task(name, state.tasks[name]._replace(status="success"))
        if name == "decide" and returned.direction in {"complete", "forward"}:
            state = self._skip(state, self.undos.values())
        if name == "verdict":
            state = state._replace(seen=seen_of(returned))
        return state

    def operations(self, state: State) -> Iterator[Event]:
        """What a person may do now."""
        left = state.spend("operations")
        if left is None:
            return
        wanted = self.scenario.operations
        if state.status("verdict") in ENDED:
            for label, names in self._clearable():
                if label.split()[0] in wanted:
                    yield label, self._cleared(left, names)
            return
        if "fail" in wanted and not state.failed and state.status("decide") in {"none", "skipped"}:
            yield "mark the run as failed", self._marked_failed(left)
        for step in self.steps:
            moves = state.status(step) in {"running", "retry", "waiting"}
            if moves and "succeed" in wanted:
                yield f"mark {step} as succeeded", self._marked_succeeded(left, step)
            if (moves or state.status(step) == "none") and not state.failed:
                yield from self._ended_by_hand(left, step)

    def _clearable(self) -> Iterator[tuple[str, list[str]]]:
        ends = ["decide", *self.undos.values(), "verdict"]
        yield "clear-begin", self.names
        yield "clear-decide", ends
        for step in self.steps:
            behind = [each for each in self.steps if step in self.plan.before(each)]
            yield f"clear-step {step}", [step, *behind, *ends]
        for step, name in self.undos.items():
            before = [self.undos[each] for each in self.plan.before(step) if each in self.undos]
            yield f"clear-undo {step}", [name, *before, "verdict"]

    def _cleared(self, state: State, names: list[str]) -> State:
        for name in names:
            state = state.with_task(name, self.fresh(name)._replace(launches=state.tasks[name].launches))
        return state._replace(failed=False, seen=None)

    def _marked_failed(self, state: State) -> State:
        for name in ["begin", *self.steps]:
            if state.status(name) == "running":
                state = self._failed(self.haunted(state, name), name)
            elif state.status(name) not in ENDED:
                state = self._skip(state, [name])
        if state.status("begin") != "success":
            state = self._skip(state, ["decide", *self.undos.values()])
        return state._replace(failed=True)

    def _marked_succeeded(self, state: State, step: str) -> State:
        state = self.haunted(state, step)
        task = state.tasks[step]._replace(status="success")
        marked = (state.journal[BEGUN]["epoch"], step)
        return state.with_task(step, task)._replace(by_hand=state.by_hand | {marked})

    def _ended_by_hand(self, state: State, step: str) -> Iterator[Event]:
        """A person ends one step, or sees to it that it never starts; the run goes on."""
        haunted = self.haunted(state, step)
        if "fail-step" in self.scenario.operations:
            yield f"mark {step} as failed", self._failed(haunted, step)
        if "skip-step" in self.scenario.operations:
            yield f"mark {step} as skipped", self._skip(haunted, [step])

    def haunted(self, state: State, name: str) -> State:
        """The world after Airflow has given up a task's process, which goes on for a while."""
        given_up = (each._replace(ghost=True) if each.task == name else each for each in state.processes)
        return state._replace(processes=tuple(given_up))

    def given_up(self, state: State, process: Process) -> State:
        """The world after Airflow has believed a living process to be dead."""
        return self._tried(self.haunted(state, process.task), process.task)


def seen_of(view: verdict.View) -> Seen:
    """What is compared of a view."""
    return Seen(view.state, view.epoch, Frozen({step.name: step.state for step in view.steps}))


def _order(process: Process) -> tuple[str, int]:
    return process.task, process.number
