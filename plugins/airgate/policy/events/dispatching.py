"""The course of a dispatcher's work, without doing any of it: a generator that yields what is to be done next.

A process that dies between any two steps leaves the position that was saved last, from which the next one goes on: it
repeats steps, and leaves none out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias

from airgate.policy.events.batch import Unreadable
from airgate.policy.events.dispatch import Delivery, Entry, Routes, plan_round, rounds
from airgate.policy.events.event import Event
from airgate.policy.events.log_position import LogPosition


class Log(Protocol):
    """An event log."""

    def since(self, at: datetime) -> Iterator[Entry]:
        """The rows of that time and later that can be seen, by their times."""


@dataclass(frozen=True, slots=True)
class Save:
    """Keep the position, durably."""

    position: LogPosition


@dataclass(frozen=True, slots=True)
class Make:
    """Make a run; the answer is one of ``Outcome``."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Park:
    """Keep for a person what nobody can take."""

    why: str
    what: Event | Unreadable
    dag_id: str
    """The DAG that it was for; empty where none is known."""


@dataclass(frozen=True, slots=True)
class Made:
    """There is a run."""

    now: bool
    """Whether it was made now, and not by an earlier try."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The DAG takes no such run: another try would be told the same."""

    why: str


@dataclass(frozen=True, slots=True)
class NotMade:
    """No run could be made, which is not the events' fault: it may work when something is mended."""

    why: str


Outcome: TypeAlias = Made | Refused | NotMade
Step: TypeAlias = Save | Make | Park


class NotDispatched(RuntimeError):
    """Runs could not be made; the events stay in the log."""


@dataclass(frozen=True, slots=True)
class Dispatching:
    """One try of a dispatcher."""

    log: Log
    routes: Routes
    batch: int | None
    lookback: timedelta
    now: Callable[[], datetime]
    counts: Counter[str]
    """What came of it so far, by name."""

    def steps(self, position: LogPosition) -> Generator[Step, Outcome | None]:
        """Dispatch what an earlier try had begun, and all that is new.

        Raises:
            NotDispatched: Some runs could not be made; all others of the same rows are.
        """
        if position.begun:
            position = yield from self._round(self._begun(position), position)
        newest = max(position.seen, default=None)
        fresh = (entry for entry in self.log.since(position.floor) if not position.knows(entry.mark))
        for entries in rounds(fresh, self.batch):
            if newest is not None:
                # By whole spans, so a row that is late by seconds is not counted.
                self.counts["late"] += sum(entry.mark.at < datetime.fromtimestamp(newest, UTC) for entry in entries)
            position = position.begin(entry.mark for entry in entries)
            if self.batch is not None:
                # Whoever has to repeat this must form the same batches, also when more has come by then.
                yield Save(position)
            position = yield from self._round(entries, position)

    def _begun(self, position: LogPosition) -> list[Entry]:
        wanted = {mark.id for mark in position.begun}
        times = [mark.at for mark in position.begun]
        found: list[Entry] = []
        for entry in self.log.since(min(times)):
            if entry.mark.at > max(times):
                break
            if entry.mark.id in wanted:
                found.append(entry)
        self.counts["resumed"] += len(found)
        self.counts["gone"] += len(wanted) - len(found)
        return found

    def _round(self, entries: Sequence[Entry], position: LogPosition) -> Generator[Step, Outcome | None, LogPosition]:
        plan = plan_round(entries, self.routes, self.batch)
        for each in plan.undeliverable:
            self.counts["parked"] += 1
            yield Park(each.why, each.what, each.dag_id)
        missing: dict[str, str] = {}
        for delivery in plan.deliveries:
            if delivery.dag_id not in missing and (why := (yield from self._deliver(delivery))):
                missing[delivery.dag_id] = why
        if missing:
            raise NotDispatched("; ".join(missing.values()))
        self.counts.update(entries=len(entries), left_out=plan.left_out, repeated=plan.repeated)
        position = position.finish(self.now(), self.lookback)
        yield Save(position)
        return position

    def _deliver(self, delivery: Delivery) -> Generator[Step, Outcome | None, str]:
        """Make a run, or those of its parts that can be made; gives why not, where it is not the events' fault."""
        outcome = yield Make(delivery)
        if isinstance(outcome, NotMade):
            return outcome.why
        if isinstance(outcome, Refused):
            if len(delivery.events) > 1:  # one of them may be to blame, and the others are not to wait for it
                first, second = delivery.halves()
                return (yield from self._deliver(first)) or (yield from self._deliver(second))
            self.counts["parked"] += 1
            yield Park(outcome.why, delivery.events[0], delivery.dag_id)
            return ""
        assert isinstance(outcome, Made)
        self.counts["runs"] += outcome.now
        self.counts["dispatched" if outcome.now else "already"] += len(delivery.events)
        return ""
