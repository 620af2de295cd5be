"""Every history of a saga ends as its verdict says, with no effect done twice and none left behind.

The programs run in a model of their world: a journal, services that lose and delay requests, Airflow with its retries,
processes that die or are believed dead and go on, a person who marks and clears tasks and answers questions. Small
worlds are gone through whole: nearly two million states, which stand for billions of histories. In large ones some
hundred histories are drawn, of three deaths, two ghosts, four troubles and four operations each.

Not asked for, as nothing could give it:

* that a service which knows no key does a step once, when two tries of it run at once;
* that a request is undone which arrives after its ``settles_at``;
* that two tries of ``decide``, one of them believed dead, agree when both stand between their last look at the decision
  and its writing; and that time stands still while it reads the clock for the fence, and puts it up.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.policy.saga.saga_explorer import explore, follow, walk
from tests.policy.saga.saga_scenario import Scenario
from tests.policy.saga.saga_scenarios import (
    ALL,
    DEEP,
    MARKED,
    MARKED_THEN_CLEARED,
    MARKS,
    SCENARIOS,
    WENT_BACK_THEN_MARKED,
)
from tests.policy.saga.saga_world import World


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_history_breaks_a_promise(scenario: Scenario) -> None:
    explored = explore(scenario)

    print(f"{explored.states} states, {explored.histories} histories, {dict(explored.ends)}")
    assert explored.states >= scenario.at_least
    expected = {"completed", "compensated"} if scenario.budget.troubles or scenario.operations else {"completed"}
    assert set(explored.ends) >= expected


def test_the_explored_worlds_are_large() -> None:
    assert len(SCENARIOS) >= 32
    assert sum(scenario.at_least for scenario in SCENARIOS) >= 1_800_000


def test_a_crash_and_a_person_occur_in_one_history_of_three_steps() -> None:
    """Whatever a step comes to, wherever a process dies, whichever try it is, whatever a person does."""
    together = [each for each in SCENARIOS if each.budget.crashes and each.budget.operations and each.tries > 1]
    three = [each for each in together if len(each.plan.steps) == 3]
    assert any(each.budget.troubles for each in three)
    assert any(each.operations >= ALL for each in three)
    assert frozenset().union(*(each.operations for each in together)) == ALL | MARKS
    assert any(each.keyless for each in together)


_CHOICES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), max_size=30)


@pytest.mark.parametrize("scenario", DEEP, ids=str)
def test_no_drawn_history_breaks_a_promise(scenario: Scenario) -> None:
    world = World(scenario)

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_CHOICES)
    def any_history(choices: list[tuple[int, int]]) -> None:
        walk(world, choices)

    any_history()


@pytest.mark.parametrize(
    ("history", "ended"), [(MARKED_THEN_CLEARED, "needs-attention"), (WENT_BACK_THEN_MARKED, "compensated")]
)
def test_a_person_who_marks_and_clears_the_pivot_leaves_nothing_behind_it(history: tuple[str, ...], ended: str) -> None:
    assert follow(MARKED, history) == ended
