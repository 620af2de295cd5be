"""The shape of a saga: its steps, what may be undone, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

RESERVED = frozenset({"journal", "begin", "decide", "verdict"})
"""Names of the tasks that every saga has."""
UNDO = "undo_"
"""What the name of an undo begins with."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a saga, as far as decisions depend on it."""

    name: str
    after: frozenset[str] = frozenset()
    """Names of the steps right before it."""
    undo: bool | None = None
    """Whether it has an undo; False says that there is nothing to undo, None says nothing."""
    lookup: bool = False
    """Whether the service can be asked what became of it."""
    tombstone: bool = False
    """Whether its undo cancels by key whatever has happened, and keeps a late request from having an effect."""
    pivot: bool = False
    retriable: bool = False

    def problem(self) -> str | None:
        """What is wrong with the step by itself, None when nothing is."""
        if not _NAME.fullmatch(self.name):
            return f"step {self.name!r}: a name has letters, digits, _ and -, and begins with a letter"
        if self.name in RESERVED or self.name.startswith(UNDO):
            return f"step {self.name!r}: the saga has a task of its own by this name; choose another"
        if self.pivot and self.retriable:
            return f"step {self.name!r} is the pivot, which the steps behind it follow; leave retriable out"
        if self.pivot and self.undo is not None:
            return f"step {self.name!r} is the pivot, behind which nothing is undone; leave undo out"
        if self.retriable and self.undo is not None:
            return f"step {self.name!r} is retriable: it stands behind the pivot and only goes forward; leave undo out"
        if self.tombstone and not self.undo:
            return f"step {self.name!r}: tombstone describes an undo, and there is none"
        return None


@dataclass(frozen=True)
class Plan:
    """The steps of one saga.

    Args:
        steps: In an order in which each stands behind those it follows.
        halt_on_failed_undo: Whether an undo waits for those before it to succeed, and not only to end.

    Raises:
        ValueError: They do not make a saga; the message names the step and the cure.
    """

    steps: tuple[Step, ...]
    halt_on_failed_undo: bool = False
    _by_name: Mapping[str, Step] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the shape."""
        for step in self.steps:
            if problem := step.problem():
                raise ValueError(problem)
        by_name = {step.name: step for step in self.steps}
        object.__setattr__(self, "_by_name", by_name)
        if len(by_name) < len(self.steps):
            names = [step.name for step in self.steps]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"two steps have the name {', '.join(twice)}; each needs one of its own")
        if not self.steps:
            raise ValueError("a saga needs a step: saga.step('reserve', do=…, undo=…)")
        self._check_order()
        self._check_pivot()

    def __getitem__(self, name: str) -> Step:
        """The step of this name."""
        return self._by_name[name]

    def _check_order(self) -> None:
        for step in self.steps:
            if unknown := sorted(step.after - self._by_name.keys()):
                raise ValueError(f"step {step.name!r} follows {', '.join(unknown)}, which is no step of this saga")
        try:
            TopologicalSorter({step.name: step.after for step in self.steps}).prepare()
        except CycleError as error:
            raise ValueError(f"the steps go round in a circle: {' -> '.join(reversed(error.args[1]))}") from None

    def _check_pivot(self) -> None:
        pivots = [step.name for step in self.steps if step.pivot]
        if len(pivots) > 1:
            raise ValueError(f"a saga has one pivot at most, not {', '.join(pivots)}")
        for step in self.steps:
            if step.pivot:
                continue
            behind = self.is_behind_pivot(step.name)
            if self.pivot is not None and not behind and step.name not in self.before(self.pivot.name):
                raise ValueError(
                    f"step {step.name!r} stands beside the pivot {self.pivot.name!r}: whether it is to be undone when "
                    f"that has happened, nobody could say; let one follow the other"
                )
            if behind and not step.retriable:
                raise ValueError(
                    f"step {step.name!r} stands behind the pivot and only goes forward: say retriable=True, or move it "
                    f"before {pivots[0]!r}"
                )
            if step.retriable and not behind:
                raise ValueError(
                    f"step {step.name!r} is retriable, and that is for steps behind a pivot; give it an undo"
                )
            if not behind and step.undo is None:
                raise ValueError(
                    f"step {step.name!r} has no undo: give undo=…, or undo=False where it has no effect worth undoing"
                )

    @cached_property
    def pivot(self) -> Step | None:
        """The step behind which nothing is undone, None without one."""
        return next((step for step in self.steps if step.pivot), None)

    def before(self, name: str) -> frozenset[str]:
        """All steps that a step follows, near and far."""
        found: set[str] = set()
        left = list(self[name].after)
        while left:
            each = left.pop()
            if each not in found:
                found.add(each)
                left.extend(self[each].after)
        return frozenset(found)

    def is_behind_pivot(self, name: str) -> bool:
        """Whether a step follows the pivot."""
        return self.pivot is not None and self.pivot.name in self.before(name)

    @property
    def undoable(self) -> Iterator[Step]:
        """The steps that have an undo."""
        return (step for step in self.steps if step.undo)

    def undone_first(self, name: str) -> frozenset[str]:
        """The steps whose undos go right before that of a step: those with an undo that follow it next."""
        return frozenset(self._next_undoable(name, set()))

    def _next_undoable(self, name: str, seen: set[str]) -> Iterable[str]:
        for step in self.steps:
            if name not in step.after or step.name in seen:
                continue
            seen.add(step.name)
            if step.undo:
                yield step.name
            else:
                yield from self._next_undoable(step.name, seen)
