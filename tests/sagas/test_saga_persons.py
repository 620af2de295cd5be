"""What a person is asked when nobody else knows, and what comes of each answer; and who is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airgate.hooks import Call
from airgate.sagas import Effect
from tests.sagas.charges import CANCELLED, DECLINED, FIND, REFUND, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun

ASKING = {"answer_within": timedelta(hours=1)}


def in_doubt(order: Any) -> None:
    order.step("charge", charge(), undo=CANCELLED["undo"], retries=0)


def run_of(define: Callable[[Any], None], *answers: str, **options: Any) -> SagaRun:
    run = SagaRun.asked_for(order_dag(define, **{**ASKING, **options}))
    run.answers = list(answers)
    return run


def losing(payments: Payments) -> Callable[[SagaRun], None]:
    payments.misbehave(failed_after=1)

    def see(run: SagaRun) -> None:
        if run.states().get("charge") == "failed":
            payments.behave()

    return see


@pytest.mark.parametrize(
    ("answer", "state", "step", "net"),
    [
        ("It happened", "compensated", "undone", 0),
        ("It did not happen", "compensated", "refused", 1),
        ("Leave it", "needs-attention", "in doubt", 1),
    ],
)
def test_a_person_says_what_became_of_a_step(payments: Payments, answer: str, state: str, step: str, net: int) -> None:
    """Without a look-up; the word counts as the service's would, also where it is wrong."""
    run = run_of(in_doubt, answer).go(losing(payments))
    assert run.questions == ["order.undo_charge"]
    assert run.view()["state"] == state
    assert run.steps() == {"charge": step}
    assert payments.net == net


def test_the_question_tells_what_to_look_for(payments: Payments) -> None:
    """Which step, why it is asked, and the key to find it by at the service."""
    run = run_of(in_doubt, "Leave it").go(losing(payments))
    subject, body = run.asked[0]
    assert subject == "order: charge: did it happen?"
    assert run.step("charge")["key"] in body
    assert "500" in body
    assert "*It happened*: it counts as done and is undone" in body


def test_nobody_answers_in_time(payments: Payments) -> None:
    """As if it was left: the saga needs a person, and nothing is done on a guess."""
    run = SagaRun.asked_for(order_dag(in_doubt, answer_within=timedelta(seconds=1)))
    run.nobody = True
    run.go(losing(payments))
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"charge": "in doubt"}
    assert payments.net == 1


BROKEN: list[str] = []


def back(effect: Effect) -> Call:
    return Call("POST", f"/charges/{BROKEN[0] if BROKEN else effect.result['id']}/refund")


def with_broken_undo(order: Any) -> None:
    order.step("first", charge(), undo=REFUND)
    order.step("charge", charge(), undo=back, lookup=FIND)
    order.step("decline", DECLINED, undo=False)


@pytest.fixture
def broken() -> Any:
    BROKEN[:] = ["charge-0"]
    yield BROKEN
    BROKEN.clear()


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("answers", "state", "step"),
    [
        (["Undone by hand"], "compensated", "undone by hand"),
        (["Leave it"], "needs-attention", "undo failed"),
        (["Try again", "Try again", "Leave it"], "needs-attention", "undo failed"),
    ],
)
def test_a_person_says_what_becomes_of_an_undo_that_failed(
    payments: Payments, answers: list[str], state: str, step: str
) -> None:
    """The others are undone meanwhile."""
    run = run_of(with_broken_undo, *answers).go()
    assert run.answers == []
    assert run.view()["state"] == state
    assert run.steps() == {"first": "undone", "charge": step, "decline": "refused"}
    assert payments.net == 1
    if step == "undone by hand":
        assert "Grace" in run.step("charge")["why"]


def test_an_undo_is_tried_again_by_a_persons_word(payments: Payments, broken: list[str]) -> None:
    """What kept it from succeeding is mended by then."""

    def mend(run: SagaRun) -> None:
        if run.questions:
            broken.clear()

    run = run_of(with_broken_undo, "Try again").go(mend)
    assert run.view()["state"] == "compensated"
    assert run.steps()["charge"] == "undone"
    assert payments.net == 0


class Told:
    """A notifier that writes down what it is told; one that fails as well."""

    def __init__(self, *, fails: bool = False) -> None:
        self.tasks: list[str] = []
        self.fails = fails

    def __call__(self, context: Any) -> None:
        self.tasks.append(context["ti"].task_id)
        if self.fails:
            raise ConnectionError("nobody there")


def test_notifiers_are_told_of_a_question_and_of_a_saga_that_needs_a_person(payments: Payments) -> None:
    """One that fails keeps neither the saga nor the next one from going on."""
    fails, told = Told(fails=True), Told()
    run = run_of(in_doubt, "Leave it", notifiers=[fails, told]).go(losing(payments))
    assert run.view()["state"] == "needs-attention"
    assert told.tasks == ["order.undo_charge", "order.verdict"]
    assert fails.tasks == told.tasks


def test_notifiers_are_not_told_of_what_goes_well(payments: Payments) -> None:
    """Neither of a completed saga nor of a compensated one."""
    told = Told()

    def define(order: Any) -> None:
        order.step("charge", charge(), **CANCELLED)
        order.step("decline", DECLINED, undo=False)

    assert run_of(define, notifiers=[told]).go().view()["state"] == "compensated"
    assert told.tasks == []
