"""Tasks that end while nobody watches their job: what their own process does, and what it leaves to others."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError

from airgate.errors import DeadlineExceeded, JobFailed, Unavailable
from airgate.jobs.protocol import recreate
from tests.job_farm import Farm, FarmJob
from tests.operators.test_job_ends import until
from tests.operators.test_job_operator import WORK, at, deferred, task, through  # noqa: F401


def says(context: Any, state: str) -> None:
    """Make Airflow say that the task is in a state, as it does to a task that asks."""
    ti = context["ti"]

    def states(*, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> dict[str, Any]:
        assert (dag_id, task_ids, run_ids, map_index) == ("d", ["t"], ["r"], -1)
        return {"r": {"t": state}}

    ti.get_task_states = states


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_a_task_that_was_ended_while_it_submitted_ends_its_job(at: Farm, context: Any, state: str) -> None:  # noqa: F811
    says(context, state)
    with pytest.raises(AirflowFailException, match=f"job-1: the task was marked {state}"):
        task().execute(context)
    assert at.only().state == "cancelled"


@pytest.mark.parametrize("run", ["failed", "success"])
def test_a_task_that_was_started_in_a_run_that_has_ended_ends_its_job(at: Farm, context: Any, run: str) -> None:  # noqa: F811
    """As a scheduler does that had it in its hands while the run was marked."""
    says(context, "running")
    context["ti"].get_dagrun_state = lambda dag_id, run_id: {("d", "r"): run}[dag_id, run_id]
    with pytest.raises(AirflowFailException, match=f"job-1: the run was marked {run}"):
        task().execute(context)
    assert at.only().state == "cancelled"


@pytest.mark.parametrize("state", ["running", "restarting"])
def test_a_task_that_goes_on_or_was_cleared_is_deferred(at: Farm, context: Any, state: str) -> None:  # noqa: F811
    says(context, state)
    deferred(task(), context)
    assert at.only().state == "running"


def test_where_airflow_does_not_tell_the_task_goes_on(at: Farm, context: Any) -> None:  # noqa: F811
    def silent(**_: Any) -> None:
        raise ConnectionError("the api-server is away")

    context["ti"].get_task_states = silent
    deferred(task(), context)
    assert at.only().state == "running"


def test_the_record_says_how_others_end_the_job(at: Farm, context: Any) -> None:  # noqa: F811
    deferred(task(), context)
    record = context["task_state_store"].get("airgate.job")
    assert record["cancel"]["gateway_conn_id"] == "gateway_default"
    assert isinstance(recreate(record["cancel"]["protocol"]), FarmJob)
    assert "render" not in str(record["cancel"])  # what was submitted is in no row
    assert not record["over"]


def test_the_record_of_a_job_that_is_over_says_so(at: Farm, context: Any) -> None:  # noqa: F811
    through(task(), context)
    assert context["task_state_store"].get("airgate.job")["over"]


def test_another_job_after_one_that_is_over_is_not_over(at: Farm, context: Any) -> None:  # noqa: F811
    through(task(), context)
    context["ti"].max_tries += 1  # cleared
    deferred(task(), context)
    assert len(at.jobs) == 2
    assert not context["task_state_store"].get("airgate.job")["over"]


@pytest.mark.parametrize("arguments", [{"on_kill": "leave"}, {"job": "job-1"}])
def test_others_leave_a_job_alone_that_the_task_would_leave_alone(
    at: Farm,  # noqa: F811
    context: Any,
    arguments: Any,
) -> None:
    at.submit("k", {})
    deferred(task(**arguments), context)
    assert context["task_state_store"].get("airgate.job")["cancel"] is None


def test_others_leave_a_job_alone_that_another_task_waits_for(at: Farm, context: Any) -> None:  # noqa: F811
    task(wait=False).execute(context)
    assert context["task_state_store"].get("airgate.job")["cancel"] is None


def submitting(
    operator: Any,
    context: Any,
    at: Farm,  # noqa: F811
    ends: list[BaseException] | None = None,
) -> threading.Thread:
    """A try that waits for the answer to its submission, and says what it ended in."""

    def run() -> None:
        try:
            operator.execute(context)
        except BaseException as error:
            if ends is not None:
                ends.append(error)

    working = threading.Thread(target=run, daemon=True)
    working.start()
    until(lambda: bool(at.jobs))
    return working


@pytest.mark.parametrize("find", [True, False])
def test_a_worker_that_is_told_to_end_while_it_submits_ends_the_job(at: Farm, context: Any, find: bool) -> None:  # noqa: F811
    answers = at.hold = threading.Event()
    operator = task(protocol=FarmJob(WORK, can_find=find))
    working = submitting(operator, context, at)
    try:
        operator.on_kill()
        assert at.only().state == "cancelled"
    finally:
        answers.set()
        working.join(20)


def test_a_worker_that_is_told_to_end_submits_nothing_again_that_would_be_another_job(at: Farm, context: Any) -> None:  # noqa: F811
    at.honours_keys, answers = False, threading.Event()
    at.hold = answers
    operator = task(protocol=FarmJob(WORK, header=False, can_find=False))
    working = submitting(operator, context, at)
    try:
        operator.on_kill()
        assert at.only().cancels == 0
    finally:
        answers.set()
        working.join(20)


def tries(context: Any, number: int) -> Any:
    """The context in a try."""
    context["ti"].try_number = number
    return context


@pytest.mark.parametrize(("number", "state"), [(2, "running"), (3, "cancelled")])
def test_the_last_try_ends_the_job_it_cannot_wait_for(at: Farm, context: Any, number: int, state: str) -> None:  # noqa: F811
    at.over_after = None
    deferred(task(), context)
    at.refuse = [(503, {})] * 3
    with pytest.raises(Unavailable):
        task().execute(tries(context, number))
    assert at.only().state == state


def after(operator: Any, context: Any, error: str) -> Any:
    """Go on as Airflow does after a deferral that it ended itself."""
    return operator.resume_execution("__fail__", {"error": error}, context)


def test_a_wait_whose_time_is_over_without_a_triggerer_ends_the_job(at: Farm, context: Any) -> None:  # noqa: F811
    at.over_after = None
    deferred(task(timeout=30), context)
    with pytest.raises(DeadlineExceeded, match=r"not over within 30 s .*it was cancelled"):
        after(task(timeout=30), context, "Trigger timeout")
    assert at.only().state == "cancelled"


def test_a_job_that_was_over_in_time_without_a_triggerer_gives_its_result(at: Farm, context: Any) -> None:  # noqa: F811
    deferred(task(timeout=30), context)
    at.only().state = "succeeded"
    assert after(task(timeout=30), context, "Trigger timeout")["made"]["name"] == "render"


def test_a_job_that_failed_in_time_without_a_triggerer_is_a_failure(at: Farm, context: Any) -> None:  # noqa: F811
    deferred(task(timeout=30), context)
    at.only().state = "failed"
    with pytest.raises(JobFailed):
        after(task(timeout=30), context, "Trigger timeout")
    assert at.only().cancels == 0


@pytest.mark.parametrize(("number", "state"), [(1, "running"), (3, "cancelled")])
def test_a_trigger_that_cannot_work_ends_the_job_with_the_last_try(
    at: Farm,  # noqa: F811
    context: Any,
    number: int,
    state: str,
) -> None:
    at.over_after = None
    deferred(task(), tries(context, number))
    with pytest.raises(TaskDeferralError):
        after(task(), context, "Trigger failure")
    assert at.only().state == state


def test_a_job_is_ended_once_whatever_the_try_ends_with(at: Farm, context: Any) -> None:  # noqa: F811
    at.over_after = None
    deferred(task(protocol=FarmJob(WORK), timeout=30), tries(context, 3))
    with pytest.raises(DeadlineExceeded):
        after(task(timeout=30), context, "Trigger timeout")
    assert at.only().cancels == 1
