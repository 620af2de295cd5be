"""Runs programs on a journal that is a dict, for tests of one program by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from airgate.policy.saga.effects import Effect, Now, Program, Read, Write

T = TypeVar("T")


def run(
    program: Program[T],
    journal: dict[str, Any],
    *,
    now: float = 1000.0,
    told: Iterable[tuple[type[Effect], Any]] = (),
) -> T:
    """Run a program to its end; gives what it returns.

    Args:
        program: The program.
        journal: What it reads and writes.
        now: The time, which stands still.
        told: Kind of effect and answer of all that is neither the journal's nor the clock's, in the order in which it
            has to be asked for.
    """
    left = list(told)
    answer: Any = None
    try:
        while True:
            effect = program.send(answer)
            match effect:
                case Now():
                    answer = now
                case Read(name):
                    answer = journal.get(name)
                case Write(name, entry):
                    answer, journal[name] = None, entry
                case _:
                    assert left, f"nothing was to be asked for any more, but {effect}"
                    kind, answer = left.pop(0)
                    assert isinstance(effect, kind), f"{effect} was asked for instead of a {kind.__name__}"
    except StopIteration as end:
        assert not left, f"{left[0][0].__name__} was never asked for"
        result: T = end.value
        return result
