"""Runs of a Dagster job: on a real Dagster with its webserver, daemon and code server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import JobFailed, NotFound, Rejected, Unavailable, Unprocessable
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import Ask, DagsterRun, JobHandle, JobState
from airgate.jobs.dagster import KEY_TAG
from airgate.jobs.talk import Talk, carry
from commands import engines
from tests.jobs.dagster_server import Dagster, dagster
from tests.jobs.one_task import (
    context_of,
    ended_by_others,
    killed_before_the_handle,
    operator_of,
    run_deferred,
    run_here,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not engines.installed("dagster"), reason="Dagster is not installed; scripts/test --install does it"
    ),
]

PATIENCE = 90.0
"""Seconds for what takes Dagster a few."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    with dagster(tmp_path_factory.mktemp("dagster") / "home") as running:
        yield running


@pytest.fixture
def hook(server: Dagster, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayHook]:
    gateway = {"conn_type": "gateway", "host": server.address, "extra": {"backoff": 0.01, "read_timeout": 10}}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    with GatewayHook() as hook:
        yield hook


def run_of(job: str, run_config: dict[str, Any] | None = None, **fields: Any) -> DagsterRun:
    return DagsterRun(**{"location": "shop", "job": job, "run_config": run_config or {}, **fields})


def sleeper(mark: Path, **fields: Any) -> DagsterRun:
    return run_of("sleeps", {"ops": {"sleep": {"config": {"path": str(mark)}}}}, **fields)


