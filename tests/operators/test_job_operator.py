"""A task's job: one submission over all tries, an end at the service with the task's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import DeadlineExceeded, JobFailed, OutcomeUnknown, Unauthorized
from airgate.jobs import JobHandle
from airgate.operators import GatewayJobOperator
from tests.job_farm import Farm, FarmJob, farm

WORK = {"name": "render"}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """A farm behind the gateway of the test."""
    with farm() as known:
        extra = {"backoff": 0.001, "attempts": 3, "read_timeout": 2, "max_inline_wait": 5, "deadline": 5}
        monkeypatch.setenv(
            "AIRFLOW_CONN_GATEWAY_DEFAULT",
            json.dumps({"conn_type": "gateway", "host": known.address, "extra": extra}),
        )
        yield known


def task(**arguments: Any) -> GatewayJobOperator:
    """The operator, quick."""
    options = {"protocol": FarmJob(WORK), "poll_interval": 0.1, "retries": 2, "task_id": "t", **arguments}
    return GatewayJobOperator(**options)


def deferred(operator: GatewayJobOperator, context: Any) -> TaskDeferred:
    """The deferral that a try ends in."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    return caught.value


def event_of(deferral: TaskDeferred) -> dict[str, Any]:
    """What the trigger says at last; it is made anew of what Airflow would store."""
    path, arguments = deferral.trigger.serialize()
    kind = type(deferral.trigger)
    assert path == f"{kind.__module__}.{kind.__qualname__}"

    async def run() -> dict[str, Any]:
        async for event in kind(**json.loads(json.dumps(arguments))).run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(run())


def through(operator: GatewayJobOperator, context: Any) -> Any:
    """A try that waits in the triggerer, to its end."""
    deferral = deferred(operator, context)
    while True:
        event = event_of(deferral)
        try:
            return getattr(operator, deferral.method_name)(context, event)
        except TaskDeferred as again:
            deferral = again


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_is_submitted_once_and_its_result_is_the_tasks(at: Farm, context: Any, deferrable: bool) -> None:
    operator = task(deferrable=deferrable)
    result = through(operator, context) if deferrable else operator.execute(context)
    assert result["made"]["name"] == "render"
    assert len(at.jobs) == 1
    assert [method for method, _ in at.requests].count("POST") == 1


def test_the_handle_is_stored_before_anything_is_waited_for(at: Farm, context: Any) -> None:
    deferred(task(), context)
    assert context["task_state_store"].get("airgate.job")["handle"]["id"] == at.only().id
    assert at.only().looks == 0


def test_a_trigger_holds_no_body_and_no_secret(at: Farm, context: Any) -> None:
    _, arguments = deferred(task(), context).trigger.serialize()
    assert "render" not in json.dumps(arguments)
    assert arguments["gateway_conn_id"] == "gateway_default"


