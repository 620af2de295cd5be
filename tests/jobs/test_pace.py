"""When a job is looked at again: bounds, growth, the service's own word, and jitter."""

from __future__ import annotations

import pytest

from airgate.jobs.pace import PollPace

PACE = PollPace(2.0, 60.0)


@pytest.mark.parametrize(("waited", "seconds"), [(0, 2), (15, 2), (100, 10), (590, 59), (600, 60), (86_400, 60)])
def test_the_interval_grows_to_a_tenth_of_the_time_waited_within_its_bounds(waited: float, seconds: float) -> None:
    assert PACE.interval(waited, None, 0.0) == pytest.approx(seconds)


@pytest.mark.parametrize(("asked", "seconds"), [(0, 2), (1, 2), (5, 5), (300, 300), (1e9, 3600)])
def test_the_service_is_obeyed_but_for_less_than_the_shorter_bound_and_more_than_an_hour(
    asked: float, seconds: float
) -> None:
    assert PACE.interval(1000, asked, 0.0) == pytest.approx(seconds)


def test_jitter_takes_up_to_a_tenth_off_and_never_less_than_what_the_service_asked() -> None:
    assert PACE.interval(600, None, 1.0) == pytest.approx(54)
    assert PACE.interval(600, None, 0.5) == pytest.approx(57)
    assert PACE.interval(600, 30, 1.0) == pytest.approx(30.2)


@pytest.mark.parametrize(("shortest", "longest"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 5.0)])
def test_bounds_that_cannot_be_are_refused(shortest: float, longest: float) -> None:
    with pytest.raises(ValueError, match="the shorter bound first"):
        PollPace(shortest, longest)