def submit(hook: GatewayHook, protocol: DagsterRun, key: str) -> JobHandle:
    return carry(protocol.submit(key), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


def until(hook: GatewayHook, protocol: DagsterRun, handle: JobHandle, state: JobState, phase: str = "") -> None:
    ends = time.monotonic() + PATIENCE
    while (status := look(hook, protocol.status(handle))).state is not state or status.phase != phase:
        assert not status.over, f"{handle.id} is {status}"
        assert time.monotonic() < ends, f"{handle.id} is {status}"
        time.sleep(0.05)


def at_work(mark: Path) -> psutil.Process:
    """The process of a run, once its op is executed."""
    ends = time.monotonic() + PATIENCE
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < ends, "the op has not begun"
        time.sleep(0.1)
    return psutil.Process(int(mark.read_text()))


def test_a_run_is_launched_waited_for_and_gives_its_result(server: Dagster, hook: GatewayHook, tmp_path: Path) -> None:
    """Configuration and tags arrive; a cancellation that comes late changes nothing."""
    counts = run_of("counts", {"ops": {"load": {"config": {"rows": 5}}}}, tags={"team": "north"})
    result = run_here(counts, tmp_path)
    assert (result["job"], result["status"]) == ("counts", "SUCCESS")
    assert (result["steps_succeeded"], result["materializations"]) == (2, 1)
    assert result["end_time"] >= result["start_time"] > 0
    assert "5 rows" in server.messages(result["run_id"])
    [run] = server.runs("team", "north")
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert run["runId"] == result["run_id"]
    assert tags["dagster/max_retries"] == "0"
    end(hook, counts.cancel(JobHandle(result["run_id"])))
    assert look(hook, counts.status(JobHandle(result["run_id"]))).state is JobState.SUCCEEDED


def test_a_failed_run_tells_its_step_and_the_last_events(hook: GatewayHook, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"of job breaks failed: step fetch: RuntimeError: the disk is full") as caught:
        run_deferred(run_of("breaks"), tmp_path)
    lines = caught.value.excerpt.splitlines()
    assert any(line.endswith("WARNING fetch: the last line before the end") for line in lines)
    assert "in fetch" in caught.value.excerpt
    assert "    RuntimeError: the disk is full" in lines
    assert caught.value.retryable
    with pytest.raises(JobFailed) as again:
        look(hook, run_of("breaks", retry_failed=False).result(JobHandle(caught.value.job)))
    assert not again.value.retryable


def test_a_task_killed_with_the_answer_in_its_hands_finds_its_run(
    server: Dagster, hook: GatewayHook, tmp_path: Path
) -> None:
    table = DagsterRun("shop", assets=["table"], tags={"test": "killed"})
    killed_before_the_handle(table, tmp_path)
    assert run_here(table, tmp_path)["materializations"] == 1
    assert len(server.runs("test", "killed")) == 1


def test_the_run_of_a_killed_task_that_is_not_tried_again_is_ended_by_others(
    server: Dagster, hook: GatewayHook, tmp_path: Path
) -> None:
    """Found by its tag, by who knows no more than the path of the webserver."""
    killed_before_the_handle(sleeper(tmp_path / "mark", tags={"test": "left"}), tmp_path)
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    [run] = server.runs("test", "left")
    until(hook, run_of("sleeps"), JobHandle(run["runId"]), JobState.CANCELLED)


def test_dagster_itself_takes_a_key_twice_and_the_first_run_is_found(server: Dagster, hook: GatewayHook) -> None:
    """Why the protocol is not ``unique``: its tag finds a run, and keeps nobody from launching another."""
    counts, key = run_of("counts"), "2" * 32
    assert look(hook, counts.find(key)) is None
    first, second = submit(hook, counts, key), submit(hook, counts, key)
    assert first != second
    assert look(hook, counts.find(key)) == first
    assert len(server.runs(KEY_TAG, key)) == 2
    for handle in (first, second):
        end(hook, counts.cancel(handle))


def test_ending_the_task_ends_the_run_and_its_process(server: Dagster, hook: GatewayHook, tmp_path: Path) -> None:
    """In the triggerer, as when a person marks the task; a second cancellation changes nothing."""
    mark = tmp_path / "mark"
    sleeps = sleeper(mark)
    with pytest.raises(TaskDeferred) as deferred:
        operator_of(sleeps).execute(context_of(tmp_path))
    trigger: Any = deferred.value.trigger
    handle = JobHandle.from_json(trigger.waiting.handle)
    process = at_work(mark)
    asyncio.run(trigger.on_kill())
    end(hook, sleeps.cancel(handle))
    process.wait(PATIENCE)
    until(hook, sleeps, handle, JobState.CANCELLED)
    assert mark.with_suffix(".ended").read_text() == "cleaned up"
    end(hook, sleeps.cancel(handle))
    with pytest.raises(JobFailed, match="was cancelled") as caught:
        look(hook, sleeps.result(handle))
    assert not caught.value.retryable


def test_a_run_that_waits_in_the_queue_is_cancelled(hook: GatewayHook, tmp_path: Path) -> None:
    waits = sleeper(tmp_path / "mark", tags={"slot": "none"})
    handle = submit(hook, waits, "3" * 32)
    assert look(hook, waits.status(handle)).state is JobState.QUEUED
    end(hook, waits.cancel(handle))
    assert look(hook, waits.status(handle)).state is JobState.CANCELLED


def test_a_run_that_is_starting_is_cancelled_and_executes_nothing(
    server: Dagster, hook: GatewayHook, tmp_path: Path
) -> None:
    """Dagster terminates no such run, so it is marked as cancelled."""
    sleeps = sleeper(tmp_path / "mark")
    handle = submit(hook, sleeps, "7" * 32)
    until(hook, sleeps, handle, JobState.RUNNING, "starting")
    end(hook, sleeps.cancel(handle))
    assert look(hook, sleeps.status(handle)).state is JobState.CANCELLED
    ends = time.monotonic() + PATIENCE
    while not any("canceled before execution could start" in said for said in server.messages(handle.id)):
        assert time.monotonic() < ends, server.messages(handle.id)
        time.sleep(0.2)
    assert not (tmp_path / "mark").exists()
    assert look(hook, sleeps.status(handle)).state is JobState.CANCELLED


def test_a_forced_cancellation_does_not_wait_for_the_process(hook: GatewayHook, tmp_path: Path) -> None:
    sleeps = sleeper(tmp_path / "mark", force=True)
    handle = submit(hook, sleeps, "4" * 32)
    process = at_work(tmp_path / "mark")
    end(hook, sleeps.cancel(handle))
    assert look(hook, sleeps.status(handle)).state is JobState.CANCELLED
    process.wait(PATIENCE)


def test_many_runs_are_looked_at_with_one_request(hook: GatewayHook) -> None:
    counts = run_of("counts")
    handles = [submit(hook, counts, f"{number:032x}") for number in range(5)]
    for handle in handles:
        end(hook, counts.cancel(handle))
    asked: list[Ask] = []

    def counted(talk: Talk[Any]) -> Talk[Any]:
        try:
            ask = next(talk)
            while True:
                asked.append(ask)
                ask = talk.send((yield ask))
        except StopIteration as stop:
            return stop.value

    gone = JobHandle("00000000-0000-0000-0000-000000000000")
    found = look(hook, counted(counts.statuses([*handles, gone])))
    assert len(asked) == 1
    assert set(found) == {handle.id for handle in handles}


def test_a_run_that_is_not_there_is_said_to_be_gone(hook: GatewayHook) -> None:
    gone = JobHandle("00000000-0000-0000-0000-000000000000")
    with pytest.raises(NotFound, match="Dagster knows no run 00000000"):
        look(hook, run_of("counts").status(gone))
    with pytest.raises(NotFound):
        look(hook, run_of("counts").result(gone))
    end(hook, run_of("counts").cancel(gone))


@pytest.mark.parametrize(
    ("protocol", "kind", "said"),
    [
        (
            run_of("counts", {"ops": {"load": {"config": {"rowz": 5}}}}),
            Unprocessable,
            r'RunConfigValidationInvalid: Received unexpected config entry "rowz" at path root:ops:load:config',
        ),
        (run_of("counts", op_selection=["lod"]), Unprocessable, "InvalidSubsetError: .*lod"),
        (DagsterRun("shop", assets=["a/b"]), Unprocessable, r"InvalidSubsetError: .*'a', 'b'|a/b"),
        (run_of("cuonts"), NotFound, r"PipelineNotFoundError: .*shop\.__repository__\.cuonts"),
        (run_of("counts", location="shpo"), NotFound, "PipelineNotFoundError: .*shpo"),
        (run_of("counts", location="away"), Unavailable, "code location away of Dagster is not there"),
    ],
)
def test_what_dagster_refuses_is_a_typed_error_with_its_words(
    server: Dagster, hook: GatewayHook, protocol: DagsterRun, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        submit(hook, protocol, "5" * 32)
    assert server.runs(KEY_TAG, "5" * 32) == []


def test_what_is_no_graphql_of_dagsters_is_an_error(hook: GatewayHook) -> None:
    with pytest.raises(Rejected):
        look(hook, run_of("counts", base="/elsewhere").find("6" * 32))


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (DagsterRun(job="counts"), "location must be the name of a code location"),
        (DagsterRun("shop"), "job must be the name of a job, or assets"),
        (DagsterRun("shop", assets="table"), "assets must be a list"),
        (run_of("counts", [1]), "run_config must be a dict, not a list"),  # type: ignore[arg-type]
        (run_of("counts", {"x": object()}), "run_config must be JSON"),
        (run_of("counts", tags={"airgate/key": "x"}), "tags: 'airgate/key' must be another name"),
        (run_of("counts", tags={"n": 1}), "tags: 'n' must be another name, with a text as value"),
    ],
)
def test_what_cannot_work_is_said_while_the_dag_is_parsed(protocol: DagsterRun, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator_of(protocol)
