"""Jobs whose task is ended, or whose submission nobody heard of again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.client import clock
from airgate.errors import DeadlineExceeded, JobFailed, OutcomeUnknown, Unavailable
from airgate.testing.time import InstantTime
from tests.job_farm import Farm, FarmJob
from tests.operators.test_job_operator import WORK, at, deferred, task, through  # noqa: F401


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("on_kill", "state"), [("cancel", "cancelled"), ("leave", "running")])
def test_a_worker_that_is_told_to_end_ends_its_job(at: Farm, context: Any, on_kill: Any, state: str) -> None:  # noqa: F811
    at.over_after = None
    operator = task(deferrable=False, on_kill=on_kill)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute(context)
        except BaseException as error:
            failures.append(error)

    working = threading.Thread(target=run, daemon=True)
    working.start()
    until(lambda: bool(at.jobs) and at.only().looks > 0)
    operator.on_kill()
    assert at.only().state == state
    if on_kill == "leave":
        at.only().state = "succeeded"
    working.join(20)
    assert not working.is_alive()
    assert bool(failures) == (on_kill == "cancel")


def test_a_task_that_has_ended_well_ends_nothing_any_more(at: Farm, context: Any) -> None:  # noqa: F811
    operator = task(deferrable=False)
    operator.execute(context)
    operator.on_kill()
    assert at.only().cancels == 0


def test_a_job_of_another_task_is_left_alone(at: Farm, context: Any) -> None:  # noqa: F811
    handle = task(wait=False).execute(context)
    context["task_state_store"].delete("airgate.job")
    operator = task(job=handle, task_id="u", timeout=0.3, deferrable=False)
    at.only().over_after = None
    with pytest.raises(Exception, match="not over within"):
        operator.execute(context)
    assert at.only().cancels == 0


def lost(context: Any, *, ago: float, ends: float | None = None) -> None:
    """As if a process had died between the submission and the handle."""
    store = context["task_state_store"]
    record = {
        "version": 1,
        "generation": 0,
        "settles_at": time.time() + 20 - ago,
        "handle": None,
        "started_at": None,
        "ends": ends,
        "max_tries": context["ti"].max_tries,
        "ending": False,
        "polls": 0,
    }
    store.set("airgate.job", record)


def test_a_clear_finds_and_ends_the_job_of_a_try_that_died_while_it_submitted(at: Farm, context: Any) -> None:  # noqa: F811
    looked_up = FarmJob(WORK, header=False)
    at.honours_keys = False
    deferred(task(protocol=looked_up), context)
    lost(context, ago=0)
    context["ti"].max_tries += 3
    assert through(task(protocol=looked_up), context)["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_no_trace_counts_only_when_nothing_can_arrive_any_more(at: Farm, context: Any) -> None:  # noqa: F811
    looked_up = FarmJob(WORK, header=False)
    lost(context, ago=0)
    context["ti"].max_tries += 3
    early = deferred(task(protocol=looked_up), context)
    assert early.method_name == "resume_submission"
    assert 10 < early.trigger.until - time.time() < 20  # until nothing can arrive any more
    assert not at.jobs
    lost(context, ago=60)
    context["ti"].max_tries += 3
    deferred(task(protocol=looked_up), context)
    assert len(at.jobs) == 1


def test_a_try_after_one_that_died_while_it_submitted_looks_before_it_sends(at: Farm, context: Any) -> None:  # noqa: F811
    looked_up = FarmJob(WORK, header=False)
    at.honours_keys, at.drop_answers = False, 1
    deferred(task(protocol=looked_up), context)
    store = context["task_state_store"]
    store.set("airgate.job", {**store.get("airgate.job"), "handle": None})
    deferred(task(protocol=looked_up), context)
    assert len(at.jobs) == 1


def test_a_try_that_cannot_tell_what_the_one_before_did_asks_a_person(at: Farm, context: Any) -> None:  # noqa: F811
    unknown = FarmJob(WORK, header=False, can_find=False)
    at.honours_keys = False
    deferred(task(protocol=unknown), context)
    store = context["task_state_store"]
    store.set("airgate.job", {**store.get("airgate.job"), "handle": None})
    with pytest.raises(OutcomeUnknown):
        task(protocol=unknown).execute(context)
    assert len(at.jobs) == 1


def test_a_job_that_is_over_is_not_cancelled_in_the_triggerer(at: Farm, context: Any) -> None:  # noqa: F811
    deferral = deferred(task(), context)
    at.only().state = "succeeded"
    asyncio.run(deferral.trigger.on_kill())
    assert at.only().cancels == 0


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_submission_that_never_arrived_is_sent_again_once_that_is_sure(
    at: Farm,  # noqa: F811
    context: Any,
    deferrable: bool,
) -> None:
    looked_up = FarmJob(WORK, header=False)
    at.lose = 1
    with clock.running(InstantTime()) as _:
        time_now = clock.current()
        assert isinstance(time_now, InstantTime)
        operator = task(protocol=looked_up, deferrable=deferrable)
        if deferrable:
            waiting = deferred(operator, context)
            assert 10 < waiting.trigger.until - clock.now() <= 15
            time_now.skip(16)
            with pytest.raises(TaskDeferred):
                operator.resume_submission(context)
        else:
            with pytest.raises(OutcomeUnknown) as caught:
                operator.execute(context)
            assert caught.value.retryable
            time_now.skip(16)
            assert task(protocol=looked_up, deferrable=False).execute(context)["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_submission_refused_within_its_answer_is_made_anew_by_the_next_try(at: Farm, context: Any) -> None:  # noqa: F811
    looked_up = FarmJob(WORK, header=False)
    at.refuse_within = 1
    with pytest.raises(Unavailable, match="no room"):
        task(protocol=looked_up).execute(context)
    deferred(task(protocol=looked_up), context)
    assert len(at.jobs) == 1


def test_a_failure_that_no_try_has_told_yet_is_told_before_another_job_is_made(at: Farm, context: Any) -> None:  # noqa: F811
    deferred(task(), context)
    at.only().state = "failed"
    with pytest.raises(JobFailed):
        task().execute(context)
    assert len(at.jobs) == 1
    deferred(task(), context)
    assert [job.state for job in at.jobs.values()] == ["failed", "running"]


def test_a_try_behind_the_jobs_time_submits_nothing(at: Farm, context: Any) -> None:  # noqa: F811
    context["ti"].try_number = 1
    with clock.running(InstantTime()) as _:
        time_now = clock.current()
        assert isinstance(time_now, InstantTime)
        deferred(task(timeout=60), context)
        at.only().state = "failed"
        with pytest.raises(JobFailed):
            task(timeout=60).execute(context)
        time_now.skip(61)
        with pytest.raises(DeadlineExceeded, match="not over within 60 s, so nothing more is submitted"):
            task(timeout=60).execute(context)
        assert len(at.jobs) == 1
        context["ti"].max_tries += 1  # a clear starts the time again
        deferred(task(timeout=60), context)
    assert len(at.jobs) == 2


@pytest.mark.parametrize("find", [False, True])
def test_a_try_behind_the_jobs_time_ends_what_an_earlier_one_has_submitted(
    at: Farm,  # noqa: F811
    context: Any,
    find: bool,
) -> None:
    """The process died before it heard of its job."""
    context["ti"].try_number = 1
    protocol = FarmJob(WORK, can_find=find)
    deferred(task(protocol=protocol), context)
    lost(context, ago=60, ends=time.time() - 1)
    with pytest.raises(DeadlineExceeded, match="the job that an earlier try had submitted was cancelled"):
        task(protocol=protocol, timeout=60).execute(context)
    with pytest.raises(DeadlineExceeded, match="nothing more is submitted"):
        task(protocol=protocol, timeout=60).execute(context)
    assert [job.state for job in at.jobs.values()] == ["cancelled"]
    context["ti"].max_tries += 1
    at.over_after = 1
    assert through(task(protocol=protocol, timeout=60), context)["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["cancelled", "succeeded"]


def test_a_try_behind_the_jobs_time_finds_that_nothing_was_submitted(at: Farm, context: Any) -> None:  # noqa: F811
    """A service that is sure of it is not sent anything."""
    context["ti"].try_number = 1
    lost(context, ago=60, ends=time.time() - 1)
    with pytest.raises(DeadlineExceeded, match="nothing more is submitted"):
        task(timeout=60).execute(context)
    assert not at.jobs


def test_a_try_behind_the_jobs_time_says_what_nobody_can_know(at: Farm, context: Any) -> None:  # noqa: F811
    context["ti"].try_number = 1
    lost(context, ago=60, ends=time.time() - 1)
    with pytest.raises(OutcomeUnknown, match="may have submitted a job that nobody can find"):
        task(protocol=FarmJob(WORK, header=False, can_find=False), timeout=60).execute(context)
    assert not at.jobs
