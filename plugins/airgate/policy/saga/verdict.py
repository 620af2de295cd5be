"""The program of `verdict`: how a saga ended, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from airgate.policy.saga.effects import Done, Now, Program, Read, Write
from airgate.policy.saga.entries import Epoch, last_epoch
from airgate.policy.saga.plan import Plan, Step
from airgate.policy.saga.settling import Absent, recorded

State = Literal["completed", "compensated", "needs-attention"]
"""How a saga ends: all is done; nothing is left; a person has to look."""

StepState = Literal[
    "done", "undone", "undone by hand", "nothing to undo", "not sent", "refused", "in doubt", "undo failed"
]

VERSION = 1


@dataclass(frozen=True, slots=True)
class StepView:
    """One step as a person sees it. Times are Unix seconds."""

    name: str
    state: StepState
    why: str = ""
    key: str | None = None
    """The idempotency key it was, or would have been, sent with; None where nothing was sent."""
    pivot: bool = False
    retriable: bool = False
    sent_at: float | None = None
    done_at: float | None = None
    undone_at: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One saga as a person sees it."""

    state: State
    why: str
    epoch: int
    steps: tuple[StepView, ...]
    began_at: float | None
    ended_at: float
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


def verdict(plan: Plan, key_of: Callable[[str, int], str]) -> Program[View]:
    """Say how the saga ended, and write it down.

    Args:
        plan: The saga's.
        key_of: The key of a step, by its name and the epoch's number.
    """
    epoch = yield from last_epoch()
    if epoch is None:
        now = yield Now()
        none = tuple(StepView(step.name, "not sent", pivot=step.pivot, retriable=step.retriable) for step in plan.steps)
        return View("compensated", "it was ended before it began", 0, none, None, now)
    decision = yield Read(epoch.decision)
    if decision is None:
        # Ended before `begin` was over; behind the fence nothing is sent any more.
        now = yield Now()
        yield Write(epoch.fence, {"at": now})
    steps: list[StepView] = []
    for step in plan.steps:
        steps.append((yield from _seen(step, epoch, decision, key_of)))  # noqa: PERF401 (a comprehension cannot yield)
    state, why = _state(decision, steps)
    now = yield Now()
    view = View(state, why, epoch.number, tuple(steps), epoch.began_at, now)
    yield Write(epoch.verdict, {"at": now, "state": state})
    return view


_LEFT = frozenset({"in doubt", "undo failed"})


def _state(decision: Any, steps: list[StepView]) -> tuple[State, str]:
    if decision is None:
        if all(step.state == "not sent" for step in steps):
            return "compensated", "it was ended before anything was sent"
        return (
            "needs-attention",
            "`decide` did not decide: clear `begin` with all downstream, which goes on where it was",
        )
    if decision["direction"] == "complete":
        return "completed", ""
    if decision["direction"] == "back":
        left = [f"{step.name} ({step.state})" for step in steps if step.state in _LEFT]
        return ("needs-attention", f"not undone: {', '.join(left)}") if left else ("compensated", decision["why"])
    if decision["direction"] == "forward":
        return "needs-attention", f"the pivot has happened, so nothing is undone; {decision['why']}"
    return "needs-attention", str(decision["why"])


def _seen(step: Step, epoch: Epoch, decision: Any, key_of: Callable[[str, int], str]) -> Program[StepView]:
    known = yield from recorded(step, epoch)
    sent = yield Read(epoch.of(step.name, "sent"))
    done = yield Read(epoch.of(step.name, "done"))
    undone = yield Read(epoch.of(step.name, "undone"))
    failed = yield Read(epoch.of(step.name, "undo_failed"))
    went_back = decision is not None and decision["direction"] == "back"
    state: Any
    why = "" if isinstance(known, Done) else known.why
    if undone is not None:
        state = {"undone": "undone", "by hand": "undone by hand", "nothing": "nothing to undo"}[undone["how"]]
        why = undone["why"]
        if undone["how"] == "nothing" and isinstance(known, Absent):
            state, why = _absent(sent), known.why
    elif isinstance(known, Absent):
        state = _absent(sent)
    elif went_back and step.undo:
        state, why = ("undo failed", failed["why"]) if failed is not None else ("in doubt", why or "it was not undone")
    elif isinstance(known, Done):
        state = "done"
    elif went_back:
        # Without an effect worth undoing it does not matter what became of it; and that the pivot has not happened, and
        # never will, `decide` had made sure of before it went back.
        state = "nothing to undo"
    else:
        marked = yield Read(epoch.of(step.name, "marked"))
        state = "in doubt" if marked is None else "done"
    return StepView(
        step.name,
        state,
        why,
        None if sent is None else key_of(step.name, epoch.number),
        step.pivot,
        step.retriable,
        None if sent is None else sent["first_at"],
        None if done is None else done["at"],
        None if undone is None or undone["how"] == "nothing" else undone["at"],
    )


def _absent(sent: Any) -> Literal["not sent", "refused"]:
    return "not sent" if sent is None else "refused"
