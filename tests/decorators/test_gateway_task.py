"""``@task.gateway``."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airgate.decorators import Call, gateway_task
from airgate.errors import KeyReused, OutcomeUnknown
from tests.scripted_server import Answer, ScriptedServer


def operator_of(function: Any, *args: Any, **arguments: Any) -> Any:
    """The operator that the decorator makes of a function."""
    with DAG("d", schedule=None):
        return gateway_task(**arguments)(function)(*args).operator


def test_the_function_returns_the_call_and_airgate_makes_it(context, server: ScriptedServer) -> None:
    """With a key, the connection's settings and the operator's arguments."""

    def charge(amount: int) -> dict[str, Any]:
        return {"method": "POST", "path": "/charge/{id}", "path_params": {"id": 1}, "json": {"amount": amount}}

    server.answers = [Answer(201, b'{"id": 7}')]
    operator = operator_of(charge, 5, response_filter="id", expect=201)
    assert operator.execute(context) == 7
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/charge/1", b'{"amount":5}')
    assert seen.headers["idempotency-key"]
    assert operator.multiple_outputs is False


def test_a_call_does_as_well_as_a_dict(context, server: ScriptedServer) -> None:
    """Typed, and by keyword or position."""
    operator_of(lambda: Call("GET", "/x", params={"q": "a"}), task_id="t").execute(context)
    assert (server.seen[0].method, server.seen[0].query) == ("GET", {"q": ["a"]})


def test_another_request_in_a_later_try_fails_clearly(context, server: ScriptedServer) -> None:
    """The function runs again in each try: a clock or a random number in it would make a second effect."""
    amounts = iter([5, 6])

    def charge() -> Call:
        return Call("POST", "/charge", json={"amount": next(amounts)}, idempotency_key=True)

    server.answers = [Answer(hang_up=True)]
    operator = operator_of(charge)
    with pytest.raises(OutcomeUnknown):
        operator.execute(context)
    sent = len(server.seen)
    with pytest.raises(KeyReused, match="the body is another one"):
        operator.execute(context)
    assert len(server.seen) == sent


def test_a_long_wait_goes_on_with_the_function(context, server: ScriptedServer) -> None:
    """Nothing of the request lies in Airflow's database meanwhile."""
    server.answers = [Answer(429, headers={"Retry-After": "60"}), Answer(body=b'{"a": 1}')]
    operator = operator_of(lambda: {"method": "POST", "path": "/x", "json": {"pin": "4711"}}, task_id="t")
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    assert "4711" not in str([caught.value.trigger.serialize(), caught.value.kwargs])
    assert operator.resume(context, {}) == {"a": 1}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "a call must be an airgate.hooks.Call or a dict with its fields, not NoneType"),
        ({"methd": "GET", "path": "/x"}, "unknown in the call: methd; known are method, path"),
        ({"method": "GET"}, "path is missing"),
        ({"path": "/x", "json": {}, "data": "y"}, "json and data"),
    ],
)
def test_what_is_no_call_is_named(context, returned: Any, message: str) -> None:
    """The task and the mistake."""
    with pytest.raises((TypeError, ValueError), match=f"@task.gateway 't': {message}"):
        operator_of(lambda: returned, task_id="t").execute(context)


def test_what_the_function_says_is_no_argument() -> None:
    """The request has one place where it is made."""
    with pytest.raises(ValueError, match="takes path from what the function returns"):
        operator_of(lambda: None, task_id="t", path="/x")
