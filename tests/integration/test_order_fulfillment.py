"""Orders on Airflow's own scheduler, at services that misbehave, with people who end, clear, mark and answer.

All runs are asked for at once, as waiting for one after the other would take minutes; each test looks at its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack import marks
from tests.integration.order_runs import ALL, NONSENSE, NOTHING, Played, played_orders, steps

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Every run, ended."""
    home = tmp_path_factory.mktemp("orders") / "home"
    with played_orders(home) as played:
        yield played
    assert marks.marked(home) == []


def test_an_order_is_fulfilled(played: Played) -> None:
    """The run is green, and what it gives is the shipment; nothing is undone, and nothing was done twice."""
    order = played.orders["good"]
    [view] = order.views
    assert view["state"] == "completed", order.run.told()
    assert order.run.ended() == "success"
    assert set(steps(view).values()) == {"done"}
    assert order.run.xcom("fulfilled")["tracking"].startswith("AG")
    assert {order.state(name) for name in ("undo_reserve", "undo_charge")} == {"skipped"}
    assert played.left("good") == ALL


@pytest.mark.parametrize(
    ("name", "ends", "left"),
    [
        ("sold-out", {"reserve": "refused", "charge": "not sent", "ship": "not sent", "notify": "not sent"}, {}),
        ("declined", {"reserve": "undone", "charge": "refused", "ship": "not sent", "notify": "not sent"}, NOTHING),
        (
            "nowhere",
            {"reserve": "undone", "charge": "undone", "ship": "refused", "notify": "not sent"},
            {**NOTHING, "charges": 0},
        ),
    ],
)
def test_an_order_that_cannot_be_fulfilled_leaves_nothing(
    played: Played, name: str, ends: dict[str, str], left: dict[str, int]
) -> None:
    """The run is red, the verdict tells why, and the services have taken back what they had done."""
    order = played.orders[name]
    assert order.views[0]["state"] == "compensated", order.run.told()
    assert steps(order.views[0]) == ends
    assert order.run.ended() == "failed"
    assert "was compensated, nothing of it is left" in order.run.said("fulfillment.verdict")
    assert played.left(name) == left


def test_params_that_make_no_order_are_refused(played: Played) -> None:
    """The form's schema says so, before there is a run."""
    assert played.refused == dict.fromkeys(NONSENSE, 400)


def test_an_order_that_is_ended_while_it_is_queued_sends_nothing(played: Played) -> None:
    """No task of it has run but its verdict, and the run stays red."""
    order = played.orders["queued"]
    assert order.views[0]["state"] == "compensated", order.run.told()
    assert set(steps(order.views[0]).values()) == {"not sent"}
    assert order.run.ended() == "failed"
    assert played.left("queued") == {}


def test_an_order_that_is_ended_in_a_step_goes_back(played: Played) -> None:
    """Its process dies behind the charge and before it is written down: it is cancelled by key, and nobody guesses."""
    order = played.orders["given-up"]
    assert order.views[0]["state"] == "compensated", order.run.told()
    ends = {"reserve": "undone", "charge": "undone", "ship": "not sent", "notify": "not sent"}
    assert steps(order.views[0]) == ends
    assert order.run.ended() == "failed"
    assert played.left("given-up") == {**NOTHING, "charges": 0}


def test_an_order_that_is_ended_while_it_goes_back_still_goes_back(played: Played) -> None:
    """Airflow leaves an undo alone, as it is a teardown."""
    order = played.orders["turned-back"]
    assert order.views[0]["state"] == "compensated", order.run.told()
    assert steps(order.views[0])["reserve"] == "undone"
    assert order.run.ended() == "failed"
    assert played.left("turned-back") == NOTHING


def test_a_step_that_a_person_marks_as_succeeded_counts_as_done(played: Played) -> None:
    """The order goes on behind it; that nothing was charged is the word of whoever marked it."""
    order = played.orders["taken-over"]
    assert order.views[0]["state"] == "completed", order.run.told()
    assert steps(order.views[0])["charge"] == "done"
    assert order.run.ended() == "success"
    assert played.left("taken-over") == {"reservations": 1, "shipments": 1, "notices": 1}


def test_a_step_of_a_compensated_order_is_not_done_by_clearing_it(played: Played) -> None:
    """What it rests on was undone; the log says what to clear instead."""
    order = played.orders["declined"]
    assert order.views[1]["state"] == "compensated", order.run.told()
    assert order.views[1]["epoch"] == 1
    assert order.state("charge") == "failed"
    assert "To do it all anew clear `begin` with all downstream" in order.run.said("fulfillment.charge")
    assert played.left("declined") == NOTHING


def test_a_compensated_order_is_done_anew_by_clearing_its_beginning(played: Played) -> None:
    """Under other keys, as all of it is wanted once more."""
    order = played.orders["anew"]
    first, second = order.views
    assert (first["state"], second["state"]) == ("compensated", "completed"), order.run.told()
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert order.run.ended() == "success"
    keys = {step["key"] for view in order.views for step in view["steps"]} - {None}
    assert len(keys) == 2 + 4
    assert played.left("anew") == ALL


def test_a_person_leaves_an_undo_and_drives_it_on_later(played: Played) -> None:
    """The order needs attention until the undo is cleared, which then succeeds."""
    order = played.orders["left"]
    first, second = order.views
    assert first["state"] == "needs-attention", order.run.told()
    assert steps(first)["reserve"] == "undo failed"
    assert "404" in first["why"] or "404" in next(step["why"] for step in first["steps"] if step["name"] == "reserve")
    assert second["state"] == "compensated"
    assert order.run.ended() == "failed"
    assert played.left("left") == NOTHING


def test_a_persons_word_that_an_undo_was_done_by_hand_ends_the_order(played: Played) -> None:
    """The verdict tells who said so."""
    order = played.orders["by-hand"]
    [view] = order.views
    assert view["state"] == "compensated", order.run.told()
    assert steps(view)["reserve"] == "undone by hand"
    assert "admin" in next(step["why"] for step in view["steps"] if step["name"] == "reserve")


def test_a_step_behind_the_pivot_is_driven_on_by_clearing_it(played: Played) -> None:
    """Nothing was undone meanwhile, nothing is done twice, and the run is green at last."""
    order = played.orders["driven-on"]
    first, second = order.views
    assert first["state"] == "needs-attention", order.run.told()
    assert steps(first) == {"reserve": "done", "charge": "done", "ship": "done", "notify": "refused"}
    assert second["state"] == "completed"
    assert second["epoch"] == 1
    assert order.run.ended() == "success"
    assert played.left("driven-on") == ALL


def test_a_batch_ends_each_order_by_itself(played: Played) -> None:
    """One of three cards is declined: the run is red, and its count tells which order it was."""
    assert played.batch.ended() == "failed"
    airflow = played.stack.airflow
    counted = airflow.xcom("order_batch", "batch", "fulfillment_verdicts", "saga")
    assert counted == {"orders": 3, "completed": 2, "compensated": 1, "not_completed": {"1": "compensated"}}
    views = [airflow.xcom("order_batch", "batch", "fulfillment.verdict", "saga", place) for place in range(3)]
    assert [view["state"] for view in views] == ["completed", "compensated", "completed"]
    assert [played.left(f"batch-{place}") for place in range(3)] == [ALL, NOTHING, ALL]


def test_no_key_was_used_twice_for_an_effect(played: Played) -> None:
    """Although the services lose answers, and requests were repeated."""
    for ledger in played.ledgers.values():
        keys = [event["key"] for event in ledger if event["event"] == "effect"]
        assert None not in keys
        assert len(keys) == len(set(keys))
