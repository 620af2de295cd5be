"""What happens when people end a run, pause its DAG or fail the saga's own tasks."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task, task_group

from airgate.sagas import Saga, saga
from tests.sagas.charges import FIND, FOUND, PROMPT, charge, order_dag
from tests.sagas.conftest import Payments
from tests.sagas.saga_run import SagaRun, _stored


def end(run: SagaRun, how: str, state: str = "running") -> None:
    """Mark a run as a person does; it stood in that state."""
    from airflow.api.common import mark_tasks
    from airflow.utils.session import create_session

    with create_session() as session:
        run._dag_run(session).state = state
    mark = getattr(mark_tasks, f"set_dag_run_state_to_{how}")
    with create_session() as session:
        mark(dag=_stored(run.dag), run_id=run.run_id, commit=True, session=session)


# -- the run ---------------------------------------------------------------------------------------------------------


def test_a_run_that_is_marked_as_successful_goes_back(payments: Payments) -> None:
    """A step waits for its next try and has had its effect; the one behind it is missing, so nothing is left."""
    payments.misbehave(failed_after=1)
    ended: list[bool] = []

    def define(order: Any) -> None:
        order.step("charge", charge(), retry_delay=timedelta(minutes=5), **FOUND)
        order.step("second", charge(), **FOUND)

    def mark(run: SagaRun) -> None:
        if not ended and run.states().get("charge") == "up_for_retry":
            ended.append(True)
            payments.behave()
            end(run, "success")

    run = SagaRun.asked_for(order_dag(define)).go(mark)
    assert ended
    assert run.state == "failed"
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"charge": "undone", "second": "not sent"}
    assert (payments.effects, payments.net) == (1, 0)


@task
def orders() -> list[dict[str, str]]:
    return [{"id": "order-0"}, {"id": "order-1"}]


def pay(steps: Any, order: Any) -> None:
    steps.step("pay", lambda order: charge(order=order["id"]), inputs={"order": order}, **FOUND)


@saga(**PROMPT)
def each_order(steps: Any, order: Any) -> None:
    pay(steps, order)


@task_group
def each_group(order: Any) -> None:
    with Saga("inner", **PROMPT) as steps:
        pay(steps, order)


@task_group
def each_call(order: Any) -> None:
    each_order(order)


MAPPED = {
    "expanded": (each_order, "each_order_verdicts"),
    "Saga in a group": (each_group, "each_group_inner_verdicts"),
    "@saga in a group": (each_call, "each_call_each_order_verdicts"),
}


def mapped(kind: str) -> DAG:
    with DAG(f"mapped_{abs(hash(kind))}", schedule=None) as dag:
        MAPPED[kind][0].expand(order=orders())
    return dag


@pytest.mark.parametrize("kind", MAPPED)
def test_a_mapped_saga_that_is_ended_while_its_run_is_queued_is_red(payments: Payments, kind: str) -> None:
    """However it is mapped: all of it is skipped before anybody knows how many orders there are."""
    run = SagaRun.asked_for(mapped(kind))
    end(run, "failed", "queued")
    run.go()
    states, verdicts = run.states(), MAPPED[kind][1]
    assert run.state == "failed", states
    assert states.pop(verdicts) == "failed"
    assert set(states.values()) == {"skipped"}
    assert run.xcom(verdicts, "saga") is None  # nothing to count
    assert payments.requests == 0


@pytest.mark.parametrize("kind", ["Saga in a group", "@saga in a group"])
def test_a_saga_in_a_mapped_group_is_counted(payments: Payments, kind: str) -> None:
    """Beside the group, as an expanded one is."""
    run = SagaRun.asked_for(mapped(kind)).go()
    assert run.state == "success", run.states()
    assert run.xcom(MAPPED[kind][1]) == {"orders": 2, "completed": 2}
    assert payments.net == 2


# -- the saga's own tasks --------------------------------------------------------------------------------------------


def two(order: Any) -> None:
    order.step("first", charge(), **FOUND)
    order.step("second", charge(), lookup=FIND, pivot=True)


def fail_when(task_id: str, ready: dict[str, str]) -> Any:
    """Fails a task by hand, once, as soon as others stand as they are to."""
    marked: list[str] = []

    def before(run: SagaRun) -> None:
        states = run.states()
        if not marked and all(states.get(name) == state for name, state in ready.items()):
            marked.append(task_id)
            run.mark(task_id, "failed")

    return before


@pytest.mark.parametrize(
    ("failed", "ready", "ends"),
    [("decide", {"second": "success"}, "completed"), ("begin", {"first": "success"}, "compensated")],
)
def test_a_saga_whose_own_task_is_failed_by_hand_needs_a_person_and_goes_on(
    payments: Payments, failed: str, ready: dict[str, str], ends: str
) -> None:
    """Nothing is undone without a decision; cleared from `begin` on, it is decided by what is done, and no more is."""
    run = SagaRun.asked_for(order_dag(two)).go(fail_when(failed, ready))
    assert run.state == "failed"
    assert run.view()["state"] == "needs-attention"
    assert "clear `begin`" in run.view()["why"]
    effects = payments.effects
    assert payments.told("undo") == []
    run.clear("begin")
    run.go()
    assert (run.view()["state"], run.view()["epoch"]) == (ends, 1)
    assert payments.effects == effects
    assert payments.net == (2 if ends == "completed" else 0)


def test_a_saga_that_is_failed_before_it_began_has_done_nothing(payments: Payments) -> None:
    """Nothing was sent, so there is nothing for a person to do."""
    run = SagaRun.asked_for(order_dag(two)).go(fail_when("begin", {"journal": "success"}))
    assert run.state == "failed"
    assert run.view()["state"] == "compensated"
    assert payments.requests == 0


# -- the DAG ---------------------------------------------------------------------------------------------------------


def test_a_paused_dag_stands_still_and_its_deadline_goes_on(payments: Payments) -> None:
    """The scheduler leaves its runs alone; resumed behind the deadline, the saga sends nothing more and goes back."""
    left_alone: list[bool] = []

    def pause(run: SagaRun) -> None:
        if left_alone or run.states().get("first") != "success":
            return
        paused(run, True)
        left_alone.append(not examined(run))
        time.sleep(max(0.0, run.xcom("order.journal", "begun")["deadline"] - time.time()))
        paused(run, False)
        left_alone.append(examined(run))

    def define(order: Any) -> None:
        order.step("first", charge(), **FOUND)
        order.step("second", charge(), **FOUND)

    run = SagaRun.asked_for(order_dag(define, deadline=timedelta(seconds=20))).go(pause)
    assert left_alone == [True, True]
    assert run.view()["state"] == "compensated"
    assert run.steps() == {"first": "undone", "second": "not sent"}
    assert payments.told() == ["effect", "undo"]


def paused(run: SagaRun, is_paused: bool) -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.get(DagModel, run.dag.dag_id).is_paused = is_paused


def examined(run: SagaRun) -> bool:
    """Whether the scheduler would look at the run."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        found = DagRun.get_running_dag_runs_to_examine(session=session)
        return run.run_id in {each.run_id for each in found}
