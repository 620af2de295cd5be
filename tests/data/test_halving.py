"""Finding the few that fail among many."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from airgate.data.shape.halving import DENSE, halve


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))))
@example((4096, set(range(4096))))
@example((1, {0}))
@example((5000, {0, 4999}))
def test_all_that_fail_are_found_in_few_tries(case: tuple[int, set[int]]) -> None:
    """Every failing place is in what is given, few ones alone; tries grow with the digits of the count, no faster."""
    count, bad = case
    tried: list[tuple[int, int]] = []
    passed: set[int] = set()

    def fits(first: int, behind: int) -> bool:
        tried.append((first, behind))
        if bad.isdisjoint(range(first, behind)):
            passed.update(range(first, behind))
            return True
        return False

    found = halve(count, fits)
    given_back = [place for stretch in found for place in stretch]
    assert bad <= set(given_back)
    assert sorted([*given_back, *passed]) == list(range(count))
    assert given_back == sorted(given_back)
    assert len(tried) <= 2 * DENSE * count.bit_length()
    assert len(bad) > DENSE or set(given_back) == bad
