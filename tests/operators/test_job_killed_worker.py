"""A worker that waits for its job and is told to end: whether the job ends with it, or is left to the next try."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred

from airgate.errors import JobFailed, NotFound
from airgate.hooks.failures import error_to_json
from airgate.jobs.protocol import reference
from airgate.operators import GatewayJobOperator
from airgate.operators.job_record import JobRecord
from tests.job_farm import Farm, FarmJob
from tests.operators.test_job_ended_meanwhile import says, submitting
from tests.operators.test_job_ends import until
from tests.operators.test_job_operator import WORK, at, deferred, event_of, task, through  # noqa: F401


def tries(context: Any, number: int) -> Any:
    """The context in a try of three."""
    context["ti"].try_number, context["ti"].max_tries = number, 2
    return context


def told_to_end(at: Farm, context: Any) -> BaseException:  # noqa: F811
    """A process that is told to end, and has the time to say what it ended with."""
    ends: list[BaseException] = []
    with waiting(at, context, ends) as operator:
        says(context, "running")
        operator.on_kill()
        until(lambda: bool(ends))
    return ends[0]


@contextlib.contextmanager
def waiting(
    at: Farm,  # noqa: F811
    context: Any,
    ends: list[BaseException] | None = None,
    **arguments: Any,
) -> Iterator[GatewayJobOperator]:
    """An operator that waits for its job in another thread."""
    at.over_after = None
    operator = task(deferrable=False, **arguments)

    def run() -> None:
        try:
            operator.execute(context)
        except Exception as error:
            if ends is not None:
                ends.append(error)

    working = threading.Thread(target=run, daemon=True)
    working.start()
    until(lambda: bool(at.jobs) and at.only().looks > 0)
    try:
        yield operator
    finally:
        if at.only().state == "running":
            at.only().state = "succeeded"
        working.join(20)
        assert not working.is_alive()


def replaced(context: Any) -> None:
    """Airflow has given the task its next try, and knows the process of this one no more."""
    context["task_state_store"].delete("airgate.job")


def silent(**_: Any) -> None:
    raise ConnectionError("the api-server is away")


@pytest.mark.parametrize("state", ["running", "failed", "success", "", None])
def test_the_job_of_the_try_that_airflow_knows_ends_with_its_process(at: Farm, context: Any, state: str | None) -> None:  # noqa: F811
    with waiting(at, context) as operator:
        says(context, state)
        operator.on_kill()
        assert at.only().state == "cancelled"


def test_the_job_of_a_task_that_is_gone_ends_with_its_process(at: Farm, context: Any) -> None:  # noqa: F811
    """As after its run was deleted."""
    with waiting(at, context) as operator:
        context["ti"].get_task_states = lambda **_: {}
        replaced(context)
        operator.on_kill()
        assert at.only().state == "cancelled"


def test_the_job_of_a_task_that_was_cleared_ends_with_its_process(at: Farm, context: Any) -> None:  # noqa: F811
    """Airflow gives a task that is cleared while it runs another id at once."""
    with waiting(at, context) as operator:
        says(context, "restarting")
        replaced(context)
        operator.on_kill()
        assert at.only().state == "cancelled"


@pytest.mark.parametrize("state", ["up_for_retry", "scheduled", "queued", "running", "deferred"])
def test_the_job_of_a_task_that_has_its_next_try_is_left_to_that(at: Farm, context: Any, state: str) -> None:  # noqa: F811
    with waiting(at, context) as operator:
        says(context, state)
        replaced(context)
        operator.on_kill()
        assert (at.only().state, at.only().cancels) == ("running", 0)


@pytest.mark.parametrize("run", ["failed", "success"])
def test_the_job_of_a_next_try_in_a_run_that_has_ended_ends(at: Farm, context: Any, run: str) -> None:  # noqa: F811
    with waiting(at, context) as operator:
        says(context, "queued")
        context["ti"].get_dagrun_state = lambda dag_id, run_id: run
        replaced(context)
        operator.on_kill()
        assert at.only().state == "cancelled"


def never(**_: Any) -> None:
    threading.Event().wait()


@pytest.mark.parametrize("ask", [silent, never])
def test_where_airflow_does_not_answer_the_job_is_left_to_the_next_try(
    at: Farm,  # noqa: F811
    context: Any,
    ask: Callable[..., None],
) -> None:
    with waiting(at, context) as operator:
        context["ti"].get_task_states = ask
        began = time.monotonic()
        operator.on_kill()
        assert time.monotonic() - began < 4  # Airflow gives a process five seconds
        assert (at.only().state, at.only().cancels) == ("running", 0)


def out_of_time(operator: GatewayJobOperator) -> None:
    """As Airflow does when the task's ``execution_timeout`` is over."""
    try:
        never_over()
    except AirflowTaskTimeout:
        operator.on_kill()
        raise


def never_over() -> None:
    raise AirflowTaskTimeout


def test_a_task_that_is_out_of_time_ends_its_job_whatever_airflow_says(at: Farm, context: Any) -> None:  # noqa: F811
    with waiting(at, context) as operator:
        context["ti"].get_task_states = silent
        with pytest.raises(AirflowTaskTimeout):
            out_of_time(operator)
        assert at.only().state == "cancelled"


def test_a_job_that_nobody_else_could_end_ends_with_its_process(at: Farm, context: Any) -> None:  # noqa: F811
    class Local(FarmJob):
        """As one that is defined within a DAG file."""

    with pytest.raises(ValueError, match="Local"):
        reference(Local(WORK))
    with waiting(at, context, protocol=Local(WORK)) as operator:
        context["ti"].get_task_states = silent
        operator.on_kill()
        assert at.only().state == "cancelled"


