"""GatewayOperator."""

from __future__ import annotations

import pytest

from airgate.errors import OutcomeUnknown
from airgate.hooks import GatewayRetryPolicy
from airgate.operators import GatewayOperator
from tests.scripted_server import Answer, ScriptedServer


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


def test_an_unkeyed_write_is_not_repeated(context, server: ScriptedServer) -> None:
    """Without a key the operator sends no key, and sends once."""
    server.answers = [Answer(hang_up=True), Answer()]
    with pytest.raises(OutcomeUnknown) as caught:
        GatewayOperator(task_id="t", method="POST", path="/charge", json={}).execute(context)
    assert "idempotency-key" not in server.seen[0].headers
    assert len(server.seen) == 1
    assert not caught.value.retryable


def test_it_comes_with_the_retry_policy_that_knows_its_errors() -> None:
    """A given policy is kept."""
    assert isinstance(GatewayOperator(task_id="t", path="/x").retry_policy, GatewayRetryPolicy)
    own = GatewayRetryPolicy()
    assert GatewayOperator(task_id="t", path="/x", retry_policy=own).retry_policy is own


def test_two_bodies_are_refused_when_the_dag_is_parsed() -> None:
    """Not first at three in the morning."""
    with pytest.raises(ValueError, match="task 't': json and data"):
        GatewayOperator(task_id="t", path="/x", json={}, data="x")
