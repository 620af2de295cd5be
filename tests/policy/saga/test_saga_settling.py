"""What is known of a step: by its entries, by the service, by a person."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.policy.errors import NeedsAttention
from airgate.policy.saga.effects import Answer, Done, LookUp, Question, Wait
from airgate.policy.saga.entries import Epoch
from airgate.policy.saga.plan import Step
from airgate.policy.saga.settling import Absent, Doubtful, recorded, settle
from tests.policy.saga.saga_journal import run

STEP = Step("pay", undo=True)
ASKED = Step("pay", undo=True, lookup=True)
EPOCH = Epoch(1, 100.0)

SENT = {"sent": {"at": 110.0, "first_at": 110.0, "settles_at": 120.0}, "first": {"at": 110.0}}
SENT_AGAIN = {
    "sent": {"at": 130.0, "first_at": 110.0, "settles_at": 140.0},
    "first": {"at": 110.0},
    "again": {"at": 130.0},
}
DONE = {"done": {"at": 111.0, "result": {"id": 7}}}
YES = {"word": {"at": 150.0, "happened": True, "by": "Kim"}}
NO = {"word": {"at": 150.0, "happened": False, "by": "Kim"}}
NO_BY_NOBODY = {"word": {"at": 150.0, "happened": False, "by": ""}}
MARKED = {"marked": {"at": 160.0}}


def refused(of: float) -> dict[str, Any]:
    return {"refused": {"at": of + 1, "of": of, "why": "422"}}


def lost(of: float) -> dict[str, Any]:
    return {"lost": {"at": of + 1, "of": of, "settles_at": of + 2, "why": "no answer"}}


AGAIN = "it was sent more than once"
NOT_RECORDED = "it was sent, and what came of it was not recorded"

KNOWN: list[tuple[str, dict[str, Any], Done | Absent | Doubtful]] = [
    ("nothing", {}, Absent("it was never sent")),
    ("sent", SENT, Doubtful(120.0, NOT_RECORDED)),
    ("sent, and died at once", {"sent": SENT["sent"]}, Doubtful(120.0, NOT_RECORDED)),
    ("done", SENT | DONE, Done({"id": 7})),
    ("done by a look-up alone", DONE, Done({"id": 7})),
    ("done, although refused", SENT | refused(110.0) | DONE, Done({"id": 7})),
    ("done, although a person said no", SENT | DONE | NO, Done({"id": 7})),
    ("refused", SENT | refused(110.0), Absent("it was refused: 422")),
    ("refused, but another try has been sent", SENT_AGAIN | refused(130.0), Doubtful(140.0, AGAIN)),
    ("the first of two was refused", SENT_AGAIN | refused(110.0), Doubtful(140.0, AGAIN)),
    ("the refusal of another try", SENT | refused(105.0), Doubtful(120.0, NOT_RECORDED)),
    ("lost", SENT | lost(110.0), Doubtful(112.0, "no answer")),
    ("lost, but another try has been sent", SENT_AGAIN | lost(130.0), Doubtful(140.0, AGAIN)),
    ("the loss of another try", SENT | lost(105.0), Doubtful(120.0, NOT_RECORDED)),
    ("refused before lost", SENT | lost(110.0) | refused(110.0), Absent("it was refused: 422")),
    ("a person said yes", SENT | YES, Done()),
    ("a person said no", SENT | NO, Absent("a person said that it did not happen (Kim)")),
    ("nobody known said no", SENT | NO_BY_NOBODY, Absent("a person said that it did not happen")),
    ("marked, never sent", MARKED, Doubtful(160.0, "it was marked as succeeded by hand")),
    ("marked, and sent", SENT | MARKED, Doubtful(120.0, NOT_RECORDED)),
]  # fmt: skip


def journal_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The journal of a saga whose only step has these entries."""
    return {EPOCH.of("pay", name): entry for name, entry in facts.items()}


@pytest.mark.parametrize(("facts", "known"), [case[1:] for case in KNOWN], ids=[case[0] for case in KNOWN])
def test_entries_say_what_is_known(facts: dict[str, Any], known: Done | Absent | Doubtful) -> None:
    assert run(recorded(STEP, EPOCH), journal_of(facts)) == known


def test_a_result_of_null_is_a_result() -> None:
    assert run(recorded(STEP, EPOCH), journal_of({"done": {"at": 1.0, "result": None}})) == Done(None)


@pytest.mark.parametrize(
    ("facts", "settles_at"),
    [
        (SENT, 120.0),  # the only one: it settles by its own word
        (SENT_AGAIN, 210.0),  # ten seconds after the fence, as one may hide another
        ({"sent": SENT["sent"]}, 210.0),
        ({"sent": SENT["sent"], "first": {"at": 109.0}}, 210.0),
        (SENT_AGAIN | lost(130.0), 210.0),
    ],
)
def test_tries_that_may_hide_others_settle_after_the_fence(facts: dict[str, Any], settles_at: float) -> None:
    known = run(recorded(STEP, EPOCH), {**journal_of(facts), EPOCH.fence: {"at": 200.0}})

    assert isinstance(known, Doubtful)
    assert known.settles_at == settles_at


def test_the_facts_of_another_epoch_do_not_count() -> None:
    assert run(recorded(STEP, Epoch(2, 500.0)), journal_of(SENT | DONE)) == Absent("it was never sent")


def test_a_service_is_asked_once_nothing_can_arrive_any_more() -> None:
    journal = journal_of(SENT)

    found = run(settle(ASKED, EPOCH), journal, now=115.0, told=[(Wait, None), (LookUp, Done("r"))])

    assert found == Done("r")
    assert journal[EPOCH.of("pay", "done")] == {"at": 115.0, "result": "r", "by": "look-up"}


def test_a_service_is_asked_at_once_when_nothing_can_arrive_any_more() -> None:
    found = run(settle(ASKED, EPOCH), journal_of(SENT), now=120.0, told=[(LookUp, None)])

    assert found == Absent(f"{NOT_RECORDED}; the service was asked and does not know it")


def test_what_is_known_is_not_asked_for() -> None:
    assert run(settle(ASKED, EPOCH), journal_of(SENT | DONE)) == Done({"id": 7})


@pytest.mark.parametrize(("choice", "found"), [("yes", Done()), ("no", Absent("a person said that it did not happen"))])
def test_a_person_is_asked_where_no_service_can_be(choice: Any, found: Done | Absent) -> None:
    journal = journal_of(SENT)

    said = run(
        settle(STEP, EPOCH), journal, now=115.0, told=[(Wait, None), (Question, Answer("happened", choice, "Kim"))]
    )

    assert said == found
    assert journal[EPOCH.of("pay", "word")] == {"at": 115.0, "happened": choice == "yes", "by": "Kim"}


def test_an_answer_that_was_given_before_is_not_asked_for_again() -> None:
    assert run(settle(STEP, EPOCH, Answer("happened", "yes")), journal_of(SENT)) == Done()


def test_an_answer_to_something_else_is_none() -> None:
    with pytest.raises(NeedsAttention):
        run(settle(STEP, EPOCH, Answer("undo", "yes")), journal_of(SENT), told=[(Question, None)])


@pytest.mark.parametrize("answer", [None, Answer("happened", "leave")])
def test_without_an_answer_it_stays_in_doubt(answer: Answer | None) -> None:
    journal = journal_of(SENT)

    with pytest.raises(NeedsAttention, match=r"step 'pay': it was sent, .* it has no look-up, and no person has said"):
        run(settle(STEP, EPOCH), journal, told=[(Question, answer)])

    assert EPOCH.of("pay", "word") not in journal