def test_a_process_that_is_told_to_end_asks_for_another_try(at: Farm, context: Any) -> None:  # noqa: F811
    """As a worker that is shut down: the job that was ended with it is no failure that the service told of."""
    error = told_to_end(at, tries(context, 1))
    assert isinstance(error, JobFailed)
    assert "told to end" in str(error)
    assert error.retryable
    at.over_after = 1
    assert through(task(), tries(context, 2))["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_a_try_after_one_that_was_out_of_time_submits_another_job(at: Farm, context: Any) -> None:  # noqa: F811
    with waiting(at, tries(context, 1)) as operator, pytest.raises(AirflowTaskTimeout):
        out_of_time(operator)
    at.over_after = 1
    assert through(task(), tries(context, 2))["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_a_job_that_was_ended_too_late_gives_its_result_to_the_next_try(at: Farm, context: Any) -> None:  # noqa: F811
    told_to_end(at, tries(context, 1))
    at.only().state = "succeeded"
    assert task(deferrable=False).execute(tries(context, 2))["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_job_that_ends_well_while_it_is_to_be_over_gives_its_result(at: Farm, context: Any) -> None:  # noqa: F811
    """It was told to end with its process, and not by a clear."""
    told_to_end(at, tries(context, 1))
    at.only().state = "running"
    at.over_after = 1
    deferral = deferred(task(), tries(context, 2))
    at.only().state = "succeeded"
    assert task().resume(context, event_of(deferral))["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_clear_wants_another_job_even_so(at: Farm, context: Any) -> None:  # noqa: F811
    told_to_end(at, tries(context, 1))
    at.only().state = "running"
    context["ti"].max_tries += 3
    deferral = deferred(task(), context)
    at.only().state = "succeeded"
    with pytest.raises(TaskDeferred):
        task().resume(context, event_of(deferral))
    assert len(at.jobs) == 2


@pytest.mark.parametrize("forgets", [False, True])
def test_a_process_that_is_told_to_end_needs_no_other_poll(at: Farm, context: Any, forgets: bool) -> None:  # noqa: F811
    """The service may ask for long pauses, and may know nothing of a job that it has cancelled."""
    at.forgets, ends = forgets, []
    with waiting(at, tries(context, 1), ends, poll_interval=(0.1, 600)) as operator:
        at.retry_after = "600"
        looks = at.only().looks
        until(lambda: at.only().looks > looks)
        time.sleep(0.2)  # it waits for the next one now
        operator.on_kill()
        until(lambda: bool(ends))
    [error] = ends
    assert isinstance(error, JobFailed)
    assert error.retryable


@pytest.mark.parametrize("forgets", [False, True])
def test_a_try_that_goes_on_behind_its_own_end_asks_for_another(at: Farm, context: Any, forgets: bool) -> None:  # noqa: F811
    """Its process was told to end in the moment in which it gave the worker back."""
    at.over_after, at.forgets = None, forgets
    deferral = deferred(task(), tries(context, 1))
    record = JobRecord.load(context)
    record.ended, record.started_at = True, time.time() - 60
    record.save(context)
    at.only().state = "cancelled"
    event = {"error": error_to_json(NotFound("no such job"))} if forgets else event_of(deferral)
    with pytest.raises(JobFailed, match="told to end") as caught:
        task().resume(context, event)
    assert caught.value.retryable
    at.over_after = 1
    assert through(task(), tries(context, 2))["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_a_failure_of_its_own_is_none_of_the_process(at: Farm, context: Any) -> None:  # noqa: F811
    """A process that is told to end, but could not end its job, waits for it and tells how it ended."""
    ends: list[BaseException] = []
    with waiting(at, tries(context, 1), ends) as operator:
        at.refuse_cancels = 100
        operator.on_kill()
        at.only().state = "failed"
        until(lambda: bool(ends))
    [error] = ends
    assert "told to end" not in str(error)


def test_a_job_that_does_not_end_at_once_is_waited_for_by_the_next_try(at: Farm, context: Any) -> None:  # noqa: F811
    told_to_end(at, tries(context, 1))
    at.only().state = "running"
    deferral = deferred(task(), tries(context, 2))
    assert (deferral.trigger.waiting.ending, at.only().cancels) == (True, 2)
    assert len(at.jobs) == 1


def test_a_try_after_one_that_was_told_to_end_while_it_submitted_submits_another_job(at: Farm, context: Any) -> None:  # noqa: F811
    says(context, "running")
    answers = at.hold = threading.Event()
    operator = task()
    ends: list[BaseException] = []
    working = submitting(operator, tries(context, 1), at, ends)
    try:
        operator.on_kill()
    finally:
        answers.set()
        working.join(20)
    [error] = ends
    assert isinstance(error, JobFailed)  # and no deferral
    assert error.retryable
    at.over_after = 1
    through(task(), tries(context, 2))
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_the_last_try_ends_its_job_and_asks_nobody(at: Farm, context: Any) -> None:  # noqa: F811
    with waiting(at, tries(context, 3)) as operator:
        context["ti"].get_task_states = silent
        operator.on_kill()
        assert at.only().state == "cancelled"


def test_a_job_that_a_trigger_waits_for_does_not_end_with_the_process(at: Farm, context: Any) -> None:  # noqa: F811
    operator = task()
    deferred(operator, context)
    operator.on_kill()
    assert at.only().cancels == 0
