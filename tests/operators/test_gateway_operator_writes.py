"""GatewayOperator: a write happens once, and what a person may ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.errors import Conflict, KeyReused, OutcomeUnknown, Rejected, Unauthorized, Unavailable
from airgate.hooks import Call
from airgate.operators import GatewayOperator
from tests.running_task import running
from tests.scripted_server import Answer, ScriptedServer


def charge(**arguments: Any) -> GatewayOperator:
    """A task that writes."""
    return GatewayOperator(**{"task_id": "t", "method": "POST", "path": "/charge", "json": {"amount": 5}, **arguments})


def keys(server: ScriptedServer) -> list[str | None]:
    """The keys that arrived."""
    return [seen.headers.get("idempotency-key") for seen in server.seen]


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer):
    """Change the connection's extra."""

    def define(**extra: Any) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
        monkeypatch.setenv(
            "AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": {"backoff": 0.001, "attempts": 3, **extra}})
        )

    return define


def test_the_connection_can_say_that_keys_are_honoured(context, server: ScriptedServer, connection) -> None:
    """Then every write is repeated under its key, in the header that the service reads."""
    connection(idempotency="honoured", idempotency_header="X-Request-Token")
    server.answers = [Answer(hang_up=True), Answer(500), Answer()]
    charge().execute(context)
    tokens = {seen.headers["x-request-token"] for seen in server.seen}
    assert (len(server.seen), len(tokens)) == (3, 1)


def test_the_connection_can_switch_keys_off(context, server: ScriptedServer, connection) -> None:
    """For a service that chokes on the header."""
    connection(idempotency="off")
    charge().execute(context)
    assert keys(server) == [None]


def test_another_request_under_the_key_is_stopped(context, server: ScriptedServer) -> None:
    """A later try that builds another body, as a clock in it makes it, sends nothing and says what differs."""
    server.answers = [Answer(hang_up=True)]
    with pytest.raises(OutcomeUnknown):
        charge(idempotency_key=True).execute(context)
    with pytest.raises(KeyReused, match="the body is another one") as caught:
        charge(idempotency_key=True, json={"amount": 6}).execute(context)
    assert "epoch" in str(caught.value)
    assert not caught.value.retryable
    assert len(server.seen) == 3


def test_the_same_body_in_another_order_is_the_same_request(context, server: ScriptedServer) -> None:
    """A dict is no list."""
    charge(idempotency_key=True, json={"a": 1, "b": 2}).execute(context)
    charge(idempotency_key=True, json={"b": 2, "a": 1}).execute(context)
    assert len(set(keys(server))) == 1


def test_a_refused_request_may_be_mended(context, server: ScriptedServer) -> None:
    """A 400 had no effect, so the corrected request goes out after a clear."""
    server.answers = [Answer(400), Answer()]
    with pytest.raises(Rejected):
        charge(idempotency_key=True).execute(context)
    context["ti"].max_tries += 3
    charge(idempotency_key=True, json={"amount": 6}).execute(context)
    assert len(server.seen) == 2


def test_a_clear_asks_for_the_same_effect_and_an_epoch_for_a_new_one(context, server: ScriptedServer) -> None:
    """After a clear the service sees the key it knows; another epoch makes another one."""
    charge(idempotency_key=True).execute(context)
    context["ti"].max_tries += 3
    charge(idempotency_key=True).execute(context)
    charge(idempotency_key=True, epoch="2").execute(context)
    first, again, new = keys(server)
    assert first == again != new


def test_a_put_may_change_between_tries(context, server: ScriptedServer) -> None:
    """Its repetition does no harm, so another body has another key instead of an error."""
    for amount in (5, 6, 5):
        charge(method="PUT", json={"amount": amount}).execute(context)
    first, second, third = keys(server)
    assert first == third != second
    assert context["task_state_store"].keys() == []


def test_an_empty_key_is_refused(context, server: ScriptedServer) -> None:
    """A template that came out empty must not make a POST look safe to repeat."""
    with pytest.raises(ValueError, match="idempotency_key is empty"):
        charge(idempotency_key="").execute(context)
    assert server.seen == []


def test_a_look_up_that_finds_the_write_gives_the_result(context, server: ScriptedServer) -> None:
    """The answer was lost, the effect was not: nothing is sent twice and the task goes on."""
    server.answers = [Answer(hang_up=True), Answer(body=b'{"id": 7}')]
    operator = charge(reconcile=lambda hook: hook.call("GET", "/charges/7"), response_filter="id")
    assert operator.execute(context) == 7
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_a_look_up_that_finds_nothing_lets_the_write_go_again(context, server: ScriptedServer) -> None:
    """As a Call: 404 says that it did not happen."""
    server.answers = [Answer(500), Answer(404), Answer(body=b'{"id": 8}')]
    operator = charge(reconcile={"path": "/charges/{id}", "path_params": {"id": "a"}}, response_filter="id")
    assert operator.execute(context) == 8
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", "/charge"),
        ("GET", "/charges/a"),
        ("POST", "/charge"),
    ]


