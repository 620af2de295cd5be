"""What the log and lineage say of a transform."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from airflow.sdk.lineage import HookLineageCollector

from airgate.data import pace_line
from airgate.data.frames import reading
from airgate.data.pace_line import PaceLine
from airgate.decorators.dataframe import Frames
from airgate.hooks import lineage
from tests.decorators.transforms import numbers_of_a_test, run  # noqa: F401, a fixture


@pytest.fixture
def clock() -> list[float]:
    """The time, in seconds."""
    return [1000.0]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> list[tuple[str, dict[str, float]]]:
    """What is said."""
    said: list[tuple[str, dict[str, float]]] = []

    def paced(source: str, *arguments: Any, **options: Any) -> PaceLine:
        options["say"] = lambda event, **figures: said.append((event, figures))
        return PaceLine(source, *arguments, clock=lambda: clock[0], **options)

    monkeypatch.setattr(pace_line, "PaceLine", paced)
    return said


def test_pieces_say_how_far_they_are(context, numbers, lines: list, clock: list[float]) -> None:
    """Rows that the function has had, of those that there are, and rows that it has given."""

    def halved(frames: Frames):
        for frame in frames:
            clock[0] += 4
            yield frame.iloc[::2]

    run(halved, context, numbers, chunk_rows=2)
    assert [event for event, _ in lines] == [
        "reading frames: 2 of 10 records, 20 % done, about 16 s left",
        "reading frames: 6 of 10 records, 60 % done, about 8.0 s left",
        "reading frames: 10 of 10 records, 100 % done",
    ]
    assert [figures["rows_written"] for _, figures in lines] == [1, 3, 5]


def test_a_generator_says_what_it_has_given(context, lines: list, clock: list[float]) -> None:
    """It reads nothing, so nobody knows how much there will be."""

    def made():
        for _ in range(4):
            clock[0] += 3
            yield pd.DataFrame({"n": range(5)})

    run(made, context)
    assert [event for event, _ in lines] == ["writing: 3.0 s so far", "writing: 10 records"]


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, []), (8, ["reading whole: 10 of 10 records, 100 % done"])])
def test_a_whole_frame_says_so_if_reading_took_long(
    context, numbers, lines: list, clock: list[float], monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list
) -> None:
    """With rows a second and megabytes."""
    read = reading.read_table

    def slowly(*arguments: Any) -> Any:
        clock[0] += seconds
        return read(*arguments)

    monkeypatch.setattr(reading, "read_table", slowly)

    def same(whole):
        return whole

    run(same, context, numbers)
    assert [event for event, _ in lines] == expected
    assert all({"rows_per_s", "rows_per_s_overall"} <= set(figures) for _, figures in lines)


def test_hook_lineage_gets_what_was_read_and_written(context, numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders with their counts, one for each name of a dict; OpenLineage is told of the same."""
    collector = HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)

    def split(frame):
        return {"low": frame[frame["n"] < 3], "high": frame[frame["n"] >= 3]}

    made = run(split, context, numbers)
    found = collector.collected_assets
    assert [(one.asset.uri, one.asset.extra["rows"]) for one in found.inputs] == [(numbers["path"], 10)]
    assert [(one.asset.uri, one.asset.extra["rows"]) for one in found.outputs] == [
        (made["low"]["path"], 3),
        (made["high"]["path"], 7),
    ]
