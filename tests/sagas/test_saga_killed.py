"""Processes that are killed around an effect: what the next try does, and what is undone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sagas.conftest import Payments
from tests.sagas.dying import killed
from tests.sagas.dying_steps import (
    going_back,
    once,
    once_cancelled,
    once_without_look_up,
    retried,
    without_keys,
)

pytestmark = pytest.mark.faults

SEND = "airgate.sagas.step:SagaStepOperator._make_with"
WRITE_DONE = "airgate.sagas.step:push_fields"
BEGIN = "airgate.sagas.begin:SagaBeginOperator.execute"
UNDO = "airgate.sagas.undo:SagaUndoOperator._make_with"


def test_the_next_try_has_the_same_key(payments: Payments) -> None:
    """The process died behind the effect and knew nothing of it; the service knows the key."""
    run = killed(retried, "behind", SEND).go()
    assert run.view()["state"] == "completed"
    assert payments.told() == ["effect", "replay"]
    assert {event["key"] for event in payments.events()} == {run.step("charge")["key"]}


def test_what_is_about_to_be_sent_is_written_before(payments: Payments) -> None:
    """Killed right before the request, the step counts as attempted, and the service is asked."""
    run = killed(once, "before", SEND)
    assert run.xcom("order.journal", "1.charge.sent") is not None
    assert run.xcom("order.journal", "1.charge.done") is None
    run.go()
    assert run.view()["state"] == "compensated"
    assert "the service was asked and does not know it" in run.step("charge")["why"]
    assert payments.told() == []


@pytest.mark.parametrize("define", [once, once_cancelled])
def test_an_effect_that_nobody_wrote_down_is_undone(payments: Payments, define: Any) -> None:
    """By a look-up, or by cancelling its key."""
    run = killed(define, "behind", SEND).go()
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone"}
    assert payments.told() == ["effect", "undo"]


def test_without_a_look_up_the_saga_needs_a_person(payments: Payments) -> None:
    """Whether the effect is there is not guessed."""
    run = killed(once_without_look_up, "behind", SEND).go()
    assert run.view()["state"] == "needs-attention"
    assert run.steps() == {"charge": "in doubt"}
    assert payments.net == 1


def test_a_step_that_has_written_its_end_is_not_sent_again(payments: Payments) -> None:
    """The next try gives the result from the journal."""
    run = killed(retried, "before", WRITE_DONE)
    sent = payments.requests
    run.go()
    assert run.view()["state"] == "completed"
    assert run.tries("charge") == 2
    assert payments.requests == sent == 1
    assert run.xcom("order.charge")["amount"] == 5


def test_a_beginning_that_was_killed_begins_no_other_epoch(payments: Payments) -> None:
    """What it had written holds."""
    run = killed(retried, "behind", BEGIN).go()
    assert run.tries("begin") == 2
    assert (run.view()["state"], run.view()["epoch"]) == ("completed", 1)


def test_an_undo_that_was_killed_is_sent_again(payments: Payments) -> None:
    """It does no harm: the service has undone the charge once."""
    run = killed(going_back, "behind", UNDO).go()
    assert run.view()["state"] == "compensated"
    assert run.tries("undo_charge") == 2
    assert payments.told("undo") == ["undo"]
    assert payments.net == 0


def test_without_keys_the_next_try_asks_first(payments: Payments) -> None:
    """Once nothing of the killed one can arrive any more; the charge is there, so it is not made again."""
    payments.misbehave(honours_keys=False)
    run = killed(without_keys, "behind", SEND).go()
    assert run.view()["state"] == "completed"
    assert payments.effects == 1
