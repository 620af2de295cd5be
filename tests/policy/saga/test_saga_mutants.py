"""The exploration finds the faults that the programs could have: each of these was put in, and is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgate.policy.saga import beginning, deciding, forward, settling, undoing, verdict
from tests.policy.saga.saga_claims import BrokenError
from tests.policy.saga.saga_explorer import explore, follow
from tests.policy.saga.saga_mutant import Mutant
from tests.policy.saga.saga_scenario import Budget, Scenario
from tests.policy.saga.saga_scenarios import (
    ALL,
    CLEARS,
    DECIDE,
    FAIL,
    HALTING,
    MARKED,
    MARKED_THEN_CLEARED,
    MARKS,
    ONE,
    ONE_CANCELLED,
    ONE_UNASKED,
    PARALLEL,
    PAY,
    SCENARIOS,
    SHORT,
    UNASKED,
    WENT_BACK_THEN_MARKED,
)

_SENT_AGAIN = """
    yield from _check_open(name, epoch, fenced=fenced)
    return Started"""
_FENCES = """    if (yield Read(epoch.fence)) is None:
        now = yield Now()
        yield Write(epoch.fence, {"at": now})
    decision = yield from _direction(plan, epoch, answer)
"""
_FENCES_LATE = """    decision = yield from _direction(plan, epoch, answer)
    if (yield Read(epoch.fence)) is None:
        now = yield Now()
        yield Write(epoch.fence, {"at": now})
