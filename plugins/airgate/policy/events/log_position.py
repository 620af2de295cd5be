"""How far a dispatcher has come in an asset's event log.

Rows of the log are known by id and read by time. Their times are those of the processes that wrote them, and a row may
become visible after a younger one, so a position is no single point: rows younger than its floor are read again, and
those that were dispatched are remembered by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

VERSION: Final = 1
SPAN: Final = 10
"""Seconds of a span of the log whose rows are remembered, and forgotten, together."""
MOST_REMEMBERED: Final = 10_000
"""Rows. A log that grows faster is looked back at for less than its dispatcher was told."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of the log."""

    id: int
    at: datetime
    """When it was written, by the clock of whoever wrote it. With a time zone."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Which rows are dispatched, and which ones are about to be.

    Each position is true by itself, also one that is overwritten by an older one: the worst that becomes of two
    dispatchers that run at once is that rows are dispatched again.
    """

    floor: datetime
    """Every row that is older is dispatched."""
    seen: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Ids of the younger ones that are, by the Unix time at which their span of ``SPAN`` seconds begins."""
    begun: tuple[Mark, ...] = ()
    """Rows that may have been dispatched, or partly, when whoever was at it died."""

    @classmethod
    def read(cls, told: object) -> LogPosition:
        """The position that ``to_json`` gave.

        Raises:
            ValueError: It is none.
        """
        if not isinstance(told, Mapping):
            raise ValueError(f"a position is an object, not {type(told).__name__}")  # noqa: TRY004, one kind for all
        if told.get("version") != VERSION:
            raise ValueError(
                f"a position of version {told.get('version')!r:.40} was written by another release of airgate; this "
                f"one reads version {VERSION}"
            )
        try:
            seen = {int(first): frozenset(_sums(steps)) for first, *steps in told["seen"]}
            begun = tuple(Mark(int(id_), _time(at)) for id_, at in told["begun"])
            return cls(_time(told["floor"]), seen, begun)
        except (KeyError, TypeError, ValueError, OverflowError) as wrong:
            raise ValueError(f"a position has floor, seen and begun ({type(wrong).__name__}: {wrong})") from None

    def to_json(self) -> dict[str, Any]:
        """As an object: times in microseconds since 1970, ids as steps from one to the next."""
        return {
            "version": VERSION,
            "floor": _microseconds(self.floor),
            "seen": [[first, *_steps(sorted(ids))] for first, ids in sorted(self.seen.items())],
            "begun": [[mark.id, _microseconds(mark.at)] for mark in self.begun],
        }

    def knows(self, mark: Mark) -> bool:
        """Whether a row is dispatched."""
        return mark.at < self.floor or mark.id in self.seen.get(_span(mark.at), ())

    def begin(self, marks: Iterable[Mark]) -> LogPosition:
        """The position while these rows are being dispatched."""
        return replace(self, begun=tuple(marks))

    def finish(self, now: datetime, lookback: timedelta) -> LogPosition:
        """The position once the rows that were begun are dispatched.

        Args:
            now: A row that claims to be of later than this does not move the floor beyond it: else one clock that is
                ahead would hide the rows of all others.
            lookback: How much later than a younger one a row may become visible, and how much clocks may differ.
        """
        if not self.begun:
            return self
        seen = {first: set(ids) for first, ids in self.seen.items()}
        for mark in self.begun:
            seen.setdefault(_span(mark.at), set()).add(mark.id)
        head = min(max(mark.at for mark in self.begun), now)
        floor = max(self.floor, head - lookback)
        for first in sorted(seen):
            ends = _EPOCH + timedelta(seconds=first + SPAN)
            too_many = sum(map(len, seen.values())) > MOST_REMEMBERED and len(seen) > 1 and ends <= now
            if ends > floor and not too_many:
                break
            del seen[first]
            floor = max(floor, ends)
        return LogPosition(floor, {first: frozenset(ids) for first, ids in seen.items()})


def _span(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(seconds=SPAN) * SPAN


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _time(microseconds: int) -> datetime:
    return _EPOCH + int(microseconds) * _MICROSECOND


def _steps(ids: list[int]) -> list[int]:
    return [id_ - before for id_, before in zip(ids, [0, *ids], strict=False)]


def _sums(steps: list[int]) -> list[int]:
    ids, last = [], 0
    for step in steps:
        last += int(step)
        ids.append(last)
    return ids
