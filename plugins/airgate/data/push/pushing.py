"""Pushes records to a service in batches, several in flight, until each is accepted or dead-lettered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Event
from typing import Any, Literal, NoReturn

import pyarrow as pa

from airgate.client import clock
from airgate.client.message import Response
from airgate.data.checkpoint import Checkpoint
from airgate.data.push.batches import Offered, PushBatch, groups
from airgate.data.push.items import ItemResults
from airgate.data.push.progress import PushProgress, begin, refuse_doubt
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder
from airgate.policy.errors import GatewayError, Rejected
from airgate.policy.redaction import one_line

log = logging.getLogger(__name__)

KIND = "airgate.push"
REFUSALS = frozenset({400, 413, 422})
"""Statuses that say that something in the batch is wrong, and that none of it was accepted."""

_WINDOWS = 8
"""Batches of a window for each one in flight: progress is stored after each window, and all wait for its last one."""
_SAY_EVERY = 5.0
_LONGEST = 500

Refused = Literal["bisect", "dead_letter", "fail"]
"""What becomes of a batch that is refused as a whole."""
Send = Callable[[PushBatch], Response]
"""Makes the call of a batch; raises a ``GatewayError`` when it is not accepted. Called from several threads."""


class TooManyDeadLetters(ValueError):
    """The service refuses more records than are put up with."""


@dataclass(frozen=True, slots=True)
class Push:
    """How records are pushed."""

    target: str
    """Names the route in messages."""
    fingerprint: str
    """Of the records and of all that decides what is sent; two equal pushes can share progress."""
    batch_size: int = 100
    in_flight: int = 4
    """Batches that are under way at the same time; 1 keeps the order."""
    repeatable: bool = True
    """Whether a batch that is sent twice has one effect: the service honours its key, or the method is idempotent."""
    refused: Refused = "bisect"
    items: ItemResults = field(default_factory=ItemResults)
    redact_fields: tuple[str, ...] = ()
    """Dotted names of fields whose values are masked in dead letters."""
    max_dead_letters: int | None = None
    round: int = 0
    """Changes when the task is cleared, and only then."""

    @property
    def window(self) -> int:
        """Batches between two times at which progress is stored: few, where all of them would be in doubt."""
        return self.in_flight * (_WINDOWS if self.repeatable else 1)


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push came to; ``offered == pushed + dead_lettered``."""

    offered: int
    pushed: int
    """Records that the service accepted."""
    dead_lettered: int
    calls: int
    """Requests, over all tries."""
    dead_letters: Manifest
    """Of the records that it did not."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        counts = {name: getattr(self, name) for name in ("offered", "pushed", "dead_lettered", "calls")}
        return {"kind": KIND, **counts, "dead_letters": self.dead_letters.to_json()}


def push(plan: Push, offered: Offered, send: Send, folder: Folder, checkpoint: Checkpoint) -> PushReport:
    """Push all records, from where an earlier try stopped.

    A batch is settled when each of its records is accepted or durable as a dead letter; what is settled is stored
    after each window of batches, and not sent again.

    Args:
        plan: How.
        offered: What.
        send: Makes the call of one batch.
        folder: Where the dead letters and their manifest go.
        checkpoint: Keeps the progress.

    Raises:
        GatewayError: A batch could not be sent; what was settled before, and beside it, is stored.
        OutcomeUnknown: A batch may have been sent and must not go twice.
        TooManyDeadLetters: There are more than ``max_dead_letters``.
        ValueError: When the balance does not hold.
    """
    progress, again = begin(checkpoint, plan.fingerprint, plan.round)
    earlier = Manifest.from_json(progress.manifest) if progress.manifest else None
    if progress.complete and earlier is not None:
        return _report(offered.rows, progress, earlier)
    if again:
        ahead = offered.batches(plan.batch_size, progress.done) if progress.sending else iter(())
        refuse_doubt(progress, plan.round, islice(ahead, plan.window))
    # There are no parts to write; the folder holds what was refused, as that of any data set does.
    writer = PartWriter(folder, pa.schema([]), earlier, redact_fields=plan.redact_fields)
    run = _Run(plan, send, progress, writer, checkpoint, offered.rows, progress.reached)
    run.refuse_too_many()
    with ThreadPoolExecutor(plan.in_flight, thread_name_prefix="push") as pool:
        for window in groups(offered.batches(plan.batch_size, progress.done), plan.window):
            run.push_window(pool, window)
    manifest = writer.commit()
    report = _report(offered.rows, progress, manifest)
    progress.complete = True
    progress.save(checkpoint, manifest)
    checkpoint.clear()
    return report


def _report(offered: int, progress: PushProgress, manifest: Manifest) -> PushReport:
    if offered != progress.accepted + progress.dead_lettered or progress.dead_lettered != manifest.dead_lettered:
        raise ValueError(
            f"{manifest.path}: offered {offered} records, but {progress.accepted} were accepted and "
            f"{progress.dead_lettered} dead-lettered ({manifest.dead_lettered} in the manifest)"
        )
    return PushReport(offered, progress.accepted, progress.dead_lettered, progress.calls, manifest)


@dataclass(slots=True)
class _Outcome:
    """What became of a batch."""

    accepted: int = 0
    dead: list[Misfit] = field(default_factory=list)
    calls: int = 0
    error: Exception | None = None
    """Why it is not settled."""
    in_doubt: bool = False
    """Whether any of its records may have been accepted although it is not settled."""


@dataclass(slots=True)
class _Run:
    push: Push
    send: Send
    progress: PushProgress
    writer: PartWriter
    checkpoint: Checkpoint
    offered: int
    doubtful: int
    """Batches before this number may have been sent by an earlier try."""
    _stopped: Event = field(default_factory=Event)
    _said: float = field(default_factory=clock.now)

    def push_window(self, pool: ThreadPoolExecutor, window: Sequence[PushBatch]) -> None:
        """Send some batches and store what became of them, also when not all could be sent."""
        todo = [batch for batch in window if not self.progress.is_settled(batch)]
        self.progress.reached = window[-1].number + 1
        if not self.push.repeatable:
            self.progress.sending = [batch.number for batch in todo]
            self.progress.save(self.checkpoint, self.writer.manifest)
        elif not self.progress.manifest:
            self.progress.save(self.checkpoint, self.writer.manifest)  # from now on a later try knows of this one
        futures: dict[Future[_Outcome], PushBatch] = {}
        try:
            for batch in todo:
                futures[pool.submit(copy_context().run, self._settle, batch)] = batch
            wait(futures)
        finally:
            # Also when the task is told to end: what is settled by now need not be sent again.
            self._stopped.set()
            outcomes = [(batch, future.result()) for future, batch in futures.items() if not future.cancel()]
            errors = self._store(window, outcomes)
        if errors:
            _raise(errors)
        self._stopped.clear()
        self.refuse_too_many()
        self._say()

    def refuse_too_many(self) -> None:
        """Refuse to go on when the service refuses too much."""
        most = self.push.max_dead_letters
        if most is not None and self.progress.dead_lettered > most:
            raise TooManyDeadLetters(
                f"{self.push.target}: {self.progress.dead_lettered} of {self.progress.records} records were refused, "
                f"more than max_dead_letters={most}; see {self.writer.folder.uri}"
            )

    def _store(self, window: Sequence[PushBatch], outcomes: list[tuple[PushBatch, _Outcome]]) -> list[Exception]:
        for batch, outcome in sorted(outcomes, key=lambda each: each[0].number):
            self.progress.calls += outcome.calls
            if outcome.error is None:
                dead = sorted([*outcome.dead, *batch.unreadable], key=lambda misfit: misfit.index)
                position: dict[str, object] = {"batch": batch.number, "row": batch.row}
                if dead:
                    self.writer.add(pa.schema([]).empty_table(), dead, page=batch.number, position=position)
                self.progress.settle(batch, outcome.accepted, len(dead))
        # Whatever was not begun, or provably came to nothing, may be sent by the next try.
        doubtful = {batch.number for batch, outcome in outcomes if outcome.error is not None and outcome.in_doubt}
        self.progress.sending = [number for number in self.progress.sending if number in doubtful]
        self.writer.flush()
        if all(map(self.progress.is_settled, window)):
            self.progress.advance(window)
            self.progress.reached += self.push.window  # the next ones are sent before it is stored again
        self.progress.save(self.checkpoint, self.writer.manifest)
        return [outcome.error for _, outcome in outcomes if outcome.error is not None]

    def _settle(self, batch: PushBatch) -> _Outcome:
        outcome = _Outcome()
        if self._stopped.is_set():
            outcome.error = _Stopped()
            return outcome
        batch = replace(batch, in_doubt=batch.number < self.doubtful)
        try:
            for piece in self._pieces(batch, outcome):
                outcome.accepted += len(piece)
        except Exception as error:
            self._stopped.set()
            outcome.error = error
            if isinstance(error, GatewayError):
                outcome.calls += error.attempts
            unsent = isinstance(error, ValueError) or (isinstance(error, GatewayError) and not error.in_doubt)
            outcome.in_doubt = outcome.accepted > 0 or not unsent
        return outcome

    def _pieces(self, batch: PushBatch, outcome: _Outcome) -> Iterator[range]:
        """Send a batch, in halves where the whole is refused; gives the records that were accepted."""
        if not batch.records:
            return
        try:
            response = self.send(batch)
        except Rejected as error:
            if error.status not in REFUSALS or self.push.refused == "fail":
                raise
            outcome.calls += error.attempts
            if self.push.refused == "bisect" and len(batch.records) > 1:
                for half in batch.halves():
                    yield from self._pieces(half, outcome)
                return
            outcome.dead += [batch.letter(place, _reason(error)) for place in range(len(batch.records))]
            return
        refused = self._refused(batch, response)
        outcome.calls += response.attempts
        outcome.dead += [batch.letter(place, reason) for place, reason in sorted(refused.items())]
        yield range(len(batch.records) - len(refused))

    def _refused(self, batch: PushBatch, response: Response) -> dict[int, str]:
        try:
            return self.push.items.refused(response, len(batch.records))
        except GatewayError as error:
            error.in_doubt = True  # the service has had the batch
            raise

    def _say(self) -> None:
        if clock.now() - self._said >= _SAY_EVERY:
            self._said = clock.now()
            done, dead = self.progress.records, self.progress.dead_lettered
            log.info("%s: %d of %d records, %d of them dead-lettered", self.push.target, done, self.offered, dead)


class _Stopped(Exception):
    """Another batch failed before this one was sent."""


def _reason(error: Rejected) -> str:
    excerpt = f": {one_line(error.excerpt)}" if error.excerpt else ""
    return f"the service refused it, {error.reason}{excerpt}"[:_LONGEST]


def _raise(errors: Sequence[Exception]) -> NoReturn:
    """Raise the error that matters most: one that no retry can mend before one that asks to wait."""
    real = [error for error in errors if not isinstance(error, _Stopped)]
    final = [error for error in real if not (isinstance(error, GatewayError) and error.retryable)]
    waits = sorted(real, key=lambda error: -(getattr(error, "retry_after", None) or 0.0))
    raise (final or waits)[0]
