"""What happens to the orders of a saga: drawn, but some of it whatever the seed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.saga_cases import BATCH, BATCH_SIZE, CANCELLED, HELD, KEYED, KEYLESS, ROUND, cancelled, saga_cases
from tests.faults.saga_driver import runs_of

SEEDS = range(100)
WITHOUT_KEYS = {"before begin", "in begin", "during an undo"}
"""Of the moments those that there are in the DAG without keys: it is not mapped, and none of its runs is held."""


def dealt(count: int, seed: int, *ways: str) -> Counter[str | None]:
    """Which moments there are, and how often, of orders that have their run to themselves."""
    cases = saga_cases(count, seed, [way for way in (*KEYED, KEYLESS) if way in ways])
    together = Counter(case.run for case in cases)
    return Counter(cancelled(case) for case in cases if together[case.run] == 1)


def test_a_seed_fixes_the_cases_and_a_round_has_everything_that_happens() -> None:
    for seed in SEEDS:
        cases = saga_cases(2 * ROUND, seed, KEYED)
        assert cases == saga_cases(2 * ROUND, seed, KEYED) != saga_cases(2 * ROUND, seed + 1, KEYED)
        assert {case.what for case in cases} >= {"both", "edge", "service", "triggerer", "begun again"}
        assert {case.way for case in cases} == set(KEYED)
        assert {case.way for case in saga_cases(ROUND, seed, (KEYLESS,))} == {KEYLESS}


@pytest.mark.parametrize(("count", "times"), [(15, 1), (50, 1), (100, 2), (200, 4)])
def test_whatever_the_seed_runs_are_ended_at_each_of_the_five_moments(count: int, times: int) -> None:
    for seed in SEEDS:
        found = dealt(count, seed, *KEYED)
        assert {moment: found[moment] for moment in CANCELLED if found[moment] < times} == {}, seed


def test_a_run_that_is_ended_while_it_is_queued_is_a_mapped_one_and_another() -> None:
    for seed in SEEDS:
        queued = {case.way for case in saga_cases(100, seed, KEYED) if cancelled(case) == "while queued"}
        assert queued == set(HELD), seed


@pytest.mark.parametrize(("count", "times"), [(9, 1), (24, 1), (100, 2)])
def test_without_keys_they_are_ended_at_those_that_there_are(count: int, times: int) -> None:
    for seed in SEEDS:
        found = dealt(count, seed, KEYLESS)
        assert {moment for moment in CANCELLED if found[moment] >= times} == WITHOUT_KEYS, seed


def test_few_orders_are_not_all_ended_by_hand() -> None:
    """One of four is, at the moment that has most to it; what else happens is drawn."""
    for seed in SEEDS:
        assert "during an undo" in {cancelled(case) for case in saga_cases(4, seed, (KEYLESS,))}
    assert {case.what for seed in SEEDS for case in saga_cases(4, seed, (KEYLESS,))} >= {"both", "service", "cleared"}
    assert saga_cases(0, 1) == []


def test_orders_of_a_run_stand_together() -> None:
    for seed in SEEDS:
        cases = saga_cases(100, seed, KEYED)
        assert [case.number for case in cases] == list(range(100))
        runs = runs_of(cases, "s")
        assert [order.case for run in runs for order in run.orders] == cases
        for run in runs:
            [(way, queued)] = {
                (order.case.way, any(each.case.what == "queued" for each in run.orders)) for order in run.orders
            }
            assert run.dag == (HELD[way] if queued else way)
            assert len({order.case.run for order in run.orders}) == 1
            assert len(run.orders) <= (BATCH_SIZE if way == BATCH else 1)
            assert [order.index for order in run.orders] == (list(range(len(run.orders))) if way == BATCH else [-1])
        assert len({run.id for run in runs}) == len(runs)
