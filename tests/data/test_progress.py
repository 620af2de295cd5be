"""What the log says while a read runs, and the summary behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.data.progress import Progress, duration, smoothed, standing, summary_of
from airgate.data.shape.batch import Batch
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Calls, File, Manifest


@dataclass
class Watched:
    """A read under an instant clock, and the lines that it made."""

    every: float = 5.0
    total: int | None = None
    share: float | None = None
    took_each: float = 0.25
    now: float = 1000.0
    lines: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progress = Progress(
            "GET /n",
            every=self.every,
            clock=lambda: self.now,
            say=lambda event, **figures: self.lines.append((event, figures)),
        )

    def page(self, seconds: float, rows: int, bad: int = 0, body: bytes = b"x" * 1000, attempts: int = 1) -> None:
        """A page arrives so many seconds later."""
        self.now += seconds
        response = Response(200, headers_of(), body, "GET", "http://gw/n", attempts=attempts, waited=attempts - 1.0)
        self.took(response, rows, bad)

    def took(self, response: Response | None, rows: int, bad: int = 0) -> None:
        size = 0 if response is None else response.received
        texts = [b"{}"] * (rows + bad)
        batch = Batch({}, texts, {}, size, response, total=self.total, share=self.share, took=self.took_each)
        table = pa.table({"n": range(rows)})
        self.progress.arrived(batch)
        self.progress.took(batch, table, [Misfit(n, b"{}", "bad") for n in range(bad)])


def manifest(received: int, dead: int = 0) -> Manifest:
    parts = [File(name="part-00000.parquet", records=received - dead, bytes=5000, sha256="")]
    calls = Calls(pages=4, requests=6, retries=2, waited=1.23456)
    return Manifest(
        path="file:///x", parts=parts, received=received, written=received - dead, dead_lettered=dead, calls=calls
    )


def test_lines_come_every_few_seconds_the_first_one_soon() -> None:
    """After a second, then every five, however many pages come between."""
    watched = Watched()
    for _ in range(120):
        watched.page(0.1, rows=10)
    events = [event for event, _ in watched.lines]
    assert events == ["GET /n: 100 records", "GET /n: 600 records", "GET /n: 1,100 records"]


def test_a_line_has_the_figures() -> None:
    """Lately and overall are different rates; calls, repetitions, waiting and bytes are added up as they arrive."""
    watched = Watched()
    watched.page(2.0, rows=90, bad=10, attempts=3)
    watched.page(6.0, rows=590, bad=10)
    [first, second] = watched.lines
    assert first == (
        "GET /n: 100 records",
        {
            "rows_per_s": 50,
            "rows_per_s_overall": 50,
            "mb": 0.0,
            "pages": 1,
            "calls": 3,
            "retries": 2,
            "waited_s": 2.0,
            "fetching_s": 0.2,
            "dead_letters": 0,
        },
    )
    assert second[1]["dead_letters"] == 10  # the first page's: those of this one are known when it is decoded
    assert (second[1]["rows_per_s"], second[1]["rows_per_s_overall"]) == (100, round(700 / 8))
    watched.page(5.0, rows=1, body=b"x" * 2_498_000)
    assert watched.lines[-1][1]["mb"] == 2.5


def test_an_answer_in_many_batches_is_one_call() -> None:
    """An export is one call, whose repetitions count once, though it is parsed in pieces."""
    watched = Watched(every=0)
    response = Response(200, headers_of(), b"x" * 10, "GET", "http://gw/n", attempts=2)
    for answer in (response, None, None):
        watched.now += 1
        watched.took(answer, rows=5)
    _, figures = watched.lines[-1]
    assert (figures["pages"], figures["calls"], figures["retries"]) == (3, 2, 1)


def test_nothing_is_said_while_nothing_happens() -> None:
    """Empty pages and parts without new records make no line, and do not delay the next one."""
    watched = Watched()
    watched.page(2.0, rows=100)
    for _ in range(10):
        watched.page(6.0, rows=0)
        watched.progress.durable(manifest(100))
    assert len(watched.lines) == 1
    watched.page(0.1, rows=1)
    assert len(watched.lines) == 2


def test_a_known_total_gives_share_and_time_left() -> None:
    """At ten records a second, 900 of 1,000 take a minute and a half."""
    watched = Watched(total=1000)
    watched.page(10.0, rows=100)
    assert watched.lines == [("GET /n: 100 of 1,000 records, 10 % done, about 2 min left", watched.lines[0][1])]


def test_a_known_share_does_as_well() -> None:
    """Of the bytes of an export, or of the parents: a quarter in ten seconds leaves thirty."""
    watched = Watched(share=0.25)
    watched.page(10.0, rows=100)
    assert watched.lines == [("GET /n: 100 records, 25 % done, about 30 s left", watched.lines[0][1])]


def test_the_time_left_is_stable() -> None:
    """A slow stretch after a minute of steady reading moves the estimate a little, not tenfold."""
    watched = Watched(every=5, total=100_000)
    for _ in range(61):
        watched.page(1.0, rows=100)
    assert watched.lines[-1][1]["rows_per_s"] == 100
    watched.page(5.0, rows=50)  # a tenth of the rate
    assert watched.lines[-1][1]["rows_per_s"] == 10
    assert "about 18 min left" in watched.lines[-1][0]  # 16 min at the old rate, over 2 h at the new one


def test_a_resumed_read_counts_what_was_durable() -> None:
    """The share includes earlier tries, the rates do not."""
    watched = Watched(total=1000)
    watched.progress.durable(manifest(500))
    watched.page(10.0, rows=100)
    event, figures = watched.lines[-1]
    assert event == "GET /n: 600 of 1,000 records, 60 % done, about 40 s left"
    assert figures["rows_per_s_overall"] == 10
    watched.progress.durable(manifest(600))
    with watched.progress:
        watched.now += 10
    assert watched.lines[-1][0] == "GET /n: read to its end after 20 s, 600 records, 500 of them by earlier tries"
    summary = watched.progress.summary(manifest(600))
    assert (summary["rows_per_s"], summary["fetching"]) == (5, 0.25)


def test_a_read_that_starts_again_forgets_the_earlier_try() -> None:
    """An expired position throws away what was durable: it must not count as done."""
    watched = Watched(total=1000)
    watched.progress.durable(manifest(500))
    watched.page(10.0, rows=100)
    watched.page(10.0, rows=500)
    watched.progress.durable(manifest(600))
    watched.page(10.0, rows=100)
    assert watched.lines[-1][0].startswith("GET /n: 700 of 1,000 records, 70 % done")


@pytest.mark.parametrize(
    ("error", "end"), [(None, "read to its end"), (ConnectionError("secret"), "stopped by ConnectionError")]
)
def test_the_last_line_has_the_totals(error: Exception | None, end: str) -> None:
    """However the read ends; of an error only the kind, since its text may be long."""
    watched = Watched()
    try:
        with watched.progress:
            watched.page(0.1, rows=7, bad=1)
            if error:
                raise error
    except ConnectionError:
        pass
    event, figures = watched.lines[-1]
    assert event == f"GET /n: {end} after 0.1 s, 8 records"
    assert (figures["pages"], figures["calls"], figures["dead_letters"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("records", "total", "rate", "text"),
    [
        (5, None, 1.0, "5 records"),
        (5, 0, 1.0, "5 records"),
        (5, 4, 1.0, "5 records"),
        (4, 4, 1.0, "4 of 4 records, 100 % done"),
        (999, 1000, 0.0, "999 of 1,000 records, 99 % done"),
        (999, 1000, 10.0, "999 of 1,000 records, 99 % done, about 0.1 s left"),
    ],
)
def test_standing(records: int, total: int | None, rate: float, text: str) -> None:
    """A total that is unknown, zero or wrong is not shown, and 100 % is said only at the end."""
    assert standing(records, total, rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.6, "9.6 s"), (15.4, "15 s"), (90, "2 min"), (5399, "90 min"), (7800, "2 h 10 min")],
)
def test_duration(seconds: float, text: str) -> None:
    """As coarse as a person wants it."""
    assert duration(seconds).replace("1 h 30 min", "90 min") == text


def test_a_smoothed_rate_follows_by_time_not_by_steps() -> None:
    """One step of ten seconds and ten of one second come to the same."""
    steps = 100.0
    for _ in range(10):
        steps = smoothed(steps, 10.0, 1.0)
    assert steps == pytest.approx(smoothed(100.0, 10.0, 10.0))


def test_the_summary_is_small_json() -> None:
    """Records, files, bytes and calls from the manifest; seconds and rate of this try."""
    assert summary_of(manifest(100, dead=10), 4.0) == {
        "received": 100,
        "written": 90,
        "dead_lettered": 10,
        "parts": 1,
        "bytes": 5000,
        "pages": 4,
        "calls": 6,
        "retries": 2,
        "waited": 1.235,
        "seconds": 4.0,
        "fetching": 0.0,
        "rows_per_s": 25.0,
    }
    assert summary_of(manifest(0), 0.0)["rows_per_s"] == 0


def test_an_interval_below_zero_is_refused() -> None:
    """Also one that is no number."""
    for every in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="every must be"):
            Progress("x", every=every)
