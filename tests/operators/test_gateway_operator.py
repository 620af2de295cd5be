"""GatewayOperator."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airgate.errors import GatewayError, OutcomeUnknown, RateLimited, Unavailable
from airgate.hooks import GatewayRetryPolicy
from airgate.operators import GatewayOperator
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore


def test_the_answers_json_is_the_result(context, server: ScriptedServer) -> None:
    """A JSON answer is read, another one is text, an empty one None."""
    server.answers = [
        Answer(body=b'{"a": 1}'),
        Answer(body=b"plain", headers={"Content-Type": "text/plain"}),
        Answer(204, b""),
    ]
    operator = GatewayOperator(task_id="t", path="/x/{id}", path_params={"id": 1}, query={"q": "a"})
    assert [operator.execute(context) for _ in range(3)] == [{"a": 1}, "plain", None]
    assert (server.seen[0].path, server.seen[0].query) == ("/x/1", {"q": ["a"]})


def test_a_filter_makes_the_result(context, server: ScriptedServer) -> None:
    """Only what the next task needs travels through XCom."""
    server.answers = [Answer(body=b'{"a": {"b": 7}}')]
    operator = GatewayOperator(task_id="t", path="/x", response_filter=lambda response: response.json()["a"]["b"])
    assert operator.execute(context) == 7


def test_a_keyed_write_has_the_same_key_in_every_try(context, server: ScriptedServer) -> None:
    """The service can tell a repetition from a new order, over attempts and over Airflow's retries."""
    server.answers = [Answer(hang_up=True), Answer(), Answer()]
    operator = GatewayOperator(task_id="t", method="POST", path="/charge", json={"amount": 5}, idempotency_key=True)
    operator.execute(context)
    operator.execute(context)
    keys = {seen.headers["idempotency-key"] for seen in server.seen}
    assert len(server.seen) == 3
    assert len(keys) == 1


@pytest.mark.parametrize(("key", "sent"), [(None, True), (False, False)])
def test_a_write_whose_key_is_not_relied_on_is_not_repeated(
    context, server: ScriptedServer, key: bool | None, sent: bool
) -> None:
    """By default a key goes along for services that know it, but nobody counts on that: the write leaves once."""
    server.answers = [Answer(hang_up=True), Answer()]
    with pytest.raises(OutcomeUnknown) as caught:
        GatewayOperator(task_id="t", method="POST", path="/charge", json={}, idempotency_key=key).execute(context)
    assert ("idempotency-key" in server.seen[0].headers) is sent
    assert len(server.seen) == 1
    assert not caught.value.retryable


@pytest.mark.parametrize("fault", [Answer(hang_up=True), Answer(500), Answer(body=b'{"no": "a"}')])
def test_a_later_try_does_not_send_an_unkeyed_write_again(context, server: ScriptedServer, fault: Answer) -> None:
    """Whatever became of the first try, also a failure behind the answer: the second one asks a person."""
    server.answers = [fault, Answer()]
    operator = GatewayOperator(
        task_id="t", method="POST", path="/charge", json={}, response_filter=lambda response: response.json()["a"]
    )
    with pytest.raises((GatewayError, KeyError)):
        operator.execute(context)
    with pytest.raises(OutcomeUnknown, match="clear the task to send it again"):
        operator.execute(context)
    assert len(server.seen) == 1
    context["ti"].max_tries += 3
    server.answers = [Answer(body=b'{"a": 1}')]
    assert operator.execute(context) == 1


def _charge(context, port: int) -> None:
    os.environ["AIRFLOW_CONN_GATEWAY_DEFAULT"] = json.dumps(
        {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": port}
    )
    GatewayOperator(task_id="t", method="POST", path="/charge", json={}).execute(context)


@pytest.mark.faults
def test_a_try_that_is_killed_within_its_write_is_not_repeated(context, server: ScriptedServer, tmp_path: Path) -> None:
    """Kill -9 while the answer is awaited: the service saw one charge, and sees no second one."""
    context["task_state_store"] = FileStore(tmp_path / "store.json")
    server.answers = [Answer(delay=30)]
    process = multiprocessing.get_context("fork").Process(target=_charge, args=(context, server.port))
    process.start()
    while not server.seen:
        time.sleep(0.02)
    process.kill()
    process.join()
    with pytest.raises(OutcomeUnknown):
        GatewayOperator(task_id="t", method="POST", path="/charge", json={}).execute(context)
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", [Answer(429, headers={"Retry-After": "60"}), None])
def test_a_write_that_was_not_taken_up_may_go_in_a_later_try(
    context, server: ScriptedServer, closed_port: int, monkeypatch: pytest.MonkeyPatch, fault: Answer | None
) -> None:
    """A refusal and a refused connection provably had no effect, so Airflow's retry sends it."""
    good = os.environ["AIRFLOW_CONN_GATEWAY_DEFAULT"]
    if fault is None:
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(json.loads(good) | {"port": closed_port}))
    else:
        server.answers = [fault, Answer()]
    operator = GatewayOperator(task_id="t", method="POST", path="/charge", json={}, long_wait="retry")
    with pytest.raises((RateLimited, Unavailable)):
        operator.execute(context)
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", good)
    assert operator.execute(context) == {}


def test_a_single_expected_status_will_do(context, server: ScriptedServer) -> None:
    """expect=201 is what one writes."""
    server.answers = [Answer(201)]
    operator = GatewayOperator(task_id="t", method="POST", path="/x", idempotency_key=True, expect=201)
    assert operator.execute(context) == {}


def test_it_comes_with_the_retry_policy_that_knows_its_errors() -> None:
    """A policy of the task or of the DAG's default_args is kept."""
    assert isinstance(GatewayOperator(task_id="t", path="/x").retry_policy, GatewayRetryPolicy)
    own = GatewayRetryPolicy()
    assert GatewayOperator(task_id="t", path="/x", retry_policy=own).retry_policy is own
    with DAG("d", default_args={"retry_policy": own}):
        assert GatewayOperator(task_id="t", path="/x").retry_policy is own


def test_two_bodies_are_refused_when_the_dag_is_parsed() -> None:
    """Not first at three in the morning."""
    with pytest.raises(ValueError, match="task 't': json and data"):
        GatewayOperator(task_id="t", path="/x", json={}, data="x")


def test_a_dag_may_have_params_that_a_call_does_not_use() -> None:
    """Airflow hands the DAG's params to every task; those that a task is given itself were meant for the query."""
    with DAG("orders", schedule=None, params={"customer": "Ada"}):
        GatewayOperator(task_id="health", path="/health")
        with pytest.raises(ValueError, match=r"task 'find': params are Airflow's.*such as page go into query"):
            GatewayOperator(task_id="find", path="/orders", params={"page": 2})