def test_a_look_up_comes_first_in_a_later_try(context, server: ScriptedServer) -> None:
    """The try before died behind its write: the next one asks before it would send."""
    server.answers = [Answer(body=b'{"no": "a"}'), Answer(body=b'{"a": 1}')]
    operator = charge(reconcile=Call("GET", "/last"), response_filter=lambda response: response.json()["a"])
    with pytest.raises(KeyError):
        operator.execute(context)
    assert operator.execute(context) == 1
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_a_write_is_not_sent_without_end(context, server: ScriptedServer, connection) -> None:
    """A look-up that always says no ends after the connection's attempts."""
    connection(attempts=2)
    server.answers = [Answer(500)]
    with pytest.raises(Unavailable):
        charge(reconcile=lambda hook: False).execute(context)
    assert len(server.seen) == 2


@pytest.mark.parametrize(("answer", "retryable"), [(None, False), (Answer(503), True), (Answer(403), False)])
def test_a_look_up_that_does_not_know_leaves_the_outcome_unknown(
    context, server: ScriptedServer, answer: Answer | None, retryable: bool
) -> None:
    """It may be asked again in the next try where its own failure may pass."""
    server.answers = [Answer(hang_up=True), answer or Answer()]
    look_up = (lambda hook: None) if answer is None else Call("GET", "/last")
    with pytest.raises(OutcomeUnknown) as caught:
        charge(reconcile=look_up).execute(context)
    assert caught.value.retryable is retryable
    assert [seen.method for seen in server.seen].count("POST") == 1


def test_a_look_up_must_not_write(context, server: ScriptedServer) -> None:
    """It may be made any number of times."""
    server.answers = [Answer(hang_up=True)]
    with pytest.raises(OutcomeUnknown, match="reconcile must be a look-up"):
        charge(reconcile=Call("POST", "/last")).execute(context)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [500, 501, 503, 520, 524])
def test_an_answer_that_leaves_doubt_is_not_followed_by_a_second_write(
    context, server: ScriptedServer, status: int
) -> None:
    """Whatever the gateway says on behalf of a service that may have done it."""
    server.answers = [Answer(status), Answer(status), Answer()]
    for kind in (Unavailable, OutcomeUnknown):
        with pytest.raises(kind) as caught:
            charge().execute(context)
        assert not caught.value.retryable
    assert len(server.seen) == 1
    assert charge(reconcile=lambda hook: True).execute(context) is None


@pytest.mark.parametrize("found", [[], {}, 0, "", "yes"])
def test_a_look_up_that_says_neither_yes_nor_no_is_refused(context, server: ScriptedServer, found: object) -> None:
    """An empty list is no word on whether the write happened."""
    server.answers = [Answer(hang_up=True)]
    with pytest.raises(OutcomeUnknown, match="must return a response, True, False or None"):
        charge(reconcile=lambda hook: found).execute(context)
    assert len(server.seen) == 1


def test_what_is_gone_was_there(context, server: ScriptedServer) -> None:
    """410 in a look-up is not 404: the write may have happened and been removed since."""
    server.answers = [Answer(hang_up=True), Answer(410)]
    with pytest.raises(OutcomeUnknown):
        charge(reconcile=Call("GET", "/charges/1")).execute(context)
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_the_look_up_is_a_template(context, server: ScriptedServer) -> None:
    """Given as a Call as well as a dict."""
    operator = charge(reconcile=Call("GET", "/by/{run}", {"run": "{{ run_id }}"}))
    operator.render_template_fields({**context, "run_id": "monday"})
    server.answers = [Answer(hang_up=True), Answer(body=b'{"a": 1}')]
    assert operator.execute(context) == {"a": 1}
    assert server.seen[-1].path == "/by/monday"


def test_a_look_up_may_search_with_post(context, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls carry no key, least of all that of the write."""
    server.answers = [Answer(hang_up=True), Answer(body=b"[]"), Answer(body=b'{"a": 1}')]
    operator = charge(reconcile=lambda hook: bool(hook.call("POST", "/search", json={"q": 1}).json()))
    with running(context):
        assert operator.execute(context) == {"a": 1}
    made = keys(server)
    assert (len(made), made[1], made[0] == made[2]) == (3, None, True)


def test_a_conflict_with_the_try_before_is_waited_out(context, server: ScriptedServer, connection) -> None:
    """The service still works on it; in the end it tells the outcome."""
    connection(attempts=1)
    server.answers = [Answer(hang_up=True), Answer(409), Answer(body=b'{"a": 1}')]
    for kind in (OutcomeUnknown, Conflict):
        with pytest.raises(kind) as caught:
            charge(idempotency_key=True).execute(context)
        assert caught.value.retryable
    assert charge(idempotency_key=True).execute(context) == {"a": 1}


def test_a_refusal_does_not_end_an_earlier_doubt(context, server: ScriptedServer) -> None:
    """What may have happened under the key is still under it."""
    server.answers = [Answer(hang_up=True), Answer(403)]
    with pytest.raises(Unauthorized):
        charge(idempotency_key=True).execute(context)
    with pytest.raises(KeyReused):
        charge(idempotency_key=True, json={"amount": 6}).execute(context)


def test_a_large_answer_does_not_fail_a_write(context, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has happened; only a read may fail for want of a place to keep its answer."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", "")
    server.answers = [Answer(body=json.dumps("x" * 60_000).encode())]
    assert charge().execute(context) == "x" * 60_000
    with pytest.raises(ValueError, match="data_root"):
        charge(method="GET", json=None).execute(context)
