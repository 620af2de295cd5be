"""A job whose service is given a callback URL: the same in every try, another one for another job, stored nowhere."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airgate.errors import JobFailed
from airgate.jobs import CALLBACK_URL, Accepted, DeclaredJob, JobProtocol, KubernetesJob, StepFunctionsExecution
from airgate.jobs.callback import fields_of, marked, with_address
from airgate.operators import GatewayJobOperator
from airgate.policy.callback import CallbackToken
from tests.job_farm import Farm, FarmJob
from tests.operators.test_job_operator import at, deferred, event_of, through  # noqa: F401

NEW, OLD = "new-0123456789abcdef0123456789abcdef", "old-0123456789abcdef0123456789abcdef"
BASE = "https://gateway.example.com/airgate/v1/callbacks"
WORK = {"name": "render", "notify": [{"url": CALLBACK_URL}], "command": f"run --done={CALLBACK_URL}"}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the installation."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_URL", BASE + "/")
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", OLD)


def task(**arguments: Any) -> GatewayJobOperator:
    """The operator, with a callback."""
    options = {"protocol": FarmJob(WORK), "callback": True, "poll_interval": 0.1, "task_id": "t", **arguments}
    return GatewayJobOperator(**options)


def address(body: Any) -> str:
    """The URL that the service was given."""
    return str(body["notify"][0]["url"])


def token_of(body: Any) -> CallbackToken:
    """What it says."""
    return CallbackToken.read(address(body).removeprefix(BASE + "/"), (OLD, NEW))


def test_the_service_is_given_the_url_wherever_the_marker_stands(at: Farm, context: Any) -> None:  # noqa: F811
    operator = task(timeout=600)
    deferral = deferred(operator, context)
    body, token = at.only().body, token_of(at.only().body)
    assert body["command"] == f"run --done={address(body)}"
    assert (token.dag_id, token.run_id, token.task_id, token.map_index) == ("d", "r", "t", -1)
    assert 500 < token.expires_at - time.time() < 602
    assert deferral.trigger.serialize()[1]["waiting"]["callback"] == token.mark
    assert operator.protocol.body == WORK  # type: ignore[attr-defined]


def test_the_url_is_in_no_place_that_people_read(at: Farm, context: Any, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    operator = task()
    deferral = deferred(operator, context)
    payload, _, signature = address(at.only().body).removeprefix(BASE + "/").partition(".")
    kept = json.dumps([context["task_state_store"].get("airgate.job"), deferral.trigger.serialize()])
    kept += repr(operator.protocol) + repr(deferral.kwargs) + caplog.text
    assert payload not in kept
    assert signature not in kept
    assert token_of(at.only().body).nonce not in json.dumps(deferral.trigger.serialize())


def test_without_a_limit_the_url_is_good_for_as_long_as_is_set(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_LIFETIME", "3600")
    deferred(task(), context)
    assert 3500 < token_of(at.only().body).expires_at - time.time() < 3602


@pytest.mark.parametrize("rotated", [OLD, f"{NEW},{OLD}"])
def test_a_try_after_one_that_died_sends_the_identical_request(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    rotated: str,
) -> None:
    at.honours_keys = False  # so that both requests are seen
    deferred(task(), context)
    store = context["task_state_store"]
    store.set("airgate.job", {**store.get("airgate.job"), "handle": None})
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", rotated)
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_URL", "https://elsewhere.example.com/callbacks")
    deferred(task(), context)
    first, second = at.jobs.values()
    assert (first.key, first.body) == (second.key, second.body)


def test_a_secret_that_is_gone_is_named_and_not_another_body_sent(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deferred(task(), context)
    store = context["task_state_store"]
    store.set("airgate.job", {**store.get("airgate.job"), "handle": None})
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", NEW)
    with pytest.raises(ValueError, match="put it back behind the new one") as caught:
        task().execute(context)
    assert OLD not in str(caught.value)
    assert len(at.requests) == 1


def test_another_job_of_the_task_gets_another_url(at: Farm, context: Any) -> None:  # noqa: F811
    deferral = deferred(task(), context)
    at.only().state = "failed"
    with pytest.raises(JobFailed):
        task().resume(context, event_of(deferral))
    deferral = deferred(task(), context)
    first, second = (token_of(job.body) for job in at.jobs.values())
    assert first.nonce != second.nonce
    assert deferral.trigger.serialize()[1]["waiting"]["callback"] == second.mark


def test_the_summary_says_whether_the_service_called(at: Farm, context: Any) -> None:  # noqa: F811
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    through(task(), context)
    assert pushed["airgate_job"]["called_back"] is False


def test_with_a_callback_polls_only_catch_what_is_lost() -> None:
    assert task(poll_interval=None).poll_interval == (30.0, 300.0)
    assert task(callback=False, protocol=FarmJob({}), poll_interval=None).poll_interval == (2.0, 60.0)
    assert task(poll_interval=5).poll_interval == 5


def test_a_job_that_was_cancelled_is_waited_for_without_a_callback(at: Farm, context: Any) -> None:  # noqa: F811
    slow = {"poll_interval": 300, "timeout": 3600}
    assert deferred(task(**slow), context).trigger.waiting.shortest == 300
    at.stays_cancelling = True
    context["ti"].max_tries += 3
    before = time.time()
    waiting = deferred(task(**slow), context).trigger.waiting
    assert (at.only().state, waiting.ending) == ("cancelling", True)
    assert (waiting.shortest, waiting.longest) == (10, 60)
    assert waiting.started_at >= before


def test_mapped_tasks_may_bring_the_marker_along(at: Farm, context: Any) -> None:  # noqa: F811
    context["ti"].map_index = 4
    deferred(task(protocol=FarmJob(), fields={"body": WORK}), context)
    assert token_of(at.only().body).map_index == 4


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CALLBACK_URL", "", r"callback_url is not set.*AIRFLOW__AIRGATE__CALLBACK_URL"),
        ("CALLBACK_URL", "gateway.example.com", "callback_url must be an http or https address"),
        ("CALLBACK_URL", "https://gateway.example.com/?a=b", "callback_url must be an http or https address"),
        ("CALLBACK_SECRETS", " ", r"callback_secrets is not set.*AIRFLOW__AIRGATE__CALLBACK_SECRETS"),
        ("CALLBACK_SECRETS", "short", "callback_secrets: secret 1 has 5 bytes"),
        ("CALLBACK_LIFETIME", "0", "callback_lifetime must be more than 0 seconds"),
    ],
)
def test_a_setting_that_is_missing_is_named_before_anything_is_sent(
    at: Farm,  # noqa: F811
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(f"AIRFLOW__AIRGATE__{setting}", value)
    with pytest.raises(ValueError, match=said):
        task().execute(context)
    assert at.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"protocol": FarmJob({"name": "x"})},
            "callback=True needs airgate.jobs.CALLBACK_URL in the protocol's fields",
        ),
        ({"callback": False}, "body of the protocol holds airgate.jobs.CALLBACK_URL: set callback=True"),
        ({"wait": False}, "neither with wait=False nor"),
        ({"deferrable": False}, "nor with deferrable=False"),
        ({"job": "job-1"}, "nor with job="),
        (
            {"protocol": Accepted(path="/x/{a}", path_params={"a": CALLBACK_URL})},
            "path_params of the protocol is stored",
        ),
    ],
)
def test_what_cannot_work_is_said_when_the_dag_file_is_parsed(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        task(**arguments)


@pytest.mark.parametrize(
    "protocol",
    [
        Accepted(path="/exports", json={"callback": CALLBACK_URL}),
        Accepted(path="/exports", headers={"X-Callback": CALLBACK_URL}),
        Accepted(path="/exports", query={"callback": CALLBACK_URL}),
        Accepted(path="/exports", data=f"<notify>{CALLBACK_URL}</notify>".encode()),
        KubernetesJob(image="busybox", command=("sh", "-c", f"work && wget --post-data= {CALLBACK_URL}")),
        StepFunctionsExecution("arn:aws:states:eu-west-1:1:stateMachine:m", {"callback": CALLBACK_URL}),
        DeclaredJob({"name": "x"}, json={"callback": CALLBACK_URL}),
    ],
    ids=lambda protocol: type(protocol).__name__,
)
def test_the_marker_may_stand_in_whatever_a_protocol_submits(protocol: JobProtocol) -> None:
    placed = with_address(protocol, "https://x/token")
    assert marked(fields_of(placed)) == []
    assert "https://x/token" in str(fields_of(placed))
    assert marked(fields_of(protocol))
