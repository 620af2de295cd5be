"""How far a server's word about its limit holds the next request back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.pacing import LONGEST, Pace, pause_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0),
        ({"ratelimit": '"default";r=0;t=30'}, 30),
        ({"ratelimit": '"default";r=50;t=30'}, 0),
        ({"ratelimit": '"default";r=5;t=30', "ratelimit-policy": '"default";q=100;w=60'}, 5),
        ({"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'}, 0),
        ({"ratelimit": '"minute";r=40;t=30, "day";r=0;t=600'}, 600),
        ({"ratelimit": '"hour" ; r=0 ; t=9'}, 9),
        ({"ratelimit": "limit=100, remaining=0, reset=12"}, 12),
        ({"ratelimit-limit": "100", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"}, 20),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 20)}, 20),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) * 1000 + 20_000)}, 20),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "20"}, 20),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) - 20)}, 0),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-limit": "100", "x-ratelimit-reset": "20"}, 10),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "20"}, 0),
        ({"x-ratelimit-remaining": "0"}, 0),
        ({"x-ratelimit-remaining": "none", "x-ratelimit-reset": "20"}, 0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "999999"}, LONGEST),
    ],
)
def test_each_form_of_the_headers_is_understood(headers: dict[str, str], pause: float) -> None:
    """Nothing left waits for the window's end, little left is spread over it, plenty left does not wait."""
    assert pause_after(headers, NOW) == pytest.approx(pause)


@given(st.dictionaries(st.sampled_from(["ratelimit", "ratelimit-policy", "x-ratelimit-remaining"]), st.text()))
def test_no_header_can_break_a_call(headers: dict[str, str]) -> None:
    """Whatever stands there, the pause is a number within bounds."""
    assert 0 <= pause_after(headers, NOW) <= LONGEST


def test_the_longest_pause_counts_until_it_is_over() -> None:
    """A later answer that knows of no limit does not shorten the wait that an earlier one asked for."""
    pace = Pace()
    pace.heed({"ratelimit": '"a";r=0;t=30'}, NOW)
    pace.heed({}, NOW + 1)
    assert [pace.pause(NOW), pace.pause(NOW + 10), pace.pause(NOW + 31)] == [30, 20, 0]
