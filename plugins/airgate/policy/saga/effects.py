"""What a saga's programs want done, and what they are told of it.

A program is a generator: it yields one of these and is sent what came of it. It keeps nothing in memory that it could
not find again, so that it may be thrown away at any yield and begun from the top by another process.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Entry = Mapping[str, Any]
"""What the journal holds under one name: an object of JSON."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time; sent: Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the journal; sent: the entry, None without one."""

    name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write to the journal; durable, and seen by everybody who reads, when the program goes on."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Marked:
    """Ask Airflow which steps stand as succeeded; sent: a set of their names."""


@dataclass(frozen=True, slots=True)
class Send:
    """Do the step; sent: ``Done``, ``Refused`` or ``Unknown``."""

    epoch: int
    at: float
    """What tells this try's entries from those of others."""
    again: bool
    """Whether it was sent before, which does no harm: its key is honoured, or the service has been asked since."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the service what became of a step, with safe requests; sent: ``Done``, or None where it is not there.

    A look-up that fails raises through the program: another try looks again.
    """

    step: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo a step; sent: ``Done``, or ``Unknown`` with the error when it did not succeed and no other try will come."""

    step: str
    epoch: int
    result: Any
    """What the step gave; None where only the key is known."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until a Unix time."""

    until: float


Matter = Literal["happened", "undo"]


@dataclass(frozen=True, slots=True)
class Question:
    """Ask a person; sent: an ``Answer``, None when nobody is to be asked or nobody answered."""

    step: str
    epoch: int
    matter: Matter
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said."""

    matter: Matter
    choice: Literal["yes", "no", "again", "leave"]
    """To ``happened``: yes or no. To ``undo``: yes (it was undone by hand) or again. ``leave`` to both."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """It happened."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It provably did not happen in this try."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened."""

    error: Exception
    settles_in: float | None = None
    """Seconds until nothing of this try can arrive any more, None for what was said when it began."""


Effect = Now | Read | Write | Marked | Send | LookUp | Undo | Wait | Question
Program = Generator[Effect, Any, T]


class NothingToUndo(Exception):
    """An undo has nothing to do; the message says why."""