"""
_UNDONE = """if isinstance(outcome, Done):
            yield from note_undone(found.epoch, name, "undone")
            return outcome.result"""
_SAYS_UNDONE = """if True:
            yield from note_undone(found.epoch, name, "undone")
            return None"""

TROUBLE = Scenario("trouble", SHORT, Budget(crashes=1, troubles=1))
TROUBLES = Scenario("troubles", SHORT, Budget(troubles=2))
GHOST = Scenario("ghost", ONE, Budget(ghosts=1, troubles=1))
FAILED = Scenario("failed", ONE, Budget(operations=1, troubles=1), FAIL)
PIVOT_FAILED = Scenario("pivot failed", SHORT, Budget(operations=1), FAIL)
CLEARED = Scenario("cleared", ONE, Budget(operations=1, troubles=1), frozenset({"clear-decide"}))
DECIDING = Scenario("deciding", ONE, Budget(ghosts=1, troubles=1), ghosts_of=DECIDE)
LATE = Scenario("late", SHORT, Budget(crashes=1, ticks=1), deadline=3)
KEYLESS = Scenario("keyless", ONE, Budget(troubles=1), keyless=PAY)
KEYLESS_UNASKED = Scenario("keyless, unasked", ONE_UNASKED, Budget(troubles=1), keyless=PAY)
NOBODY = Scenario("nobody", UNASKED, Budget(troubles=1))
PERSON = Scenario("person", ONE_UNASKED, Budget(operations=1, troubles=1, questions=1), FAIL)
CANCELLING = Scenario("cancelling", ONE_CANCELLED, Budget(troubles=1, undo_troubles=1, questions=1))
HALTS = Scenario("halts", HALTING, Budget(troubles=1, undo_troubles=1))
MARKED_STEP = Scenario("one of two steps is marked", PARALLEL, Budget(operations=1), MARKS)

MUTANTS = [
    Mutant(
        "looks for the fence only before it announces", forward, "start", _SENT_AGAIN, "\n    return Started", FAILED
    ),
    Mutant(
        "the same, when a person ends one of two steps",
        forward,
        "start",
        _SENT_AGAIN,
        "\n    return Started",
        MARKED_STEP,
    ),
    Mutant("does not heed the deadline", forward, "start", "now >= epoch.deadline", "False", LATE),
    Mutant(
        "does not ask before it sends again without a key", forward, "start", "if not repeatable:", "if False:", KEYLESS
    ),
    Mutant(
        "sends again without a key or a look-up",
        forward,
        "_sent_before",
        "if not step.lookup:",
        "if not step.lookup:\n        return None\n    if False:",
        KEYLESS_UNASKED,
    ),
    Mutant("lets every try be the first", forward, "_is_first", 'return bool(sent["at"] == at)', "return True", GHOST),
    Mutant(
        "takes a try that waited for the only one",
        forward,
        "start",
        "repeatable or not resumed",
        "not resumed",
        TROUBLES,
    ),
    Mutant("forgets what a try has sent before it waits", forward, "pause", "now + settles_in", "now", FAILED),
    Mutant("takes what is unknown for refused", forward, "finish", "isinstance(outcome, Refused)", "True", TROUBLE),
    Mutant(
        "trusts a refusal although another try was there",
        settling,
        "recorded",
        '(yield Read(epoch.of(step.name, "again"))) is not None',
        "False",
        TROUBLE,
    ),
    Mutant(
        "does not wait until late requests are there", settling, "settle", "known.settles_at > now", "False", FAILED
    ),
    Mutant(
        "asks a person before late requests are there",
        settling,
        "settle",
        "known.settles_at > now",
        "step.lookup and known.settles_at > now",
        PERSON,
    ),
    Mutant(
        "takes silence for no",
        settling,
        "settle",
        "(yield from _asked(step, epoch, known, answer))",
        'Absent("nobody has said so")',
        NOBODY,
    ),
    Mutant(
        "waits for the last try that it sees",
        settling,
        "_all_settle_at",
        "if fence is None",
        "if True",
        Scenario("a slow ghost hides what another has announced", ONE, Budget(ghosts=1, ticks=1, operations=1), FAIL),
        (
            "pay: now",
            "pay is believed dead",
            "ghost of pay reads 1.fence",
            "ghost of pay reads 1.pay.sent",
            "it is 4",
            "pay writes 1.pay.sent",
            "pay writes 1.pay.first",
            "pay reads 1.pay.sent",
            "ghost of pay writes 1.pay.sent",
            "mark the run as failed",
            "decide writes 1.fence",
            "ghost of pay: the process dies, the request is late",
            "it is 11",
            "undo_pay looks up pay",
            "late request",
        ),
    ),
    Mutant("reads before it puts up the fence", deciding, "decide", _FENCES, _FENCES_LATE, PIVOT_FAILED),
    Mutant(
        "goes back while the pivot is in doubt",
        deciding,
        "_direction",
        "yield from settle(plan.pivot, epoch, answer)",
        "yield from recorded(plan.pivot, epoch)",
        TROUBLE,
    ),
    Mutant(
        "forgets that a person has marked the pivot as succeeded",
        deciding,
        "_missing",
        '(yield Read(epoch.of(step.name, "marked"))) is None',
        "True",
        MARKED,
        MARKED_THEN_CLEARED,
    ),
    Mutant(
        "goes on behind the pivot of a saga that went back",
        forward,
        "_check_open",
        'if not fenced and (decision is None or decision["direction"] != "back")',
        "if not fenced",
        MARKED,
        (*WENT_BACK_THEN_MARKED[:-1], "notify: done"),
    ),
    Mutant("decides again what was final", deciding, "_final", "earlier is None", "True", CLEARED),
    Mutant(
        "does not look whether another has decided",
        deciding,
        "decide",
        "    if final is not None:\n        return final\n    yield Write(",
        "    yield Write(",
        DECIDING,
    ),
    Mutant(
        "undoes without a look-up",
        undoing,
        "effect_to_undo",
        "known = yield from settle(step, epoch, answer)",
        "known = yield from recorded(step, epoch)\n        if isinstance(known, Doubtful):\n"
        "            return ToUndo(epoch, step, None)",
        TROUBLE,
    ),
    Mutant(
        "does not cancel what is in doubt",
        undoing,
        "effect_to_undo",
        "return ToUndo(epoch, step, None, known.settles_at)",
        "known = Absent(known.why)",
        CANCELLING,
    ),
    Mutant("believes a person while requests are late", undoing, "undo", "found.settles_at > now", "False", CANCELLING),
    Mutant(
        "undoes while the pivot is in doubt",
        undoing,
        "_check_back",
        'if decision["direction"] == "nowhere":',
        'if decision["direction"] == "nowhere":\n        return\n    if False:',
        NOBODY,
    ),
    Mutant("does not halt on a failed undo", undoing, "_check_back", "if plan.halt_on_failed_undo", "if False", HALTS),
    Mutant("says undone when it is not", undoing, "undo", _UNDONE, _SAYS_UNDONE, CANCELLING),
    Mutant(
        "begins anew while an epoch is open",
        beginning,
        "begin",
        'if verdict is None or verdict["state"] not in OVER',
        'verdict = verdict or {"state": "open"}\n        if False',
        Scenario("open", ONE, Budget(operations=2), ALL),
    ),
    Mutant(
        "calls a person for a pivot that was settled",
        verdict,
        "_seen",
        "elif went_back:",
        "elif went_back and not step.pivot:",
        TROUBLE,
    ),
    Mutant("overlooks what is left", verdict, "_state", "if step.state in _LEFT", "if False", HALTS),
    Mutant(
        "calls it compensated whatever was sent",
        verdict,
        "_state",
        'step.state == "not sent"',
        "True",
        Scenario("undecided", ONE, Budget(crashes=2), CLEARS),
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_fault_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.put_in(monkeypatch)

    with pytest.raises(BrokenError) as found:
        follow(mutant.scenario, mutant.history) if mutant.history else explore(mutant.scenario)

    print(found.value)


WHOLE = {id(mutant.scenario): mutant.scenario for mutant in MUTANTS if not mutant.history}


@pytest.mark.parametrize("scenario", WHOLE.values(), ids=str)
def test_without_a_fault_none_is_found(scenario: Scenario) -> None:
    explore(scenario)


TOGETHER = [scenario for scenario in SCENARIOS if scenario.budget.crashes and scenario.budget.operations]
_UNDOES = "outcome = yield Undo(name, found.epoch.number, found.result)"
_NOTES_FIRST = f'yield from note_undone(found.epoch, name, "undone")\n        {_UNDOES}'


@pytest.mark.parametrize("scenario", TOGETHER, ids=str)
def test_a_fault_that_needs_a_crash_and_a_person_is_found_where_both_are(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person ends the saga, and its undo dies: either alone shows nothing."""
    Mutant("says undone before it is", undoing, "undo", _UNDOES, _NOTES_FIRST, scenario).put_in(monkeypatch)
    with pytest.raises(BrokenError):
        explore(scenario)
    for lacking in ("crashes", "operations"):
        explore(replace(scenario, budget=scenario.budget._replace(troubles=0, **{lacking: 0})))
