"""A line of the log every few seconds while records are moved: how many of how many, how fast, how long still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context

import pyarrow as pa

from airgate.data.progress import FIRST_LINE, Say, duration, say_plainly, smoothed, standing


class PaceLine:
    """Counts records as they are done and says every few seconds how far that is.

    Counting costs a look at the clock, so it is for parts and batches, not for single records. Work that is over
    within a second says nothing.

    Args:
        source: Names what is moved at the beginning of each line.
        total: Records that there are; None where nobody knows.
        before: Records that earlier tries have done; they count for the share, not for the rate.
        figures: Gives more figures; asked for each line.
        every: Seconds between two lines; the first one comes after one at the latest.
        clock: Seconds, from any origin.
        say: Takes the lines.
    """

    def __init__(
        self,
        source: str,
        total: int | None = None,
        *,
        before: int = 0,
        figures: Callable[[], Mapping[str, float]] = dict,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        say: Say = say_plainly,
    ) -> None:
        self._source, self._total, self._before = source, total, before
        self._figures, self._every, self._clock, self._say = figures, every, clock, say
        self._phase = ""
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._records = self._said_records = self._bytes = 0
        self._began = self._said_at = self._clock()
        self._due = self._began + min(FIRST_LINE, self._every)
        self._smooth: float | None = None

    def begin(self, phase: str) -> None:
        """The same records go through another phase now, which the lines name; each has its own count and rate."""
        with self._lock:
            self._phase = phase
            self._start()

    def add(self, records: int, size: int = 0, **figures: float) -> None:
        """So many more are done.

        Args:
            records: How many.
            size: Bytes of them.
            **figures: Added up by name over all phases, and said in each line from now on.
        """
        self._records += records
        self._bytes += size
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0) + value
        self.speak_when_due()

    def reach(self, records: int) -> None:
        """So many are done, all in all."""
        self.add(records - self._records)

    def speak_when_due(self) -> None:
        """Say the line if its time has come; any thread may."""
        if self._clock() < self._due:
            return
        with self._lock:
            now = self._clock()
            if now >= self._due:
                self._due = now + self._every
                self._speak(now)

    def _speak(self, now: float) -> None:
        span, seconds = now - self._said_at, now - self._began
        lately, overall = _rate(self._records - self._said_records, span), _rate(self._records, seconds)
        if self._records:  # the wait for the first ones says nothing of the others
            self._smooth = overall if self._smooth is None else smoothed(self._smooth, lately, span)
        named = f"{self._source}, {self._phase}" if self._phase else self._source
        figures: dict[str, float] = {}
        if self._records:
            figures |= {"rows_per_s": round(lately), "rows_per_s_overall": round(overall)}
        if self._bytes:
            figures["mb"] = round(self._bytes / 1e6, 1)
        self._say(f"{named}: {self._standing(seconds)}", **{**figures, **self._sums, **self._figures()})
        self._said_records, self._said_at = self._records, now

    def _standing(self, seconds: float) -> str:
        done = self._before + self._records
        if done:
            return standing(done, self._total, self._smooth or 0.0)
        # Such as one statement that moves all of them: nobody knows how far it is.
        so_far = f"{duration(seconds)} so far"
        return f"{self._total:,} records, {so_far}" if self._total else so_far


class _Watched(Iterator[pa.Table]):
    def __init__(self, tables: Iterator[pa.Table], line: PaceLine) -> None:
        self._tables, self._line = tables, line
        self._rows = self._size = 0

    def __next__(self) -> pa.Table:
        # Whoever asks for another table is done with the one before. None is kept here: it would stay in memory while
        # the next one is read.
        rows, size, self._rows, self._size = self._rows, self._size, 0, 0
        self._line.add(rows, size)
        table = next(self._tables)
        self._rows, self._size = table.num_rows, table.nbytes
        return table


def watched(tables: Iterator[pa.Table], line: PaceLine) -> Iterator[pa.Table]:
    """The same tables; the line counts each one when the next one is asked for."""
    return _Watched(tables, line)


@contextmanager
def ticking(line: PaceLine, seconds: float = 1.0) -> Iterator[None]:
    """Let lines come in time also while nothing is counted, as during a statement that takes minutes.

    Args:
        line: What is to be said.
        seconds: Between two looks at the clock, by a thread that ends with the context.
    """
    over = threading.Event()

    def tick() -> None:
        while not over.wait(seconds):
            line.speak_when_due()

    thread = threading.Thread(target=copy_context().run, args=(tick,), name="pace-line", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _rate(records: int, seconds: float) -> float:
    return records / seconds if seconds > 0 else 0.0
