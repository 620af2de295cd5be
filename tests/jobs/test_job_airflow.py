"""DAG runs of another Airflow: on a real one, with its own database, scheduler and users."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.client.message import Response
from airgate.errors import Conflict, JobFailed, NotFound, Rejected, Unauthorized
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import AirflowRun, Ask, JobHandle, JobState
from airgate.jobs.talk import Talk, carry
from tests.jobs.one_task import (
    context_of,
    ended_by_others,
    killed_before_the_handle,
    operator_of,
    order_of,
    run_deferred,
    run_here,
)
from tests.jobs.other_airflow import OtherAirflow, other_airflow

pytestmark = pytest.mark.integration

PATIENCE = 60.0
"""Seconds for what takes the other Airflow a few."""
DAY = "2026-01-31T00:00:00+00:00"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherAirflow]:
    home = tmp_path_factory.mktemp("other") / "home"
    with other_airflow(home, ("counts", "breaks", "sleeps", "rests")) as airflow:
        yield airflow


def connection(other: OtherAirflow, password: str = "") -> str:
    options = {"auth_class": "airgate.jobs.airflow_login:AirflowLogin"}
    options |= {"auth_options": {"url": f"{other.address}/auth/token"}}  # type: ignore[dict-item]
    extra = {"auth": "custom", **options, "backoff": 0.01}
    login = {"login": "admin", "password": password or other.password}
    return json.dumps({"conn_type": "gateway", "host": other.address, **login, "extra": extra})


@pytest.fixture
def hook(other: OtherAirflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayHook]:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", connection(other))
    with GatewayHook() as hook:
        yield hook


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Of this test alone."""
    return f"{request.node.name:.>32}"[-32:].replace("[", "-").replace("]", "-")


