"""The retries that all calls of a process share."""

from __future__ import annotations

from airgate.policy.budget import RetryBudget


def test_a_storm_of_retries_is_cut_to_its_share() -> None:
    """When every call wants four retries, a thousand calls get the reserve and one retry for every five calls."""
    budget, spent = RetryBudget(0.2, reserve=20), 0
    for _ in range(1000):
        budget.pay_in()
        spent += sum(budget.spend() for _ in range(4))
    assert 215 <= spent <= 220


def test_what_is_saved_up_is_bounded() -> None:
    """A quiet night does not buy a storm in the morning."""
    budget = RetryBudget(0.2, reserve=3)
    for _ in range(1000):
        budget.pay_in()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_no_share_means_no_budget() -> None:
    """0 switches it off."""
    budget = RetryBudget(0, reserve=1)
    assert all(budget.spend() for _ in range(100))
