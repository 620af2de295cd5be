"""Carries out what a saga's program wants, for the tasks of a saga."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from airgate.client import clock
from airgate.policy.saga.effects import Effect, Now, Program, Read, Write
from airgate.sagas.journal import XComJournal

T = TypeVar("T")

Acts = Mapping[type, Callable[..., object]]
"""What a task does for each kind of effect, besides the journal and the clock."""


def carry_out(program: Program[T], journal: XComJournal, acts: Acts | None = None) -> T:
    """Run a program to its end; gives what it returns.

    Whatever an act raises, a deferral included, ends the program, which is begun from the top by whoever goes on.

    Args:
        program: The program.
        journal: The saga's.
        acts: Called with the effect.
    """
    do: Acts = {
        Now: lambda _: clock.now(),
        Read: lambda effect: journal.read(effect.name),
        Write: lambda effect: journal.write(effect.name, effect.entry),
        **(acts or {}),
    }
    told: object = None
    try:
        while True:
            effect: Effect = program.send(told)
            told = do[type(effect)](effect)
    except StopIteration as end:
        return cast("T", end.value)
    finally:
        program.close()
