"""The hook, its connection and its retry policy."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from airgate.errors import GatewayError, NotFound, RateLimited, Unavailable
from airgate.hooks import GatewayHook, GatewayRetryPolicy
from tests.scripted_server import Answer, ScriptedServer

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def connection(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch):
    """Define the connection ``gateway_default``; the function changes its fields."""

    def define(**fields) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values))

    define()
    return define


def test_a_call_goes_out_as_the_connection_says(connection, server: ScriptedServer) -> None:
    """Path, parameters, body, headers and signature arrive; the answer comes back typed."""
    connection(password=SECRET, login="me", extra={"auth": "jwt", "headers": {"X-Team": "data"}})
    server.answers = [Answer(201, b'{"id": 7}')]
    response = GatewayHook().call(
        "post", "/orders/{id}", path_params={"id": "a b"}, params={"dry": True}, json={"x": 1}, idempotency_key="k-1"
    )
    seen = server.seen[0]
    assert (response.status, response.json(), response.attempts) == (201, {"id": 7}, 1)
    assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/orders/a%20b", {"dry": ["true"]}, b'{"x":1}')
    assert seen.headers["idempotency-key"] == "k-1"
    assert seen.headers["x-team"] == "data"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["authorization"].startswith("Bearer ey")


def test_one_hook_keeps_one_connection(connection, server: ScriptedServer) -> None:
    """Airflow's own HttpHook opens a new session for each call."""
    hook = GatewayHook()
    for _ in range(5):
        hook.call("GET", "/")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "http"}, "connection 'gateway_default' has the type 'http', not 'gateway'"),
        ({"extra": {"auht": "jwt"}}, "connection 'gateway_default': unknown in extra: auht"),
        ({"host": ""}, "connection 'gateway_default': host is missing"),
    ],
)
def test_a_wrong_connection_is_named(connection, fields, message: str) -> None:
    """The error says which connection and which field."""
    connection(**fields)
    with pytest.raises(ValueError, match=message):
        GatewayHook().call("GET", "/")


def test_two_bodies_are_refused(connection) -> None:
    """A request has one body."""
    with pytest.raises(ValueError, match="json and data"):
        GatewayHook().call("POST", "/", json={}, data="x")


def test_an_empty_key_is_refused(connection, server: ScriptedServer) -> None:
    """A template that came out empty must not make a POST look safe to repeat."""
    with pytest.raises(ValueError, match="idempotency_key is empty"):
        GatewayHook().call("POST", "/", json={}, idempotency_key=" ")
    assert server.seen == []


def test_a_content_type_of_the_caller_stays(connection, server: ScriptedServer) -> None:
    """JSON has more than one media type, and header names have no case."""
    GatewayHook().call("POST", "/", json={}, headers={"content-type": "application/vnd.api+json"})
    assert server.seen[0].headers["content-type"] == "application/vnd.api+json"


