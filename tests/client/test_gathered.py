"""A body that is put together from its pieces."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.client.gathered import Gathered


@given(st.lists(st.binary(max_size=5), max_size=40), st.integers(1, 200))
def test_the_pieces_come_back_in_order_however_many_they_are(pieces: list[bytes], times: int) -> None:
    body = Gathered(0)
    for piece in pieces * times:
        assert body.add(piece)
    assert body.whole() == b"".join(pieces) * times


@pytest.mark.parametrize(("limit", "kept"), [(0, 9), (4, 4), (5, 5)])
def test_what_is_beyond_the_limit_is_told(limit: int, kept: int) -> None:
    body = Gathered(limit)
    assert [body.add(b"x") for _ in range(9)] == [number < kept for number in range(9)]


def test_a_million_small_pieces_take_little_more_than_what_they_hold() -> None:
    body = Gathered(0)
    tracemalloc.start()
    try:
        for number in range(1_000_000):
            body.add(bytes((number % 251,)) * 2)  # of one byte there are only 256, which Python has already
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3_000_000  # kept apart, 35 million
    assert len(body.whole()) == 2_000_000
