"""The sagas that are explored, from calm days to the worst that two faults and a person can do."""

from __future__ import annotations

from airgate.policy.saga.plan import Plan, Step
from tests.policy.saga.saga_scenario import Budget, Operation, Scenario, steps

CLEARS: frozenset[Operation] = frozenset({"clear-step", "clear-begin", "clear-decide", "clear-undo"})
ALL: frozenset[Operation] = CLEARS | {"fail", "succeed"}
FAIL: frozenset[Operation] = frozenset({"fail"})
MARKS: frozenset[Operation] = frozenset({"fail-step", "skip-step"})
"""Of one step: the run goes on."""

ORDER = Plan(steps())
"""Reserve, charge, ship: the last is the pivot, and every service can be asked."""
UNASKED = Plan(steps(lookup=False))
"""The same with services that cannot be asked."""
NO_PIVOT = Plan(steps(pivot=False))
WITH_NOTIFY = Plan(steps(notify=True))
HALTING = Plan(steps(), halt_on_failed_undo=True)
CANCELLED = Plan(steps(lookup=False, tombstone=True, pivot=False))
"""Every undo cancels by key, and no service can be asked."""
SHORT = Plan((Step("reserve", undo=True, lookup=True), Step("ship", frozenset({"reserve"}), lookup=True, pivot=True)))
ONE = Plan((Step("pay", undo=True, lookup=True),))
ONE_CANCELLED = Plan((Step("pay", undo=True, tombstone=True),))
ONE_UNASKED = Plan((Step("pay", undo=True),))
PARALLEL = Plan((Step("reserve", undo=True, lookup=True), Step("charge", undo=True, lookup=True)))
DIAMOND = Plan(
    (
        Step("price", undo=False),
        Step("reserve", frozenset({"price"}), undo=True, lookup=True),
        Step("charge", frozenset({"price"}), undo=True, lookup=True),
        Step("ship", frozenset({"reserve", "charge"}), lookup=True, pivot=True),
    )
)

ORDER_STEPS = frozenset({"reserve", "charge", "ship"})
PAY = frozenset({"pay"})
PAY_TASKS = frozenset({"begin", "pay", "undo_pay", "verdict"})
DECIDE = frozenset({"decide"})