def test_a_mapping_is_sent_as_a_form(connection, server: ScriptedServer) -> None:
    """As HttpOperator does it with ``data``; a list repeats its name."""
    GatewayHook().call("POST", "/", data={"a": "b c&d", "n": [1, True], "gone": None})
    seen = server.seen[0]
    assert seen.body == b"a=b+c%26d&n=1&n=true"
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": ["a"]}, "data must be text, bytes, a mapping for a form or a body .* not a list"),
        ({"data": {"a": {"b": 1}}}, "data: 'a' must be .* not a dict"),
        ({"json": {"rows": [{"x": float("nan")}]}}, r"json\['rows'\]\[0\]\['x'\] must be a finite number"),
        ({"json": float("inf")}, "json must be a finite number"),
        ({"json": {"x": object()}}, "json cannot be the body: .*object"),
        ({"params": {"ids": {1, 2}}}, "params: 'ids' must be .* not a set"),
        ({"path_params": {"id": None}}, "path_params: 'id' must be .* not None"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named(connection, server: ScriptedServer, arguments, message: str) -> None:
    """Before anything is sent: a service would make something else of it than was meant."""
    with pytest.raises(ValueError, match=message):
        GatewayHook().call("POST", "/{id}" if "path_params" in arguments else "/", **arguments)
    assert server.seen == []


def test_null_is_a_json_value(connection, server: ScriptedServer) -> None:
    """Only numbers that JSON does not have are refused."""
    GatewayHook().call("POST", "/", json={"a": None, "b": [None, 1.5]})
    assert server.seen[0].body == b'{"a":null,"b":[null,1.5]}'


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_header_of_the_call_replaces_the_connections(connection, server: ScriptedServer, asynchronous: bool) -> None:
    """Whatever the case of the two names: a header that comes twice means what the service likes."""
    connection(extra={"headers": {"x-tenant": "north", "content-type": "text/plain"}})
    hook = GatewayHook()
    if asynchronous:
        asyncio.run(hook.acall("POST", "/", json={}, headers={"X-Tenant": "south"}))
    else:
        hook.call("POST", "/", json={}, headers={"X-Tenant": "south"})
    sent = [(name.lower(), value) for name, value in server.raw_headers[0]]
    assert [value for name, value in sent if name == "x-tenant"] == ["south"]
    assert [value for name, value in sent if name == "content-type"] == ["application/json"]


def test_a_token_with_a_line_break_is_refused_without_showing_it(connection) -> None:
    """As it comes out of a file; the library's own message would repeat the token."""
    connection(password="hunter2-hunter2\n", extra={"auth": "bearer"})
    good, message = GatewayHook().test_connection()
    assert not good
    assert "one line" in message
    assert "hunter2" not in message


def test_secret_headers_of_the_connection_are_masked(connection, server: ScriptedServer) -> None:
    """A token among the headers is as secret as one in the password, also where it straddles an excerpt's end."""
    connection(extra={"headers": {"X-Auth-Token": "tokentokentoken"}})
    server.answers = [Answer(400, b"x" * 294 + b"tokentokentoken")]
    with pytest.raises(GatewayError) as caught:
        GatewayHook().call("GET", "/")
    assert "token" not in str(caught.value)


def test_the_connection_test_asks_for_the_health_path(connection, server: ScriptedServer) -> None:
    """The button in the UI says what came, good or bad, and never raises."""
    connection(extra={"health_path": "/health", "attempts": 1})
    server.answers = [Answer(), Answer(503)]
    hook = GatewayHook()
    assert hook.test_connection() == (True, f"{server.url}/health answered 200")
    good, message = hook.test_connection()
    assert not good
    assert "503 Service Unavailable" in message
    assert [seen.path for seen in server.seen] == ["/health", "/health"]


def test_secrets_are_masked_before_they_are_used(connection, server: ScriptedServer, caplog) -> None:
    """A service that echoes credentials puts them neither into the error nor into the log."""
    from airflow.sdk._shared.secrets_masker.secrets_masker import redact

    connection(password="hunter2-hunter2", login="me", extra={"auth": "basic", "attempts": 2, "backoff": 0})
    server.answers = [Answer(503), Answer(400, b"you are me:hunter2-hunter2")]
    with caplog.at_level(logging.INFO), pytest.raises(GatewayError) as caught:
        GatewayHook().call("GET", "/?api_key=abcdef")
    assert "hunter2" not in f"{caught.value} {caplog.text}"
    assert "abcdef" not in f"{caught.value} {caplog.text}"
    assert redact("the word hunter2-hunter2") == "the word ***"


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (NotFound("x"), RetryAction.FAIL, None),
        (Unavailable("x"), RetryAction.RETRY, None),
        (RateLimited("x", retry_after=90), RetryAction.RETRY, timedelta(seconds=90)),
        (Unavailable("x", retryable=False), RetryAction.FAIL, None),
        (KeyError("x"), RetryAction.DEFAULT, None),
    ],
)
def test_airflow_retries_what_may_succeed(error: Exception, action: RetryAction, delay: timedelta | None) -> None:
    """The policy fails at once what no retry mends, and hands the server's wait on."""
    decision = GatewayRetryPolicy().evaluate(error, 1, 3)
    assert (decision.action, decision.retry_delay) == (action, delay)


def test_the_policy_looks_through_wrapped_errors() -> None:
    """Task code that raises its own error from ours is understood."""
    error = RuntimeError("order is gone")
    error.__cause__ = NotFound("no such order")
    decision = GatewayRetryPolicy().evaluate(error, 1, 3)
    assert decision.action is RetryAction.FAIL
    assert "no such order" in (decision.reason or "")
