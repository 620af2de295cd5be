"""What the journal of a saga holds: one entry a fact, under the epoch and the step it belongs to.

Several processes may write at once, as Airflow has no fence: a try that it believes to be dead, and the one that took
over. So no entry is read, changed and written back: each says one thing, and a thing that was true stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.effects import Entry, Program, Read

BEGUN = "begun"
"""The epoch that holds, and when it began."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One attempt at the whole saga: another one wants all its effects anew."""

    number: int
    began_at: float
    deadline: float | None = None
    """Unix time behind which nothing new is done before the pivot."""

    def entry(self) -> Entry:
        """As the journal holds it."""
        return {"epoch": self.number, "at": self.began_at, "deadline": self.deadline}

    def of(self, step: str, fact: str) -> str:
        """The name of a fact about a step.

        Args:
            step: Its name.
            fact: ``sent`` (a try is about to send it), ``first`` (it believes to be the first), ``again`` (it is not
                known to be the only one), ``done`` (with its result), ``refused``, ``lost`` (a try ended without
                knowing), ``marked`` (as succeeded, by a person), ``word`` (a person said what became of it),
                ``undone`` (or nothing was there to undo), ``undo_failed``.
        """
        return f"{self.number}.{step}.{fact}"

    @property
    def fence(self) -> str:
        """From here on no step may be sent for the first time."""
        return f"{self.number}.fence"

    @property
    def decision(self) -> str:
        """Forward or back."""
        return f"{self.number}.decision"

    @property
    def verdict(self) -> str:
        """How it ended."""
        return f"{self.number}.verdict"


def last_epoch() -> Program[Epoch | None]:
    """The epoch that holds, None before there is one."""
    begun: Any = yield Read(BEGUN)
    return None if begun is None else Epoch(begun["epoch"], begun["at"], begun["deadline"])


def current_epoch() -> Program[Epoch]:
    """The epoch that holds.

    Raises:
        NeedsAttention: There is none, although a task of the saga runs.
    """
    epoch = yield from last_epoch()
    if epoch is None:
        raise NeedsAttention("the saga's journal is gone: its task `journal` has lost the entry `begun`")
    return epoch