@pytest.mark.parametrize(
    ("protocol", "honours"), [(FarmJob(WORK), True), (FarmJob(WORK, header=False), False)], ids=["by key", "looked up"]
)
def test_a_lost_answer_to_the_submission_makes_no_second_job(
    at: Farm, context: Any, protocol: FarmJob, honours: bool
) -> None:
    at.honours_keys, at.drop_answers = honours, 1
    assert task(protocol=protocol, deferrable=False).execute(context)["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_lost_answer_is_an_error_where_nobody_can_tell(at: Farm, context: Any) -> None:
    at.honours_keys, at.drop_answers = False, 1
    with pytest.raises(OutcomeUnknown) as caught:
        task(protocol=FarmJob(WORK, header=False, can_find=False), deferrable=False).execute(context)
    assert not caught.value.retryable
    assert len(at.jobs) == 1


def test_a_later_try_goes_on_with_a_job_that_runs(at: Farm, context: Any) -> None:
    deferred(task(), context)
    assert through(task(), context)["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_later_try_takes_the_result_of_a_job_that_ended_meanwhile(at: Farm, context: Any) -> None:
    deferred(task(), context)
    at.only().state = "succeeded"
    assert task().execute(context)["made"]["name"] == "render"
    assert len(at.jobs) == 1


def test_a_failed_job_says_why_and_the_next_try_submits_another(at: Farm, context: Any) -> None:
    deferral = deferred(task(), context)
    at.only().state = "failed"
    with pytest.raises(JobFailed, match="line 2") as caught:
        task().resume(context, event_of(deferral))
    assert (caught.value.job, caught.value.state, caught.value.retryable) == ("job-1", "failed", True)
    assert through(task(), context)["made"]["name"] == "render"
    assert [job.state for job in at.jobs.values()] == ["failed", "succeeded"]
    assert len({job.key for job in at.jobs.values()}) == 2


def test_a_clear_after_a_success_asks_for_another_job(at: Farm, context: Any) -> None:
    through(task(), context)
    context["ti"].max_tries += 3
    through(task(), context)
    assert [job.state for job in at.jobs.values()] == ["succeeded", "succeeded"]


def test_a_clear_ends_a_job_that_still_runs_before_it_submits_another(at: Farm, context: Any) -> None:
    deferred(task(), context)
    at.stays_cancelling = True
    context["ti"].max_tries += 3
    deferral = deferred(task(), context)
    assert (at.only().state, len(at.jobs)) == ("cancelling", 1)
    at.settle()
    with pytest.raises(TaskDeferred):
        task().resume(context, event_of(deferral))
    assert [job.state for job in at.jobs.values()] == ["cancelled", "running"]


def test_a_clear_waits_for_the_job_that_was_left_to_run(at: Farm, context: Any) -> None:
    deferred(task(on_kill="leave"), context)
    context["ti"].max_tries += 3
    assert through(task(on_kill="leave"), context)["made"]["name"] == "render"
    assert (len(at.jobs), at.only().cancels) == (1, 0)


def test_without_waiting_the_handle_is_the_result_and_another_task_waits_for_it(
    at: Farm, context: Any, tmp_path: Any
) -> None:
    handle = task(wait=False).execute(context)
    assert handle["id"] == at.only().id
    context["task_state_store"].delete("airgate.job")
    attached = task(protocol=FarmJob(), job=handle, task_id="u")
    assert through(attached, context)["made"]["name"] == "render"
    assert len(at.jobs) == 1


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("limit", ["timeout", "stall_timeout"])
def test_a_job_that_takes_too_long_is_cancelled(at: Farm, context: Any, deferrable: bool, limit: str) -> None:
    at.over_after = None
    operator = task(deferrable=deferrable, **{limit: timedelta(seconds=0.5)})
    with pytest.raises(DeadlineExceeded, match=r"job-1: .*0\.5 s.*cancelled") as caught:
        through(operator, context) if deferrable else operator.execute(context)
    assert not caught.value.retryable
    assert at.only().state == "cancelled"


def test_progress_keeps_a_job_from_stalling(at: Farm, context: Any) -> None:
    at.over_after = 12
    deferral = deferred(task(stall_timeout=0.6), context)

    async def get_on() -> dict[str, Any]:
        async def advance() -> None:
            for percent in range(100):
                at.only().percent = float(percent)
                await asyncio.sleep(0.05)

        advancing = asyncio.create_task(advance())
        async for event in deferral.trigger.run():
            advancing.cancel()
            return dict(event.payload)
        raise AssertionError("no event")

    assert asyncio.run(get_on())["status"]["state"] == "succeeded"


@pytest.mark.parametrize(("on_kill", "state"), [("cancel", "cancelled"), ("leave", "running")])
def test_ending_the_task_in_the_triggerer_ends_the_job(at: Farm, context: Any, on_kill: Any, state: str) -> None:
    deferral = deferred(task(on_kill=on_kill), context)
    asyncio.run(deferral.trigger.on_kill())
    asyncio.run(deferral.trigger.on_kill())
    assert at.only().state == state


def test_polls_that_fail_for_a_while_do_not_end_the_wait(at: Farm, context: Any) -> None:
    at.refuse = [(503, {}), (503, {}), (503, {}), (503, {}), (429, {"Retry-After": "1"})]
    assert through(task(), context)["made"]["name"] == "render"


def test_a_poll_that_may_not_ask_ends_the_task_with_the_typed_error(at: Farm, context: Any) -> None:
    at.refuse = [(403, {})]
    with pytest.raises(Unauthorized):
        through(task(), context)


def test_a_services_own_interval_is_kept(at: Farm, context: Any) -> None:
    at.retry_after, at.over_after = "1", 3
    deferral = deferred(task(poll_interval=(0.1, 0.2)), context)
    began = time.monotonic()
    event = event_of(deferral)
    assert event["polls"] == 3
    assert time.monotonic() - began >= 2  # the first look comes by the interval of the task
    assert task().resume(context, event)


def test_the_summary_says_what_became_of_the_job(at: Farm, context: Any) -> None:
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    through(task(), context)
    assert pushed["airgate_job"] | {"seconds": 0} == {
        "version": 1,
        "job": "job-1",
        "state": "succeeded",
        "percent": None,
        "phase": "succeeded",
        "message": "",
        "retry_after": None,
        "generation": 0,
        "polls": 2,
        "seconds": 0,
    }


def test_fields_replace_those_of_the_protocol(at: Farm, context: Any) -> None:
    operator = task(protocol=FarmJob(), fields={"body": {"name": "other"}}, deferrable=False)
    assert operator.execute(context)["made"]["name"] == "other"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"protocol": "accepted"}, "protocol must be one of airgate.jobs, not a str"),
        ({"protocol": FarmJob}, r"protocol must be an instance: FarmJob\(…\)"),
        ({"protocol": FarmJob()}, "protocol: body is missing"),
        ({"fields": {}, "protocol": FarmJob()}, "protocol: body is missing"),
        ({"fields": {"bdy": {}}}, "fields: FarmJob has no field 'bdy'; did you mean body?"),
        ({"fields": ["body"]}, "fields must be a dict of fields of FarmJob"),
        ({"poll_interval": (5, 1)}, "poll_interval must be from 0.1 s up"),
        ({"poll_interval": (1, 2, 3)}, "a pair"),
        ({"poll_interval": "5"}, "poll_interval must be seconds or a timedelta, not '5'"),
        ({"timeout": 0}, "timeout must be more than 0 seconds"),
        ({"timeout": "60"}, "timeout must be seconds or a timedelta"),
        ({"poll_timeout": None}, "poll_timeout must be seconds or a timedelta"),
        ({"on_kill": "kill"}, "on_kill must be cancel or leave, not 'kill'"),
        ({"job": ""}, "job: a job's handle must be its id"),
        ({"job": {"data": 1}}, "job: a job's handle must be its id"),
        ({"epoch": 1}, "epoch must be a text"),
    ],
)
def test_what_cannot_work_is_said_when_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"task 't': .*{said}"):
        task(**arguments)


