"""GatewayOperator: waits that are too long for a worker, and the deadline over all tries."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import DeadlineExceeded, RateLimited
from airgate.operators import GatewayOperator
from airgate.testing import instant_time
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

BUSY = Answer(429, headers={"Retry-After": "60"})
SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer):
    """Change the connection's extra."""

    def define(**extra: Any) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
        values["password"] = SECRET
        extra = {"backoff": 0.001, "attempts": 3, "auth": "bearer", **extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": extra}))

    define()
    return define


def charge(**arguments: Any) -> GatewayOperator:
    """A task that writes."""
    return GatewayOperator(
        **{"task_id": "t", "method": "POST", "path": "/charge", "json": {"pin": "4711"}, **arguments}
    )


def test_a_long_wait_gives_the_worker_back_and_the_call_goes_on(context, server: ScriptedServer) -> None:
    """The trigger knows a moment and nothing else; the same key goes out afterwards."""
    server.answers = [BUSY, Answer(body=b'{"a": 1}')]
    operator = charge(idempotency_key=True)
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    path, kwargs = caught.value.trigger.serialize()
    assert path == "airgate.triggers.wait.WaitTrigger"
    assert kwargs["until"] == pytest.approx(time.time() + 60, abs=5)
    assert caught.value.method_name == "resume"
    assert not {SECRET, "4711"} & set(str([kwargs, caught.value.kwargs]).split("'"))
    assert operator.resume(context, {"until": kwargs["until"]}) == {"a": 1}
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1


def test_a_write_without_a_key_goes_on_too(context, server: ScriptedServer) -> None:
    """A 429 says that nothing was taken up."""
    server.answers = [BUSY, Answer(body=b'{"a": 1}')]
    operator = charge(idempotency_key=False)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    assert operator.resume(context) == {"a": 1}


def test_waits_end_after_the_attempts_of_the_connection(context, server: ScriptedServer) -> None:
    """A service that is always busy does not keep a task for ever."""
    server.answers = [BUSY]
    operator = charge()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    with pytest.raises(TaskDeferred):
        operator.resume(context)
    with pytest.raises(RateLimited) as caught:
        operator.resume(context)
    assert caught.value.retryable
    assert len(server.seen) == 3
    with pytest.raises(TaskDeferred):  # the next try begins afresh
        operator.execute(context)


@pytest.mark.parametrize(("extra", "arguments"), [({"long_wait": "retry"}, {}), ({}, {"long_wait": "retry"})])
def test_a_long_wait_can_be_left_to_airflows_retries(
    context, server: ScriptedServer, connection, extra: dict[str, Any], arguments: dict[str, Any]
) -> None:
    """The error names the wait, which the retry policy hands on."""
    connection(**extra)
    server.answers = [BUSY]
    with pytest.raises(RateLimited) as caught:
        charge(**arguments).execute(context)
    assert caught.value.retry_after == pytest.approx(60, abs=1)


def test_what_is_not_deferrable_is_retried(context, server: ScriptedServer) -> None:
    """deferrable=False, as on other operators."""
    server.answers = [BUSY]
    with pytest.raises(RateLimited):
        charge(deferrable=False).execute(context)


def test_a_long_wait_can_be_spent_in_the_worker(context, server: ScriptedServer, connection) -> None:
    """Where there is no triggerer and no retry."""
    connection(long_wait="inline")
    server.answers = [BUSY, Answer(body=b'{"a": 1}')]
    with instant_time() as time_passed:
        assert charge().execute(context) == {"a": 1}
    assert time_passed.skipped == pytest.approx(60, abs=2)


def test_a_wait_beyond_the_deadline_fails_at_once(context, server: ScriptedServer) -> None:
    """Nobody waits for an hour to learn that half an hour was allowed."""
    server.answers = [BUSY]
    with pytest.raises(DeadlineExceeded, match="ends behind the deadline"):
        charge(deadline=30).execute(context)


@pytest.mark.parametrize(("extra", "arguments"), [({"task_deadline": 30}, {}), ({}, {"deadline": 30})])
def test_the_deadline_spans_tries_and_starts_again_on_a_clear(
    context, server: ScriptedServer, connection, extra: dict[str, Any], arguments: dict[str, Any]
) -> None:
    """A second try has what the first one left; a clear is a person's word to begin anew."""
    connection(attempts=1, **extra)
    server.answers = [Answer(503), Answer(503), Answer()]
    operator = GatewayOperator(task_id="t", path="/x", **arguments)
    with instant_time() as time_passed:
        with pytest.raises(Exception, match="503"):
            operator.execute(context)
        time_passed.skip(20)
        with pytest.raises(Exception, match="503"):
            operator.execute(context)
        time_passed.skip(20)
        with pytest.raises(DeadlineExceeded):
            operator.execute(context)
        assert len(server.seen) == 2
        context["ti"].max_tries += 1
        assert operator.execute(context) == {}


def test_the_default_deadline_holds_for_a_try(context, server: ScriptedServer, connection) -> None:
    """Airflow's own pause between tries, five minutes, would use it up."""
    connection(attempts=1)
    server.answers = [Answer(503), Answer()]
    operator = GatewayOperator(task_id="t", path="/x")
    with instant_time() as time_passed:
        with pytest.raises(Exception, match="503"):
            operator.execute(context)
        time_passed.skip(3600)
        assert operator.execute(context) == {}
    assert context["task_state_store"].keys() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"long_wait": "sleep"}, "long_wait must be one of defer, retry, inline"),
        ({"deadline": -1}, "deadline must be 0 or more"),
    ],
)
def test_wrong_patience_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """With the task's name."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        charge(**arguments)


def test_a_place_in_line_outlives_a_long_wait(
    context, server: ScriptedServer, connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that wait for their own limit come through in order, and do not use up their attempts by it."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__LIMITS_STORE", str(tmp_path / "limits.sqlite"))
    connection(limits={"rate": "1/20s"}, attempts=2)

    def task(name: str) -> tuple[GatewayOperator, dict[str, Any]]:
        ti = SimpleNamespace(**{**vars(context["ti"]), "task_id": name})
        return charge(task_id=name), {"ti": ti, "task_state_store": FileStore(tmp_path / f"{name}.json")}

    with instant_time() as time_passed:
        operator, own = task("first")
        operator.execute(own)
        waiting = [task(f"t{number}") for number in range(4)]
        for operator, own in waiting:
            with pytest.raises(TaskDeferred):
                operator.execute(own)
        for turn in range(4):
            time_passed.skip(20)
            operator, own = waiting.pop(0)
            operator.resume(own)
            for operator, own in waiting:
                with pytest.raises(TaskDeferred):
                    operator.resume(own)
            assert len(server.seen) == turn + 2


def test_what_a_call_cost_before_a_long_wait_counts(context, server: ScriptedServer) -> None:
    """The summary is that of the whole try."""
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    server.answers = [Answer(503), BUSY, Answer()]
    operator = charge(idempotency_key=True)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    operator.resume(context)
    cost = pushed["airgate_calls"]
    assert (cost["calls"], cost["attempts"], cost["retries"], cost["failed"]) == (2, 3, 1, 1)
