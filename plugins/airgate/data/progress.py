"""How far a read has come: a line of the log every few seconds while it runs, a summary when it is done."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import pyarrow as pa

from airgate.data.shape.batch import Batch
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest

log = logging.getLogger(__name__)

FIRST_LINE = 1.0
"""Seconds until the first line, when lines are further apart than that: whoever watches sees soon that it moves."""

_SMOOTHING = 30.0
"""Seconds over which the rate behind "time left" is smoothed: one slow page must not make it jump."""


class Say(Protocol):
    """Takes a line of the log: a sentence, and figures by name. A structlog method such as ``self.log.info`` is one."""

    def __call__(self, event: str, **figures: float) -> object:
        """Say it."""
        ...


def say_plainly(event: str, **figures: float) -> None:
    """Say a line through the standard library's logging, the figures as ``name=value`` behind the sentence."""
    log.info("%s%s", event, "".join(f" {name}={value}" for name, value in figures.items()))


@dataclass(slots=True)
class _Counts:
    """What this try has seen arrive."""

    records: int = 0
    decoded: int = 0
    """Of these; small pages wait until there are enough of them to be decoded together."""
    dead_letters: int = 0
    """Among those that are decoded."""
    bytes: int = 0
    pages: int = 0
    calls: int = 0
    retries: int = 0
    waited: float = 0.0
    fetching: float = 0.0
    """Seconds in which the read stood still until a batch was there."""


