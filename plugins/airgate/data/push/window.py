"""Pushes a window of batches at a time: all in flight, then what became of them stored, then what was put off again."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from threading import Event
from typing import NoReturn

import pyarrow as pa

from airgate.client import clock
from airgate.data.checkpoint import Checkpoint
from airgate.data.pace_line import PaceLine
from airgate.data.push.batches import PushBatch
from airgate.data.push.plan import Calls, Push, TooManyDeadLetters
from airgate.data.push.progress import PushProgress
from airgate.data.push.settling import Busy, Outcome, settle
from airgate.data.store.parts import PartWriter
from airgate.policy.errors import DeadlineExceeded, GatewayError, RateLimited, error_for_status
from airgate.policy.outcome import Answered
from airgate.policy.retry import TRANSIENT_STATUSES, Again, GiveUp, Later, decide

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Windows:
    """The windows of one push."""

    plan: Push
    calls: Calls
    progress: PushProgress
    writer: PartWriter
    checkpoint: Checkpoint
    line: PaceLine
    doubtful: int
    """Batches before this number may have been sent by an earlier try."""
    _stopped: Event = field(default_factory=Event)

    def push(self, pool: ThreadPoolExecutor, window: Sequence[PushBatch]) -> None:
        """Settle all batches of a window.

        Raises:
            GatewayError: Not all could be settled; what was is stored.
        """
        began, attempt = clock.now(), 0
        while todo := [self.progress.left_of(batch) for batch in window if not self.progress.is_settled(batch)]:
            before = self.progress.records
            busy = self._round(pool, window, todo)
            attempt = 1 if self.progress.records > before else attempt + 1
            self.refuse_too_many()
            if busy:
                self._hold_back(busy, attempt, began)

    def refuse_too_many(self) -> None:
        """Refuse to go on when the service refuses too much."""
        most = self.plan.max_dead_letters
        if most is not None and self.progress.dead_lettered > most:
            raise TooManyDeadLetters(
                f"{self.plan.target}: {self.progress.dead_lettered} of {self.progress.records} records were refused, "
                f"more than max_dead_letters={most}; see {self.writer.folder.uri}"
            )

    def _round(self, pool: ThreadPoolExecutor, window: Sequence[PushBatch], todo: Sequence[PushBatch]) -> list[Busy]:
        """Send what is left of some batches and store what became of it, also when not all could be sent."""
        self.progress.reached = max(self.progress.reached, window[-1].number + 1)
        if not self.plan.repeatable:
            self.progress.sending = [batch.number for batch in todo]
            self.progress.save(self.checkpoint, self.writer.manifest)
        elif not self.progress.manifest:
            self.progress.save(self.checkpoint, self.writer.manifest)  # from now on a later try knows of this one
        self._stopped.clear()
        futures: dict[Future[Outcome], PushBatch] = {}
        try:
            for batch in todo:
                futures[pool.submit(copy_context().run, self._settle, batch)] = batch
            for future in as_completed(futures):
                self._count(futures[future], future.result())
        finally:
            # Also when the task is told to end: what is settled by now need not be sent again.
            self._stopped.set()
            outcomes = [(batch, future.result()) for future, batch in futures.items() if not future.cancel()]
            self._store(window, outcomes)
        if errors := [outcome.error for _, outcome in outcomes if outcome.error is not None]:
            _raise(errors)
        return [busy for _, outcome in outcomes for busy in outcome.busy]

    def _settle(self, batch: PushBatch) -> Outcome:
        if self._stopped.is_set():
            return Outcome(error=_Stopped())
        batch = replace(batch, in_doubt=batch.number < self.doubtful)
        outcome = settle(batch, self.plan, self.calls, self.progress.in_line)
        if outcome.error is not None:
            self._stopped.set()
        return outcome

    def _store(self, window: Sequence[PushBatch], outcomes: list[tuple[PushBatch, Outcome]]) -> None:
        progress = self.progress
        for batch, outcome in sorted(outcomes, key=lambda each: each[0].number):
            progress.calls += outcome.calls
            for name in outcome.sent:
                progress.in_line.pop(name, None)
            progress.in_line |= outcome.in_line
            if outcome.error is None:
                dead = sorted([*outcome.dead, *batch.unreadable], key=lambda misfit: misfit.index)
                position: dict[str, object] = {"batch": batch.number, "row": batch.row}
                if dead:
                    self.writer.add(pa.schema([]).empty_table(), dead, page=batch.number, position=position)
                progress.settle(batch, outcome.accepted, len(dead), outcome.put_off)
        # Whatever was not begun, or provably came to nothing, may be sent by the next try.
        doubtful = {batch.number for batch, outcome in outcomes if outcome.error is not None and outcome.in_doubt}
        progress.sending = [number for number in progress.sending if number in doubtful]
        self.writer.flush()
        if all(map(progress.is_settled, window)):
            progress.advance(window)
            progress.reached += self.plan.window  # the next ones are sent before it is stored again
        progress.save(self.checkpoint, self.writer.manifest)

    def _hold_back(self, busy: Sequence[Busy], attempt: int, began: float) -> None:
        """Wait before what was put off is sent again, as a call waits.

        Args:
            busy: What the service said.
            attempt: How often what is left was sent since a record was settled.
            began: When the window did, Unix time.

        Raises:
            RateLimited, Unavailable: The wait is too long to be spent here, or the service was asked often enough.
            DeadlineExceeded: It would end behind the deadline.
        """
        retry, now = self.plan.retry, clock.now()
        ends = self.calls.ends or (began + retry.deadline if retry.deadline else None)
        worst = max(busy, key=lambda each: each.wait or 0.0)
        status = worst.status if worst.status in TRANSIENT_STATUSES else 429
        headers = {} if worst.wait is None else {"retry-after": str(math.ceil(worst.wait))}
        decision = decide(
            retry,
            method="",
            keyed=True,  # what was not taken up may always come again
            outcome=Answered(status, headers),
            attempt=attempt,
            remaining=None if ends is None else ends - now,
            now=now,
            jitter=random.random(),  # noqa: S311, it spreads waits
        )
        left = sum(one.count for one in self.progress.put_off)
        reason = f"{left} records were put off by the service ({worst.reason})"
        if isinstance(decision, Again):
            log.info("%s: %s; they are sent again in %.1f s", self.plan.target, reason, decision.delay)
            clock.sleep(decision.delay)
            return
        assert isinstance(decision, (Later, GiveUp))
        late = isinstance(decision, GiveUp) and decision.deadline_passed
        kind = DeadlineExceeded if late else error_for_status(status)
        raise kind(
            f"{reason}, and the deadline leaves no time for them" if late else reason,
            method=worst.response.method,
            url=worst.response.url,
            status=status,
            attempts=1,
            request_id=worst.response.request_id,
            retry_after=decision.delay if isinstance(decision, Later) else decision.retry_after,
        )

    def _count(self, batch: PushBatch, outcome: Outcome) -> None:
        """Count what became of a batch for the log, which need not wait until it is stored."""
        settled = outcome.error is None
        dead = len(outcome.dead) + len(batch.unreadable) if settled else 0
        done = outcome.accepted + dead if settled else 0
        self.line.add(done, calls=outcome.calls, retries=outcome.retries, dead_letters=dead)


class _Stopped(Exception):
    """Another batch failed before this one was sent."""


def _raise(errors: Sequence[Exception]) -> NoReturn:
    """Raise the error that matters most: one that no retry can mend before one that asks to wait.

    A service that asks to wait is asked no earlier than the longest of its waits. Batches that only stand in line for
    the gateway's own limits come back for the first of them, or its turn would be passed on.
    """
    real = [error for error in errors if not isinstance(error, _Stopped)]
    final = [error for error in real if not (isinstance(error, GatewayError) and error.retryable)]
    if final:
        raise final[0]
    in_line = [error for error in real if isinstance(error, RateLimited) and error.place]
    asked = [error for error in real if error not in in_line]
    if asked:
        raise max(asked, key=_wait)
    raise min(in_line, key=_wait)


def _wait(error: Exception) -> float:
    return (error.retry_after if isinstance(error, GatewayError) else None) or 0.0
