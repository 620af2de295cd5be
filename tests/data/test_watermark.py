"""Watermarks: what is compared, what is stored, what is sent."""

from __future__ import annotations

import datetime as dt
import json
from datetime import timedelta
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.data.read.watermark import Watermark, check_format, formatted, higher, watermark_of

NOON = dt.datetime(2024, 1, 31, 12, 0, 0, 250_000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("given_value", "kind", "value"),
    [
        (NOON, "timestamp", NOON),
        (dt.datetime(2024, 1, 31, 12), "timestamp", dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)),  # noqa: DTZ001
        (pendulum.datetime(2024, 1, 31, 13, tz="Europe/Vienna"), "timestamp", NOON.replace(microsecond=0)),
        ("2024-01-31T13:00:00.25+01:00", "timestamp", NOON),
        ("2024-01-31 12:00:00.250000+00:00", "timestamp", NOON),  # how a template writes data_interval_end
        ("2024-01-31", "date", dt.date(2024, 1, 31)),
        (dt.date(2024, 1, 31), "date", dt.date(2024, 1, 31)),
        (17, "integer", 17),
        (" 17 ", "integer", 17),
        ("-17", "integer", -17),
        ("01HQ3K", "text", "01HQ3K"),
    ],
)
def test_what_a_person_gives_is_read(given_value: Any, kind: str, value: Any) -> None:
    """Datetimes of any zone, dates, numbers, and text that is one of them."""
    mark = watermark_of(given_value)
    assert (mark.kind, mark.value) == (kind, value)
    assert type(mark.value) in (dt.datetime, dt.date, int, str)


VALUES = st.one_of(
    st.datetimes(timezones=st.just(dt.UTC)), st.dates(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=20)
)


@given(VALUES)
def test_a_watermark_survives_json(value: Any) -> None:
    """What Airflow's store gives back is what was stored, kind included."""
    mark = Watermark(value)
    stored = json.loads(json.dumps(mark.to_json()))
    assert Watermark.from_json(stored) == mark
    assert Watermark.from_json(stored).kind == mark.kind


@given(st.lists(st.datetimes(timezones=st.just(dt.UTC)), min_size=1))
def test_the_higher_one_wins_whatever_the_order(moments: list[dt.datetime]) -> None:
    """Backfills and late reruns come in any order, and the watermark ends at the same place."""
    mark = None
    for moment in moments:
        mark = higher(mark, Watermark(moment))
    assert mark == Watermark(max(moments))


def test_a_date_is_compared_as_its_beginning() -> None:
    """A backfill by dates does not go behind a watermark in time, and the other way round."""
    day, noon = Watermark(dt.date(2024, 1, 31)), Watermark(NOON)
    assert higher(day, noon) == higher(noon, day) == noon
    assert higher(Watermark(dt.date(2024, 2, 1)), noon) == Watermark(dt.date(2024, 2, 1))


def test_a_field_that_became_another_one_is_named() -> None:
    """A number cannot be held against a moment; the cure stands in the error."""
    with pytest.raises(ValueError, match=r"the watermark is the integer 5.*give the incremental another name"):
        higher(Watermark(5), Watermark(NOON))


@pytest.mark.parametrize(
    "stored",
    [None, {}, {"version": 2, "kind": "date", "value": "2024-01-01"}, {"version": 1, "kind": "date", "value": 1}],
)
def test_what_is_no_watermark_is_refused(stored: object) -> None:
    """A later release's, or somebody else's."""
    with pytest.raises(ValueError, match="not a watermark"):
        Watermark.from_json(stored)


@pytest.mark.parametrize(
    ("value", "lookback", "result"),
    [
        (NOON, timedelta(hours=1), NOON - timedelta(hours=1)),
        (dt.date(2024, 1, 31), timedelta(days=1), dt.date(2024, 1, 30)),
        (dt.date(2024, 1, 31), timedelta(hours=1), dt.date(2024, 1, 30)),
        (100, 7, 93),
        (100, None, 100),
        ("x", timedelta(), "x"),
    ],
)
def test_a_lookback_goes_back(value: Any, lookback: Any, result: Any) -> None:
    """An hour before a day begins within the day before it."""
    assert Watermark(value).minus(lookback).value == result


@pytest.mark.parametrize(("value", "lookback"), [(NOON, 5), (5, timedelta(hours=1)), ("x", timedelta(hours=1))])
def test_a_lookback_of_another_kind_is_refused(value: Any, lookback: Any) -> None:
    """An hour of numbers does not exist."""
    with pytest.raises(ValueError, match="does not go with"):
        Watermark(value).minus(lookback)


@pytest.mark.parametrize(
    ("value", "form", "sent"),
    [
        (NOON, "iso", "2024-01-31T12:00:00.250000Z"),
        (NOON.replace(microsecond=0), "iso", "2024-01-31T12:00:00Z"),
        (dt.date(2024, 1, 31), "iso", "2024-01-31"),
        (NOON, "date", "2024-01-31"),
        (NOON, "epoch", 1706702400),
        (NOON, "epoch_ms", 1706702400250),
        (dt.date(2024, 1, 31), "epoch", 1706659200),
        (NOON, "%d.%m.%Y %H:%M", "31.01.2024 12:00"),
        (17, "iso", 17),
        ("x7", "epoch", "x7"),
    ],
)
def test_the_parameter_is_written_as_the_service_reads_it(value: Any, form: str, sent: Any) -> None:
    """Numbers and text go out as they are."""
    assert formatted(Watermark(value), form) == sent


@given(st.datetimes(min_value=dt.datetime(1, 1, 2), timezones=st.just(dt.UTC)))  # noqa: DTZ001
def test_no_form_goes_beyond_the_watermark(moment: dt.datetime) -> None:
    """A parameter that is rounded is rounded down: rounded up, records between would never be read."""
    beginning = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert beginning + timedelta(milliseconds=int(formatted(Watermark(moment), "epoch_ms"))) <= moment
    assert beginning + timedelta(seconds=int(formatted(Watermark(moment), "epoch"))) <= moment
    assert watermark_of(str(formatted(Watermark(moment), "iso"))).value == moment


def test_an_unknown_form_is_named() -> None:
    """While the DAG is parsed."""
    check_format("%Y")
    with pytest.raises(ValueError, match="format must be one of iso, date, epoch, epoch_ms or a pattern"):
        check_format("unix")
