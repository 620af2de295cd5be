"""Runs that clients cancel: marked as failed in Airflow's own way, unless a saga of theirs goes only forward."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingress.conftest import Ingress

pytestmark = pytest.mark.integration
BEGUN = {"epoch": 1, "at": 1.0, "deadline": None}
SENT = {"at": 2.0, "first_at": 2.0, "settles_at": 9.0}


def started(ingress: Ingress, dag_id: str) -> str:
    """The id of a new run that runs."""
    run_id = str(ingress.start(dag_id, {"item": "book"} if dag_id == "orders" else {}).json()["id"])
    ingress.do("set_run", dag_id, run_id, "running")
    return run_id


def cancel(ingress: Ingress, run_id: str, dag_id: str, **more: Any) -> Any:
    """Ask for it."""
    return ingress.ask("DELETE", f"/dags/{dag_id}/runs/{run_id}", **more)


def test_a_run_without_undos_is_over_at_once(ingress: Ingress) -> None:
    run_id = started(ingress, "orders")
    ingress.do("set_task", "orders", run_id, "pick", "running")
    answer = cancel(ingress, run_id, "orders")
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.json()["problem"]["title"] == "The run was cancelled"
    assert ingress.do("run", "orders", run_id)["tasks"] == {"pick": "failed", "told": "skipped"}


def test_a_second_time_changes_nothing(ingress: Ingress) -> None:
    run_id = started(ingress, "orders")
    first = cancel(ingress, run_id, "orders").json()
    again = cancel(ingress, run_id, "orders")
    assert (again.status_code, again.json()) == (200, first)


def test_a_run_that_failed_by_itself_is_shown_and_one_that_succeeded_is_not_cancelled(ingress: Ingress) -> None:
    run_id = started(ingress, "orders")
    ingress.do("set_run", "orders", run_id, "failed")
    answer = cancel(ingress, run_id, "orders")
    assert answer.status_code == 200
    assert "cancelled_at" not in answer.json()
    ingress.do("set_run", "orders", run_id, "success")
    answer = cancel(ingress, run_id, "orders")
    assert (answer.status_code, answer.json()["detail"]) == (409, "The run has succeeded.")


def test_a_saga_is_fenced_and_its_undos_are_left_to_run(ingress: Ingress) -> None:
    run_id = started(ingress, "shipping")
    ingress.do("set_task", "shipping", run_id, "sale.journal", "success")
    for name, entry in {"pivot": {"step": "ship"}, "begun": BEGUN, "1.charge.sent": SENT}.items():
        ingress.do("push", "shipping", run_id, "sale.journal", name, entry)
    ingress.do("set_task", "shipping", run_id, "sale.charge", "running")
    answer = cancel(ingress, run_id, "shipping")
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert answer.json()["cancelled_at"]
    assert "1.fence" in ingress.do("xcoms", "shipping", run_id, "sale.journal")
    tasks = ingress.do("run", "shipping", run_id)["tasks"]
    assert (tasks["sale.charge"], tasks["sale.ship"]) == ("failed", "skipped")
    assert tasks["sale.undo_charge"] is tasks["sale.verdict"] is None
    assert cancel(ingress, run_id, "shipping").status_code == 202


@pytest.mark.parametrize("entries", [{}, {"1.decision": {"direction": "back"}}])
def test_a_run_before_its_saga_began_or_on_the_way_back_is_cancelled(ingress: Ingress, entries: dict[str, Any]) -> None:
    run_id = started(ingress, "shipping")
    begun = {"pivot": {"step": "ship"}, "begun": BEGUN, **entries} if entries else {}
    for name, entry in begun.items():
        ingress.do("push", "shipping", run_id, "sale.journal", name, entry)
    assert cancel(ingress, run_id, "shipping").status_code == 202
    assert "1.fence" not in ingress.do("xcoms", "shipping", run_id, "sale.journal")


@pytest.mark.parametrize("fact", ["done", "sent"])
def test_a_saga_behind_its_pivot_is_not_cancelled(ingress: Ingress, fact: str) -> None:
    run_id = started(ingress, "shipping")
    for name, entry in {"pivot": {"step": "ship"}, "begun": BEGUN, f"1.ship.{fact}": SENT}.items():
        ingress.do("push", "shipping", run_id, "sale.journal", name, entry)
    ingress.do("set_task", "shipping", run_id, "sale.tell", "running")
    answer = cancel(ingress, run_id, "shipping")
    assert answer.status_code == 409
    assert "point of no return" in answer.json()["detail"]
    kept = ingress.do("run", "shipping", run_id)
    assert (kept["state"], kept["tasks"]["sale.tell"]) == ("running", "running")
    assert "cancelled_at" not in kept["conf"]["airgate"]
    assert "1.fence" not in ingress.do("xcoms", "shipping", run_id, "sale.journal")


def test_a_dag_that_is_not_open_any_more_shows_none_of_its_runs(ingress: Ingress) -> None:
    run_id = started(ingress, "anything")
    ingress.do("untag", "anything")
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{run_id}"), ("DELETE", f"/{run_id}")):
        assert ingress.ask(method, f"/dags/anything/runs{path}", headers={"Idempotency-Key": "k"}).status_code == 404