def test_a_handle_that_came_out_as_nothing_starts_no_job(at: Farm, context: Any) -> None:
    operator = task(job="{{ ti.xcom_pull('before') }}")
    for nothing in ("", None):
        operator.job = nothing  # as Airflow renders it
        with pytest.raises(ValueError, match="job: a job's handle"):
            operator.execute(context)
    assert not at.jobs


def test_times_may_be_timedeltas(at: Farm, context: Any) -> None:
    operator = task(poll_interval=(timedelta(seconds=0.1), timedelta(seconds=0.2)), poll_timeout=timedelta(seconds=5))
    assert through(operator, context)["made"]["name"] == "render"


@dataclass
class Mistaken(FarmJob):
    """Verbs that do not do as they should."""

    how: str = ""

    def submit(self, key: str) -> Any:
        """In the wrong way."""
        return self._wrong() if self.how else JobHandle("x")

    def _wrong(self) -> Any:
        if self.how == "asks text":
            yield "POST /jobs"
        yield from super().submit("k")
        return "job-1"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("", "must be a generator"),
        ("asks text", "must yield airgate.jobs.Ask, not 'POST /jobs'"),
        ("returns text", "Mistaken.submit must return a JobHandle, not 'job-1'"),
    ],
)
def test_a_protocol_with_a_mistake_is_told_which(at: Farm, context: Any, how: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        task(protocol=Mistaken(WORK, how=how)).execute(context)


def test_a_protocol_of_a_dag_file_is_refused_where_the_triggerer_needs_it() -> None:
    class Local(FarmJob):
        pass

    with pytest.raises(ValueError, match="define it in a module of plugins"):
        task(protocol=Local(WORK))
    assert task(protocol=Local(WORK), deferrable=False)


def test_a_result_of_another_task_within_the_protocol_makes_it_the_one_before() -> None:
    with DAG("d", schedule=None):
        before = task(task_id="before")
        after = task(task_id="after", protocol=FarmJob({"name": before.output["name"]}))
        mapped = GatewayJobOperator.partial(task_id="mapped", protocol=FarmJob()).expand(fields=before.output)
    assert after.upstream_task_ids == {"before"}
    assert mapped.upstream_task_ids == {"before"}
