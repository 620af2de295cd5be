"""Executions of Step Functions: on moto, which runs the state machines and checks each signature."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import end, look
from airgate.jobs import JobHandle, JobState
from airgate.jobs.step_functions import StepFunctionsExecution
from airgate.jobs.talk import carry
from airgate.operators.job import GatewayJobOperator
from airgate.policy.errors import (
    Conflict,
    GatewayError,
    JobFailed,
    NotFound,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from tests.jobs.one_task import ended_by_others, killed_before_the_handle, order_of, run_deferred, run_here
from tests.jobs.step_functions_server import StepFunctions, step_functions
from tests.scripted_server import Answer, ScriptedServer

KEY = "0123456789abcdef0123456789abcdef"
ARN = "arn:aws:states:eu-central-1:123456789012:stateMachine:echo"


@pytest.fixture(scope="module")
def aws() -> Iterator[StepFunctions]:
    with step_functions() as server:
        yield server


@pytest.fixture
def hook(aws: StepFunctions, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayHook]:
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", aws.connection())
    with GatewayHook() as hook:
        yield hook


def submit(hook: GatewayHook, protocol: StepFunctionsExecution, key: str) -> JobHandle:
    from airgate.hooks.job_calls import call_of

    return carry(protocol.submit(key), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


def until(hook: GatewayHook, protocol: StepFunctionsExecution, handle: JobHandle, state: JobState) -> None:
    for _ in range(300):
        if look(hook, protocol.status(handle)).state is state:
            return
        time.sleep(0.05)
    raise AssertionError(f"{handle.id} never was {state}")


def test_an_execution_is_started_waited_for_and_gives_its_output(
    aws: StepFunctions, hook: GatewayHook, tmp_path: Path
) -> None:
    """In the worker and in the triggerer, signed for the service `states`."""
    order = {"chairs": 4, "wood": "öak"}
    here = StepFunctionsExecution(aws.arns["echo"], order, name_prefix="orders-")
    assert run_here(here, tmp_path) == order
    started = aws.executions("echo")
    assert [each["name"].startswith("orders-") for each in started] == [True]
    folder = tmp_path / "deferred"
    folder.mkdir()
    assert run_deferred(StepFunctionsExecution(aws.arns["echo"], {"n": 1}), folder) == {"n": 1}


def test_a_failed_execution_tells_error_cause_and_the_end_of_its_history(
    aws: StepFunctions, hook: GatewayHook, tmp_path: Path
) -> None:
    with pytest.raises(JobFailed) as failed:
        run_deferred(StepFunctionsExecution(aws.arns["broken"], {"secret-order": 7}), tmp_path)
    assert "Orders.NoStock: no chair is left" in failed.value.reason
    assert not failed.value.retryable
    lines = failed.value.excerpt.splitlines()
    assert lines[-2:] == ["2 FailStateEntered Work", "3 ExecutionFailed Orders.NoStock: no chair is left"]
    assert "secret-order" not in str(failed.value)


@pytest.mark.parametrize(
    ("retry_errors", "retryable"), [(None, True), (["Lambda.*"], True), (["States.*"], False), ([], False)]
)
def test_the_error_names_decide_whether_another_execution_may_succeed(
    aws: StepFunctions, hook: GatewayHook, retry_errors: list[str] | None, retryable: bool, request: Any
) -> None:
    protocol = StepFunctionsExecution(aws.arns["timid"])
    if retry_errors is not None:
        protocol.retry_errors = retry_errors
    handle = submit(hook, protocol, f"retry-{retry_errors}".translate(dict.fromkeys(map(ord, "[]'.* "))))
    until(hook, protocol, handle, JobState.FAILED)
    with pytest.raises(JobFailed) as failed:
        look(hook, protocol.result(handle))
    assert failed.value.retryable is retryable


def test_the_same_key_is_the_same_execution_also_after_its_end(aws: StepFunctions, hook: GatewayHook) -> None:
    """AWS answers a repeated name with success while it runs, and with ExecutionAlreadyExists afterwards."""
    running = StepFunctionsExecution(aws.arns["slow"], {"n": 1})
    first = submit(hook, running, KEY)
    assert submit(hook, running, KEY) == first
    assert len(aws.executions("slow")) == 1
    over = StepFunctionsExecution(aws.arns["echo"], {"n": 1})
    handle = submit(hook, over, KEY)
    until(hook, over, handle, JobState.SUCCEEDED)
    assert submit(hook, over, KEY) == handle
    with pytest.raises(Conflict, match="another input"):
        submit(hook, StepFunctionsExecution(aws.arns["echo"], {"n": 2}), KEY)
    assert [each["name"] for each in aws.executions("echo")].count(KEY) == 1


def test_a_task_killed_before_it_stored_the_handle_goes_on_with_the_same_execution(
    aws: StepFunctions, hook: GatewayHook, tmp_path: Path
) -> None:
    protocol = StepFunctionsExecution(aws.arns["echo"], {"n": 3}, name_prefix="killed-")
    killed_before_the_handle(protocol, tmp_path)
    assert run_here(protocol, tmp_path) == {"n": 3}
    assert [each["name"].startswith("killed-") for each in aws.executions("echo")].count(True) == 1


def test_the_execution_of_a_killed_task_that_is_not_tried_again_is_stopped_by_others(
    aws: StepFunctions, hook: GatewayHook, tmp_path: Path
) -> None:
    """Its ARN follows from the key, the state machine and the prefix; the input is not stored."""
    protocol = StepFunctionsExecution(aws.arns["slow"], {"order": "of-chairs"}, name_prefix="left-")
    killed_before_the_handle(protocol, tmp_path)
    assert "of-chairs" not in str(order_of(tmp_path))
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    [left] = [each for each in aws.executions("slow") if each["name"].startswith("left-")]
    assert left["status"] == "ABORTED"


def test_a_cancelled_execution_is_stopped_once_and_for_all(aws: StepFunctions, hook: GatewayHook) -> None:
    protocol = StepFunctionsExecution(aws.arns["slow"])
    handle = submit(hook, protocol, "to-be-cancelled")
    until(hook, protocol, handle, JobState.RUNNING)
    for _ in range(2):
        end(hook, protocol.cancel(handle))
    until(hook, protocol, handle, JobState.CANCELLED)
    end(hook, protocol.cancel(handle))
    end(hook, protocol.cancel(JobHandle(f"{handle.id}-gone")))
    with pytest.raises(JobFailed, match="ended as ABORTED") as failed:
        look(hook, protocol.result(handle))
    assert not failed.value.retryable


def test_an_execution_is_found_by_its_key(aws: StepFunctions, hook: GatewayHook) -> None:
    protocol = StepFunctionsExecution(f"{aws.arns['echo']}", name_prefix="found-")
    assert look(hook, protocol.find(KEY)) is None
    handle = submit(hook, protocol, KEY)
    assert look(hook, protocol.find(KEY)) == handle
    with pytest.raises(NotFound, match="ExecutionDoesNotExist"):
        look(hook, protocol.status(JobHandle(f"{handle.id}-gone")))


def test_an_express_machine_is_refused_before_anything_is_started(aws: StepFunctions, hook: GatewayHook) -> None:
    with pytest.raises(Unprocessable, match="EXPRESS"):
        submit(hook, StepFunctionsExecution(aws.arns["express"]), KEY)
    assert aws.executions("express") == []


def test_a_wrong_secret_key_is_told_as_such(
    aws: StepFunctions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server computes the signature itself: a signature for nothing would not have passed the other tests."""
    wrong = json.loads(aws.connection())
    wrong["password"] = "not-the-secret-key"
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(wrong))
    with pytest.raises(Unauthorized, match="signature we calculated"):
        run_here(StepFunctionsExecution(aws.arns["echo"]), tmp_path)