def submit(hook: GatewayHook, protocol: AirflowRun, key: str) -> JobHandle:
    return carry(protocol.submit(key), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


def test_a_run_is_triggered_waited_for_and_gives_its_result(
    other: OtherAirflow, hook: GatewayHook, tmp_path: Path
) -> None:
    """The conf arrives, the task that is named is looked at, and a cancellation that comes late changes nothing."""
    report = AirflowRun("counts", {"rows": 5}, logical_date=DAY, note="of the tests", result_task="report")
    result = run_here(report, tmp_path)
    assert (result["state"], result["result"], result["dag_id"]) == ("success", "5 rows", "counts")
    assert datetime.fromisoformat(result["logical_date"]) == datetime.fromisoformat(DAY)
    [run] = other.api.runs("counts", result["dag_run_id"])
    assert (run["conf"], run["note"], run["triggered_by"]) == ({"rows": 5}, "of the tests", "rest_api")

    handle = JobHandle(run["dag_run_id"])
    returned = look(hook, AirflowRun("counts", result_task="nothing").result(handle))
    assert returned["result"] is None
    returned = look(hook, AirflowRun("counts", result_task="load").result(handle))
    assert returned["result"] == {"rows": 5, "tables": ["orders"]}
    assert "result" not in look(hook, AirflowRun("counts").result(handle))
    with pytest.raises(NotFound, match=r"result_task: .* has no task repot"):
        look(hook, AirflowRun("counts", result_task="repot").result(handle))
    end(hook, AirflowRun("counts").cancel(handle))
    assert look(hook, AirflowRun("counts").status(handle)).state is JobState.SUCCEEDED


def test_a_failed_run_tells_its_tasks_and_the_end_of_their_logs(hook: GatewayHook, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="DAG breaks of the other Airflow failed: task fetch failed") as caught:
        run_deferred(AirflowRun("breaks"), tmp_path)
    log = caught.value.excerpt
    assert log.startswith("[fetch]\n")
    assert "the last line before the end" in log
    assert log.endswith("RuntimeError: the disk is full")
    assert caught.value.retryable
    with pytest.raises(JobFailed) as again:
        look(hook, AirflowRun("breaks", retry_failed=False).result(JobHandle(caught.value.job)))
    assert not again.value.retryable


def test_the_same_key_again_is_the_same_run(other: OtherAirflow, hook: GatewayHook, key: str) -> None:
    protocol = AirflowRun("counts", {"rows": 1}, logical_date="2026-02-01T00:00:00+00:00")
    handle = submit(hook, protocol, key)
    assert submit(hook, protocol, key) == handle
    assert look(hook, protocol.find(key)) == handle
    assert len(other.api.runs("counts", handle.id)) == 1
    with pytest.raises(Conflict, match="was submitted with another conf"):
        submit(hook, AirflowRun("counts", {"rows": 2}), key)
    with pytest.raises(Conflict, match="DAG counts has another run of the logical date 2026-02-01"):
        submit(hook, protocol, "f" * 32)


def test_a_task_killed_with_the_answer_in_its_hands_finds_its_run(
    other: OtherAirflow, hook: GatewayHook, tmp_path: Path
) -> None:
    protocol = AirflowRun("counts", {"rows": 4}, result_task="report", note="killed")
    killed_before_the_handle(protocol, tmp_path)
    assert run_here(protocol, tmp_path)["result"] == "4 rows"
    noted = [run for run in other.api.runs("counts", "airgate__") if run["note"] == "killed"]
    assert len(noted) == 1


def test_the_run_of_a_killed_task_that_is_not_tried_again_is_ended_by_others(
    other: OtherAirflow, hook: GatewayHook, tmp_path: Path
) -> None:
    """Its id follows from the key; the conf is not stored."""
    killed_before_the_handle(AirflowRun("sleeps", {"mark": str(tmp_path / "mark")}, note="left"), tmp_path)
    assert str(tmp_path) not in str(order_of(tmp_path)["trace"])
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    [run] = [run for run in other.api.runs("sleeps", "airgate__") if str(run["note"]).startswith("left")]
    assert (run["state"], run["note"]) == ("failed", "left\ncancelled by airgate")


def test_ending_the_task_ends_the_run_and_its_processes(other: OtherAirflow, hook: GatewayHook, tmp_path: Path) -> None:
    """In the triggerer, as when a person marks the task; a second cancellation changes nothing."""
    protocol = AirflowRun("sleeps", {"mark": str(tmp_path / "mark")}, note="for a while")
    with pytest.raises(TaskDeferred) as deferred:
        operator_of(protocol).execute(context_of(tmp_path))
    trigger = deferred.value.trigger
    handle = JobHandle.from_json(trigger.waiting.handle)  # type: ignore[attr-defined]
    process = _process(tmp_path / "mark")
    asyncio.run(trigger.on_kill())  # type: ignore[attr-defined]
    status = look(hook, protocol.status(handle))
    assert status.state is JobState.CANCELLED
    process.wait(PATIENCE)
    assert [task["state"] for task in other.api.tasks("sleeps", [handle.id])] == ["failed"]
    end(hook, protocol.cancel(handle))
    [run] = other.api.runs("sleeps", handle.id)
    assert (run["state"], run["note"]) == ("failed", "for a while\ncancelled by airgate")
    with pytest.raises(JobFailed, match="was cancelled") as caught:
        look(hook, protocol.result(handle))
    assert not caught.value.retryable


def _process(mark: Path) -> psutil.Process:
    """The process of the other Airflow's task, once it is at work."""
    ends = time.monotonic() + PATIENCE
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < ends, "the task has not begun"
        time.sleep(0.1)
    return psutil.Process(int(mark.read_text()))


def test_a_run_of_a_paused_dag_is_refused_unless_it_is_asked_for(
    other: OtherAirflow, hook: GatewayHook, key: str
) -> None:
    with pytest.raises(Conflict, match=r"DAG rests of the other Airflow is paused.*paused_ok") as caught:
        submit(hook, AirflowRun("rests"), key)
    assert not caught.value.retryable
    assert other.api.runs("rests", "") == []
    waits = AirflowRun("rests", paused_ok=True)
    handle = submit(hook, waits, key)
    assert look(hook, waits.status(handle)).state is JobState.QUEUED
    assert submit(hook, AirflowRun("rests"), key) == handle, "an earlier try submitted it"
    end(hook, waits.cancel(handle))
    assert look(hook, waits.status(handle)).state is JobState.CANCELLED


def test_many_runs_are_looked_at_with_one_request(hook: GatewayHook, key: str) -> None:
    rests = AirflowRun("rests", paused_ok=True)
    handles = [submit(hook, rests, f"{number:032x}") for number in range(8)]
    end(hook, rests.cancel(handles[3]))
    gone = JobHandle("airgate__" + "e" * 32, {"dag_id": "rests"})
    asked: list[Ask] = []

    def counted(talk: Talk[Any]) -> Talk[Any]:
        answer: Response | None = None
        try:
            ask = next(talk)
            while True:
                asked.append(ask)
                answer = yield ask
                ask = talk.send(answer)
        except StopIteration as stop:
            return stop.value

    found = look(hook, counted(rests.statuses([*handles, gone])))
    assert len(asked) == 1
    assert set(found) == {handle.id for handle in handles}
    assert found[handles[3].id].state is JobState.CANCELLED
    assert found[handles[4].id].state is JobState.QUEUED
    elsewhere = submit(hook, AirflowRun("counts"), key)
    assert set(look(hook, rests.statuses([handles[0], elsewhere]))) == {handles[0].id, elsewhere.id}


def test_a_run_that_is_not_there_is_said_to_be_gone(hook: GatewayHook, key: str) -> None:
    protocol = AirflowRun("counts")
    assert look(hook, protocol.find(key)) is None
    gone = JobHandle("airgate__gone", {"dag_id": "counts"})
    with pytest.raises(NotFound):
        look(hook, protocol.status(gone))
    end(hook, protocol.cancel(gone))


def test_what_airflow_refuses_is_an_error_with_its_words(hook: GatewayHook, key: str) -> None:
    with pytest.raises(Rejected, match="'many' is not of type 'integer'"):
        submit(hook, AirflowRun("counts", {"rows": "many"}), key)
    with pytest.raises(NotFound, match="`no_such_dag` was not found"):
        submit(hook, AirflowRun("no_such_dag"), key)


def test_a_token_that_has_expired_is_replaced(other: OtherAirflow, hook: GatewayHook) -> None:
    protocol = AirflowRun("counts")
    assert look(hook, protocol.find("a" * 32)) is None
    auth: Any = hook.gateway.auth
    claims = jwt.decode(auth._token, options={"verify_signature": False})
    header = jwt.get_unverified_header(auth._token)
    past = {**claims, "iat": 1, "nbf": 1, "exp": 2}
    auth._token = expired = jwt.encode(past, other.jwt_secret, header["alg"], headers=header)
    assert look(hook, protocol.find("a" * 32)) is None
    assert auth._token != expired
    assert expired in auth.secrets


def test_a_wrong_password_is_said_without_it(other: OtherAirflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", connection(other, "open-sesame"))
    with GatewayHook() as hook, pytest.raises(Unauthorized, match="answered 401 to user and password") as caught:
        look(hook, AirflowRun("counts").find("a" * 32))
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (AirflowRun(), "dag_id must be the id of a DAG"),
        (AirflowRun("d", conf=[1]), "conf must be a dict, not a list"),  # type: ignore[arg-type]
        (AirflowRun("d", {"at": datetime(2026, 1, 1)}), "conf must be JSON: .*datetime"),  # noqa: DTZ001
        (AirflowRun("d", logical_date="yesterday"), "logical_date must be a date and time with a UTC offset"),
        (AirflowRun("d", logical_date=datetime(2026, 1, 1)), "logical_date must be"),  # noqa: DTZ001
        (AirflowRun("d", note="x" * 1001), "note must be at most 1000 characters"),
    ],
)
def test_what_cannot_work_is_said_while_the_dag_is_parsed(protocol: AirflowRun, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator_of(protocol)


def test_templates_pass_while_the_dag_is_parsed() -> None:
    assert AirflowRun("{{ var.value.dag }}", {"day": "{{ ds }}"}, logical_date="{{ ts }}").problem() is None