class Progress:
    """Looks on at a read and says every few seconds how far it has come.

    An onlooker of ``airgate.data.extract.extract``. Records count when their page arrives, dead letters when it is
    decoded, which for small pages is later. It has no clock of its own: a line is due when a page arrives or is
    decoded, or a part becomes durable, so that nothing is said while nothing happens. As a context manager it says a
    last line with the totals, whatever the end.

    Args:
        source: Names the collection at the beginning of each line.
        every: Seconds between two lines; 0 for one a page.
        clock: Seconds, from any origin, never going back.
        say: Takes the lines.
    """

    def __init__(
        self,
        source: str,
        *,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        say: Say = say_plainly,
    ) -> None:
        if not every >= 0:
            raise ValueError(f"every must be 0 or more seconds, not {every}")
        self._source, self._every, self._clock, self._say = source, every, clock, say
        self._counts = _Counts()
        self._began = self._said_at = clock()
        self._said_records = 0
        self._due = self._began + min(FIRST_LINE, every)
        self._smooth: float | None = None
        self._total: int | None = None
        self._share: float | None = None
        self._before = 0
        """Records that an earlier try made durable."""

    @property
    def seconds(self) -> float:
        """Since it began to look on."""
        return self._clock() - self._began

    def arrived(self, batch: Batch) -> None:
        """A page, or a piece of an export, is here."""
        counts, response = self._counts, batch.response
        counts.records += len(batch.records)
        counts.pages += 1
        counts.bytes += batch.bytes
        counts.fetching += batch.took
        if response is not None:
            counts.calls += response.attempts
            counts.retries += response.attempts - 1
            counts.waited += response.waited
        self._total, self._share = batch.total, batch.share
        self._speak_when_due()

    def took(self, batch: Batch, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        """It is decoded: now it is known which of its records do not fit."""
        self._counts.decoded += table.num_rows + len(misfits)
        self._counts.dead_letters += len(misfits)
        self._speak_when_due()

    def durable(self, manifest: Manifest) -> None:
        """A part is on the disk, or an earlier try's parts were found there."""
        # All that was decoded is in it; so it falls to zero when an expired position made the read start again.
        self._before = max(0, manifest.received - self._counts.decoded)
        self._speak_when_due()

    def summary(self, manifest: Manifest) -> dict[str, float]:
        """What the read that it looked on at brought and took, see ``summary_of``."""
        return summary_of(manifest, self.seconds, before=self._before, fetching=self._counts.fetching)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say how it ended, with the totals."""
        counts, seconds = self._counts, self.seconds
        end = "read to its end" if kind is None else f"stopped by {kind.__name__}"
        records = self._before + counts.records
        before = f", {_number(self._before)} of them by earlier tries" if self._before else ""
        self._say(
            f"{self._source}: {end} after {duration(seconds)}, {_number(records)} records{before}",
            **self._figures(_rate(counts.records, seconds)),
        )

    def _speak_when_due(self) -> None:
        now = self._clock()
        if now < self._due:
            return
        counts, span = self._counts, now - self._said_at
        fresh = counts.records - self._said_records
        if not fresh:
            return
        overall = _rate(counts.records, now - self._began)
        lately = _rate(fresh, span)
        self._smooth = smoothed(self._smooth, lately, span) if self._smooth is not None else overall
        self._say(
            f"{self._source}: {standing(self._before + counts.records, self._total, self._smooth, self._share)}",
            rows_per_s=round(lately),
            **self._figures(overall),
        )
        self._said_records, self._said_at, self._due = counts.records, now, now + self._every

    def _figures(self, overall: float) -> dict[str, float]:
        counts = self._counts
        return {
            "rows_per_s_overall": round(overall),
            "mb": round(counts.bytes / 1e6, 1),
            "pages": counts.pages,
            "calls": counts.calls,
            "retries": counts.retries,
            "waited_s": round(counts.waited, 1),
            "fetching_s": round(counts.fetching, 1),
            "dead_letters": counts.dead_letters,
        }


def standing(records: int, total: int | None, rate: float, share: float | None = None) -> str:
    """Where a read stands, in words: ``40,000 of 160,000 records, 25 % done, about 15 s left``.

    Args:
        records: Read so far, earlier tries included.
        total: In the whole collection; None, or a number that is exceeded already, when the service does not tell.
        rate: Records a second to expect.
        share: How much has come, from 0 to 1, where that is known otherwise: by the bytes of an export, or the parents
            whose children were read.
    """
    said = f"{_number(records)} records"
    if total and records <= total:
        said, share = f"{_number(records)} of {_number(total)} records", records / total
    if not share:
        return said
    said += f", {math.floor(100 * share)} % done"
    if share >= 1 or rate <= 0:
        return said
    return f"{said}, about {duration(records * (1 / share - 1) / rate)} left"


def smoothed(before: float, lately: float, seconds: float) -> float:
    """A rate that follows ``lately`` slowly, by the time it was observed: e-folding within half a minute."""
    return before + (lately - before) * (1 - math.exp(-seconds / _SMOOTHING))


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``0.4 s``, ``15 s``, ``4 min``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def summary_of(manifest: Manifest, seconds: float, *, before: int = 0, fetching: float = 0.0) -> dict[str, float]:
    """What a read brought and took, small enough for an XCom.

    Args:
        manifest: Of the complete data set.
        seconds: What this try took.
        before: Records that earlier tries had made durable; they do not count for this try's rate.
        fetching: Seconds in which this try stood still until pages were there.

    Returns:
        ``received``, ``written``, ``dead_lettered``: records. ``parts``: files, ``bytes``: their size. ``pages``,
        ``calls``, ``retries``, ``waited`` (seconds): over all tries. ``seconds``, ``fetching`` (seconds of those in
        which it stood still until pages were there), ``rows_per_s``: of this try.
    """
    calls = manifest.calls
    return {
        "received": manifest.received,
        "written": manifest.written,
        "dead_lettered": manifest.dead_lettered,
        "parts": len(manifest.parts),
        "bytes": sum(part.bytes for part in manifest.parts),
        "pages": calls.pages,
        "calls": calls.requests,
        "retries": calls.retries,
        "waited": round(calls.waited, 3),
        "seconds": round(seconds, 3),
        "fetching": round(fetching, 3),
        "rows_per_s": round(_rate(manifest.received - before, seconds), 1),
    }


def _rate(records: int, seconds: float) -> float:
    return records / seconds if seconds > 0 else 0.0


def _number(value: int) -> str:
    return f"{value:,}"