ERRORS: list[tuple[str, type[GatewayError], bool]] = [
    ("ThrottlingException", RateLimited, True),
    ("com.amazonaws.swf.base.model#KmsThrottlingException", RateLimited, True),
    ("ServiceUnavailable", Unavailable, True),
    ("ExpiredTokenException", Unauthorized, False),
    ("KmsAccessDeniedException", Unauthorized, False),
    ("StateMachineDoesNotExist", NotFound, False),
    ("ExecutionDoesNotExist", NotFound, False),
    ("InvalidExecutionInput", Rejected, False),
    ("ExecutionLimitExceeded", RateLimited, True),
]


@pytest.mark.parametrize(("kind", "error", "retryable"), ERRORS)
def test_the_type_of_an_error_says_what_it_means(
    kind: str,
    error: type[GatewayError],
    retryable: bool,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AWS answers with 400 whatever is wrong; these are errors that moto does not give."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_GATEWAY_DEFAULT",
        json.dumps({"conn_type": "gateway", "host": "127.0.0.1", "schema": "http", "port": server.port}),
    )
    server.answers = [Answer(400, json.dumps({"__type": kind, "message": "so it is"}).encode())]
    with GatewayHook() as hook, pytest.raises(error, match="so it is") as raised:
        look(hook, StepFunctionsExecution(ARN).status(JobHandle("arn:x")))
    assert type(raised.value) is error
    assert raised.value.retryable is retryable
    assert kind.rpartition("#")[2] in str(raised.value)


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({}, "state_machine_arn must be"),
    ({"state_machine_arn": "echo"}, "state_machine_arn must be"),
    ({"state_machine_arn": ARN.replace("echo", "echo/mapped")}, "state_machine_arn must be"),
    ({"state_machine_arn": ARN, "input": "{not json"}, "input is a text that is not JSON"),
    ({"state_machine_arn": ARN, "input": {"at": object()}}, "input must be JSON"),
    ({"state_machine_arn": ARN, "input": {"n": float("nan")}}, "input must be JSON"),
    ({"state_machine_arn": ARN, "input": {"n": "x" * 262_144}}, "input is 262152 bytes"),
    ({"state_machine_arn": ARN, "name_prefix": "a b"}, "name_prefix must be"),
    ({"state_machine_arn": ARN, "name_prefix": "a" * 49}, "name_prefix must be"),
    ({"state_machine_arn": ARN, "retry_errors": "States.ALL"}, "retry_errors must be a list"),
]


