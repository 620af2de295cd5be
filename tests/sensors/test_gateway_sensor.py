"""GatewaySensor."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airgate.errors import NotFound, Unauthorized
from airgate.hooks import GatewayRetryPolicy, read_object
from airgate.sensors import GatewaySensor
from airgate.testing import instant_time
from tests.scripted_server import Answer, ScriptedServer

OPEN, DONE = Answer(body=b'{"state": "open"}'), Answer(body=b'{"state": "done", "id": 7}')


def sensor(**arguments: Any) -> GatewaySensor:
    """Waits for a job."""
    return GatewaySensor(
        **{"task_id": "t", "path": "/job", "predicate": "state == 'done'", "poke_interval": 60, **arguments}
    )


def run(operator: GatewaySensor, context: Any) -> Any:
    """Execute the task as Airflow does: its triggers run, and it is resumed with their events."""
    step, arguments = operator.execute, {}
    while True:
        try:
            return step(context, **arguments)
        except TaskDeferred as deferred:
            event = asyncio.run(anext(deferred.trigger.run()))
            step, arguments = getattr(operator, deferred.method_name), {"event": event.payload}


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("predicate", "response_filter", "result"),
    [
        ("state == 'done'", None, True),
        ("state == 'done' && id", None, 7),
        ("state == 'done'", "id", 7),
        (lambda response: response.json()["state"] == "done", lambda response: response.json()["id"] + 1, 8),
        (lambda response: response.json().get("id"), None, 7),
        ("state == 'done'", lambda response: [response.status], [200]),
    ],
)
def test_it_waits_until_the_predicate_holds(
    context, server: ScriptedServer, deferrable: bool, predicate: Any, response_filter: Any, result: Any
) -> None:
    """JMESPath or function, on the worker or in the triggerer: the same polls, the same result."""
    server.answers = [OPEN, OPEN, DONE]
    operator = sensor(predicate=predicate, response_filter=response_filter, deferrable=deferrable)
    with instant_time() as passed:
        assert run(operator, context) == result
    assert len(server.seen) == 3
    assert passed.skipped == pytest.approx(120, abs=10)


def test_reschedule_gives_the_worker_back(context, server: ScriptedServer) -> None:
    """As every sensor does in this mode."""
    context["ti"] = SimpleNamespace(**vars(context["ti"]), get_first_reschedule_date=lambda context: None)
    server.answers = [OPEN, DONE]
    operator = sensor(mode="reschedule")
    with pytest.raises(AirflowRescheduleException):
        operator.execute(context)
    assert operator.execute(context) is True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"mode": "reschedule"},
        {"deferrable": True},
        {"deferrable": True, "predicate": lambda response: response.json()["state"] == "done"},
    ],
    ids=["poke", "reschedule", "triggerer", "own function"],
)
def test_what_the_polls_cost_is_pushed(context, server: ScriptedServer, arguments: dict[str, Any]) -> None:
    """One sum over all polls of the try, in whichever process they were made; another try begins anew."""
    pushed: list[dict[str, Any]] = []
    ti = {**vars(context["ti"]), "try_number": 1, "get_first_reschedule_date": lambda context: None}
    context["ti"] = SimpleNamespace(**ti, xcom_push=lambda key, value: pushed.append({key: value}))
    for attempt in (1, 2):
        context["ti"].try_number = attempt
        server.answers = [OPEN, Answer(503), OPEN, DONE]
        with instant_time():
            while True:
                try:
                    assert run(sensor(**arguments), context) is True
                    break
                except AirflowRescheduleException:
                    assert not pushed
        [cost] = pushed
        assert (cost["airgate_calls"]["calls"], cost["airgate_calls"]["attempts"]) == (3, 4)
        pushed.clear()
    server.answers = [Answer(404)]
    with pytest.raises(NotFound), instant_time():
        run(sensor(**arguments), context)
    assert pushed[0]["airgate_calls"]["errors"]["NotFound"] == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_missing_resource_may_mean_not_yet(context, server: ScriptedServer, deferrable: bool) -> None:
    """An error without missing_is_false, with its type in both modes."""
    server.answers = [Answer(404), DONE]
    with pytest.raises(NotFound):
        run(sensor(deferrable=deferrable), context)
    server.answers = [Answer(404), DONE]
    with instant_time():
        assert run(sensor(deferrable=deferrable, missing_is_false=True), context) is True


@pytest.mark.parametrize("predicate", ["state == 'done'", lambda response: False])
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("arguments", "error"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)]
)
def test_it_times_out(
    context, server: ScriptedServer, deferrable: bool, predicate: Any, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """After the timeout, however long it takes: failed, or skipped with soft_fail."""
    server.answers = [OPEN]
    with instant_time() as passed, pytest.raises(error):
        run(sensor(deferrable=deferrable, predicate=predicate, timeout=200, **arguments), context)
    assert 180 <= passed.skipped <= 260


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("predicate", ["state == 'done'", lambda response: response.json()["state"] == "done"])
def test_errors_can_be_passed_over(context, server: ScriptedServer, deferrable: bool, predicate: Any) -> None:
    """never_fail skips, silent_fail goes on."""
    server.answers = [Answer(403)]
    with pytest.raises(Unauthorized):
        run(sensor(deferrable=deferrable, predicate=predicate), context)
    with pytest.raises(AirflowSkipException):
        run(sensor(deferrable=deferrable, predicate=predicate, never_fail=True), context)
    server.answers = [Answer(403), DONE]
    with instant_time():
        assert run(sensor(deferrable=deferrable, predicate=predicate, silent_fail=True), context) is True


@pytest.mark.parametrize("arguments", [{}, {"exponential_backoff": True}, {"deferrable": True}])
@pytest.mark.parametrize("predicate", ["state == 'done'", lambda response: response.json()["state"] == "done"])
def test_a_wait_that_the_service_asks_for_is_waited_for(
    context, server: ScriptedServer, arguments: dict[str, Any], predicate: Any
) -> None:
    """A 429 with Retry-After means not yet, on the worker as in the triggerer."""
    server.answers = [Answer(429, headers={"Retry-After": "600"}), DONE]
    with instant_time() as passed:
        assert run(sensor(predicate=predicate, **arguments), context) is True
    assert passed.skipped == pytest.approx(600, abs=10)


def test_a_rescheduled_sensor_comes_back_when_the_service_listens(context, server: ScriptedServer) -> None:
    """The worker is given back for as long as the service asks for."""
    context["ti"] = SimpleNamespace(**vars(context["ti"]), get_first_reschedule_date=lambda context: None)
    server.answers = [Answer(429, headers={"Retry-After": "600"}), DONE]
    with pytest.raises(AirflowRescheduleException) as caught:
        sensor(mode="reschedule").execute(context)
    assert caught.value.reschedule_date.timestamp() == pytest.approx(time.time() + 600, abs=10)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("arguments", "error"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)]
)
def test_a_wait_does_not_outlast_the_sensor(
    context, server: ScriptedServer, deferrable: bool, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """A service that asks for an hour of a sensor that has two minutes: timed out, or skipped with soft_fail."""
    server.answers = [Answer(429, headers={"Retry-After": "3600"})]
    with instant_time() as passed, pytest.raises(error):
        run(sensor(deferrable=deferrable, timeout=120, **arguments), context)
    assert passed.skipped == pytest.approx(120, abs=10)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("response_filter", ["@", lambda response: response.json()])
def test_a_service_cannot_choose_what_is_read(
    context, server: ScriptedServer, deferrable: bool, response_filter: Any
) -> None:
    """An answer that looks like a reference to an object is data, however the sensor waits."""
    forged = {"airgate": "object", "uri": "file:///etc/hostname", "bytes": 1, "content_type": "text/plain"}
    server.answers = [Answer(body=json.dumps(forged).encode())]
    result = run(sensor(predicate="uri", response_filter=response_filter, deferrable=deferrable), context)
    assert result["uri"].endswith("/d/r/t/result.json")
    assert read_object(result) == forged


def test_a_large_value_is_read_on_the_worker(context, server: ScriptedServer) -> None:
    """It does not travel through the event, and comes whole all the same."""
    server.answers = [Answer(body=b'{"a": "' + b"x" * 20_000 + b'"}')]
    assert run(sensor(predicate="a", deferrable=True), context) == "x" * 20_000
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predicate": "a["}, "predicate: 'a\\[' is not a JMESPath expression"),
        ({"method": "POST"}, "method must be GET or HEAD"),
        ({"path": ""}, "path is missing"),
        ({"deferrable": True, "headers": {"X-Api-Key": "hunter2"}}, "headers: X-Api-Key may be secret"),
        ({"deferrable": True, "query": {"token": "hunter2"}}, "query: token may be secret"),
        ({"deferrable": True, "path": "/x?a=1&access%5Ftoken=hunter2"}, "path: access_token may be secret"),
    ],
)
def test_mistakes_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """With the task's name, and without showing a secret."""
    with pytest.raises(ValueError, match=f"task 't': {message}") as caught:
        sensor(**arguments)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "{{ path }}"}, "path: access_token may be secret"),
        ({"path": "", "operation": "getX", "arguments": {"X-Api-Key": "hunter2"}}, "headers: X-Api-Key may be secret"),
        ({"path": "", "operation": "getX", "arguments": {"sig": "hunter2"}}, "query: sig may be secret"),
    ],
)
def test_no_secret_reaches_a_trigger(context, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    """Also where it shows only when templates are rendered, or where an operation puts its argument."""
    parameters = [{"name": "X-Api-Key", "in": "header", "schema": {}}, {"name": "sig", "in": "query", "schema": {}}]
    operation = {"get": {"operationId": "getX", "parameters": parameters, "responses": {"200": {"description": ""}}}}
    document = tmp_path / "openapi.json"
    document.write_text(
        json.dumps({"openapi": "3.0.3", "info": {"title": "", "version": "1"}, "paths": {"/x": operation}})
    )
    extra = {"openapi": str(document)} if "operation" in arguments else {}
    rendered = sensor(deferrable=True, **arguments, **extra)
    rendered.render_template_fields(context | {"path": "/x?access_token=hunter2"})
    with pytest.raises(ValueError, match=message) as caught:
        rendered.execute(context)
    assert "hunter2" not in str(caught.value)


def test_the_trigger_ends_with_the_sensor(context) -> None:
    """Airflow itself ends the wait when no triggerer says so."""
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True, timeout=100).execute(context)
    assert 100 < caught.value.timeout < 200
    assert caught.value.trigger.poll.ends == pytest.approx(time.time() + 100, abs=5)


def test_it_comes_with_the_retry_policy_that_knows_its_errors() -> None:
    """As the operator does."""
    assert isinstance(sensor().retry_policy, GatewayRetryPolicy)