SCENARIOS = [
    # Faults of processes and requests.
    Scenario("a crash and a lost request", ORDER, Budget(crashes=1, troubles=1), at_least=13_000),
    Scenario("without a pivot", NO_PIVOT, Budget(crashes=1, troubles=1), at_least=15_000),
    Scenario("two steps at once", PARALLEL, Budget(crashes=1, troubles=1), at_least=24_000),
    Scenario("a step behind the pivot", WITH_NOTIFY, Budget(troubles=2), at_least=18_000),
    Scenario("nobody can be asked", UNASKED, Budget(crashes=1, troubles=1), at_least=13_000),
    Scenario("only a person knows", UNASKED, Budget(crashes=1, troubles=1, questions=2), at_least=16_000),
    Scenario("undos that cancel by key", CANCELLED, Budget(crashes=1, troubles=1), at_least=17_000),
    Scenario(
        "an undo that fails",
        HALTING,
        Budget(troubles=1, undo_troubles=1, questions=1, operations=1),
        CLEARS,
        at_least=14_000,
    ),
    Scenario("a deadline", SHORT, Budget(crashes=1, ticks=1), deadline=3, at_least=1_000),
    # Services that do whatever they get.
    Scenario("without keys", ONE, Budget(crashes=1, troubles=2), keyless=PAY, tries=3, at_least=8_000),
    Scenario(
        "without keys, the run is marked as failed",
        SHORT,
        Budget(operations=1),
        FAIL,
        keyless=ORDER_STEPS,
        at_least=2_000,
    ),
    Scenario(
        "with neither keys nor look-ups",
        UNASKED,
        Budget(crashes=1, troubles=1, questions=2),
        keyless=ORDER_STEPS,
        at_least=10_000,
    ),
    # A person in Airflow.
    Scenario("a person interferes", ORDER, Budget(operations=1), ALL, at_least=4_000),
    Scenario("the run is marked as failed", ORDER, Budget(operations=1, troubles=1), FAIL, tries=1, at_least=21_000),
    Scenario(
        "a person interferes with a saga in trouble", SHORT, Budget(operations=1, troubles=1), ALL, at_least=49_000
    ),
    Scenario("a person interferes twice", ONE, Budget(operations=2), ALL, at_least=8_000),
    Scenario(
        "a step behind the pivot is driven again",
        WITH_NOTIFY,
        Budget(operations=1, troubles=1),
        frozenset({"clear-step"}),
        tries=1,
        at_least=3_000,
    ),
    Scenario(
        "a person interferes, and knows",
        ONE_UNASKED,
        Budget(operations=1, troubles=1, questions=1),
        ALL,
        at_least=21_000,
    ),
    Scenario(
        "a person interferes with undos that cancel",
        ONE_CANCELLED,
        Budget(operations=1, troubles=1, undo_troubles=1, questions=1),
        ALL,
        at_least=25_000,
    ),
    Scenario("a person marks one of two steps", PARALLEL, Budget(operations=1), MARKS, at_least=13_000),
    # Processes die, and a person interferes.
    Scenario(
        "a crash, and a person interferes",
        ORDER,
        Budget(crashes=1, operations=1),
        ALL | {"fail-step"},
        at_least=160_000,
    ),
    Scenario(
        "a crash, a lost request, and the run is marked as failed",
        ORDER,
        Budget(crashes=1, operations=1, troubles=1),
        FAIL,
        at_least=870_000,
    ),
    Scenario(
        "a crash, a lost request, and a person interferes",
        ONE,
        Budget(crashes=1, operations=1, troubles=1),
        ALL,
        at_least=168_000,
    ),
    Scenario(
        "a crash, and a person interferes, and knows",
        ONE_UNASKED,
        Budget(crashes=1, operations=1, questions=1),
        ALL | MARKS,
        at_least=61_000,
    ),
    Scenario(
        "a crash, and a person interferes with undos that cancel",
        ONE_CANCELLED,
        Budget(crashes=1, operations=1),
        ALL | MARKS,
        at_least=40_000,
    ),
    Scenario(
        "a crash without keys, and a person interferes",
        ONE,
        Budget(crashes=1, operations=1),
        FAIL | CLEARS | MARKS,
        keyless=PAY,
        at_least=54_000,
    ),
    # Processes that are believed dead, and go on.
    Scenario("a ghost among three steps", ORDER, Budget(ghosts=1), at_least=6_000),
    Scenario("a ghost of a step", ONE, Budget(ghosts=1, troubles=1), at_least=33_000),
    Scenario("a ghost that is slow", ONE, Budget(ghosts=1, ticks=1), at_least=9_000),
    Scenario(
        "a ghost of any other task", ONE, Budget(ghosts=1, troubles=1), ghosts_of=PAY_TASKS - {"pay"}, at_least=3_000
    ),
    Scenario("a ghost that decides", SHORT, Budget(ghosts=1, troubles=1), ghosts_of=DECIDE, at_least=36_000),
    Scenario("a ghost, and a person knows", ONE_UNASKED, Budget(ghosts=1, troubles=1, questions=1), at_least=44_000),
    Scenario("a ghost, and undos that cancel", ONE_CANCELLED, Budget(ghosts=1, troubles=1), at_least=33_000),
]
"""Gone through history by history."""

_MUCH = Budget(crashes=3, ghosts=2, operations=4, troubles=4, undo_troubles=2, questions=3, ticks=2)

DEEP = [
    Scenario("order", ORDER, _MUCH, ALL | MARKS, tries=3, own_tries=3),
    Scenario("order with notify", WITH_NOTIFY, _MUCH, ALL | MARKS, tries=3, own_tries=3),
    Scenario("order without look-ups", UNASKED, _MUCH, ALL | MARKS, tries=3, own_tries=3),
    Scenario("cancelled", CANCELLED, _MUCH, ALL | MARKS, tries=3, own_tries=3),
    Scenario("diamond", DIAMOND, _MUCH, ALL | MARKS, tries=3, own_tries=3),
    Scenario("parallel", PARALLEL, _MUCH, ALL | MARKS, tries=3, own_tries=3, deadline=9),
    Scenario(
        "without keys",
        ORDER,
        _MUCH._replace(ghosts=0),
        FAIL | CLEARS | MARKS,
        keyless=ORDER_STEPS,
        tries=3,
        own_tries=3,
    ),
]
"""Too large for that: histories in them are drawn."""

MARKED = Scenario("a person marks and clears the pivot", WITH_NOTIFY, Budget(operations=2, troubles=1), ALL)
"""Too large as well; these are two of its histories, by the labels of their events."""
MARKED_THEN_CLEARED = ("mark ship", "notify: done, the answer is lost", "notify fails", "clear-step reserve")
WENT_BACK_THEN_MARKED = ("ship: refused", "ship fails", "clear-step ship", "mark ship", "notify fails")