@pytest.mark.parametrize(("fields", "told"), PROBLEMS)
def test_what_cannot_work_is_refused_while_the_dag_is_parsed(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        GatewayJobOperator(task_id="t", protocol=StepFunctionsExecution(**fields))


@pytest.mark.parametrize("arn", [ARN, f"{ARN}:3", f"{ARN}:PROD", "{{ var.value.machine }}"])
def test_versions_aliases_and_templates_are_let_pass(arn: str) -> None:
    assert StepFunctionsExecution(arn, "{{ params.order }}").problem() is None


def test_the_execution_of_an_alias_bears_the_name_of_the_machine() -> None:
    """By AWS's own examples of ARNs: an alias stands in the request only."""
    protocol = StepFunctionsExecution(f"{ARN}:PROD")
    expected = f"arn:aws:states:eu-central-1:123456789012:execution:echo:{KEY}"
    assert next(protocol.find(KEY)).data == json.dumps({"executionArn": expected}, separators=(",", ":")).encode()


@pytest.mark.parametrize(("base", "path"), [("", "/"), ("/states", "/states")])
def test_the_service_may_stand_below_a_path_of_the_gateway(base: str, path: str) -> None:
    ask = next(StepFunctionsExecution(ARN, base=base).status(JobHandle("arn:x")))
    assert (ask.method, ask.path, ask.reads) == ("POST", path, True)
