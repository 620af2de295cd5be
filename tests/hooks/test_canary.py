"""A canary: a secret that must not be seen anywhere a person, a log store or a database could find it."""

from __future__ import annotations

import dataclasses
import json
import logging
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.client.configure import gateway_from_fields
from airgate.client.effects import Send
from airgate.client.message import Request
from airgate.commands.signing import sign
from airgate.errors import GatewayError
from airgate.hooks import GatewayHook
from airgate.operators import GatewayOperator
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

CANARY = "canary-7f3a9c51e2b84d06-sings-0123456789"
AUTHS: dict[str, dict[str, Any]] = {
    "basic": {"auth": "basic"},
    "bearer": {"auth": "bearer"},
    "api_key header": {"auth": "api_key"},
    "api_key query": {"auth": "api_key", "key_in": "query", "key_name": "sesame"},
    "jwt": {"auth": "jwt"},
    "oauth2": {"auth": "oauth2", "oauth_url": "/token"},
    "aws": {"auth": "aws", "aws_region": "eu-central-1", "aws_service": "execute-api"},
    "header": {"auth": "none", "headers": {"X-Secret": CANARY}},
    "other header": {"auth": "none", "headers": {"X-Door": CANARY}},
}
GOSSIP = [200, 302, 400, 401, 404, 418, 429, 500, 503]


class Pushed(SimpleNamespace):
    """A task instance that remembers what was pushed to XCom."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append({key: value})


def gossip(server: ScriptedServer, status: int) -> Answer:
    """An answer that repeats all it was told, as debugging services do."""
    said = {"you_said": CANARY, "access_token": f"{CANARY}-minted", "token_type": "bearer", "expires_in": 300}
    headers = {"X-Echo": CANARY, "Location": f"https://elsewhere.test/?token={CANARY}", "Retry-After": "60"}
    return Answer(status, json.dumps(said).encode(), headers if status != 200 else {})


@pytest.mark.parametrize("status", GOSSIP)
@pytest.mark.parametrize("auth", AUTHS)
def test_the_canary_is_not_heard(
    auth: str,
    status: int,
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not in logs, errors, reprs, XCom, the task state store or a trigger's row, whatever the service echoes."""
    connection = {"conn_type": "gateway", "host": server.url, "login": "user", "password": CANARY}
    extra = {"attempts": 2, "backoff": 0.001, "long_wait": "defer", **AUTHS[auth]}
    monkeypatch.setenv("AIRFLOW_CONN_CANARY", json.dumps({**connection, "extra": extra}))
    server.answers = [gossip(server, 200)] if auth == "oauth2" else []
    server.answers.append(gossip(server, status))
    caplog.set_level(logging.DEBUG)
    ti = Pushed(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2, pushed=[])
    store = FileStore(tmp_path / "state.json")
    operator = GatewayOperator(
        task_id="t",
        method="POST",
        path="/orders",
        json={"n": 1},
        idempotency_key=True,
        gateway_conn_id="canary",
        log_response=True,
        response_filter=lambda response: response.status,
    )
    heard: list[str] = []
    try:
        heard.append(repr(operator.execute({"ti": ti, "task_state_store": store})))
    except GatewayError as error:
        heard += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    except TaskDeferred as deferred:
        heard += [repr(deferred.trigger.serialize()), repr(deferred.kwargs)]
    assert server.seen, "nothing was asked, so nothing was proven"
    gateway = GatewayHook("canary").gateway
    heard += [repr(gateway), repr(gateway.auth), repr(operator), repr(vars(operator)), json.dumps(ti.pushed)]
    heard.append((tmp_path / "state.json").read_text() if (tmp_path / "state.json").exists() else "")
    heard += [caplog.text, *[repr(vars(record)) for record in caplog.records], *capsys.readouterr()]
    assert "/orders" in "".join(heard)
    singing = [text[max(0, text.find(CANARY) - 200) :][:400] for text in heard if CANARY in text]
    assert not singing


@pytest.mark.parametrize("auth", AUTHS)
def test_messages_do_not_show_the_canary(auth: str, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed request, the effect that sends it and its answer, as a debugger or a log line would show them."""
    connection = {"conn_type": "gateway", "host": server.url, "login": "user", "password": CANARY}
    monkeypatch.setenv("AIRFLOW_CONN_CANARY", json.dumps({**connection, "extra": AUTHS[auth]}))
    server.answers = [gossip(server, 200)]
    with GatewayHook("canary") as hook:
        signed = dataclasses.replace(sign(hook.gateway), body=CANARY.encode())
        assert signed != Request("GET", f"{server.url}/") or "header" in auth, "unsigned, so nothing was proven"
        shown = [repr(signed), repr(Send(signed, 1.0)), repr(hook.send(signed)), repr(hook.send(signed, stream=True))]
    assert f"{server.url}/" in "".join(shown)
    assert not [text for text in shown if CANARY in text]


@pytest.mark.parametrize("auth", AUTHS)
def test_a_redirect_does_not_sing(
    auth: str, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    """One that repeats the secret in its address under a name that says nothing, also while it is tried again."""
    connection = {"conn_type": "gateway", "host": server.url, "login": "user", "password": CANARY}
    extra = {"attempts": 2, "backoff": 0.001, **AUTHS[auth]}
    monkeypatch.setenv("AIRFLOW_CONN_CANARY", json.dumps({**connection, "extra": extra}))
    away = Answer(302, headers={"Location": f"/there?n={CANARY}&again={CANARY}-minted"})
    server.answers = [*([gossip(server, 200)] if auth == "oauth2" else []), away, Answer(503), Answer(), away, Answer()]
    caplog.set_level(logging.DEBUG)
    with GatewayHook("canary") as hook:
        response = hook.call("GET", "/orders")
        streamed = hook.call("GET", "/orders", stream=True)
    assert "/there?n=***" in response.url
    assert CANARY in server.raw_targets[-1], "nobody was sent on, so nothing was proven"
    heard = [response.url, repr(response), repr(streamed), caplog.text, *capsys.readouterr()]
    heard += [repr(vars(record)) for record in caplog.records]
    assert not [text for text in heard if CANARY in text]


@pytest.mark.parametrize("field", ["password", "login", "host", "headers"])
def test_a_wrong_field_is_named_without_its_secret(field: str) -> None:
    """A connection that cannot be used says which field is wrong, not what stands in it."""
    extra = {"headers": {"X-Secret": CANARY}} if field == "headers" else {}
    values: dict[str, Any] = {"host": "https://gw.test", "login": None, "password": f"{CANARY}\n"}
    if field == "host":
        values["host"] = f"https://user:{CANARY}@gw.test"
    with pytest.raises(ValueError) as caught:
        gateway_from_fields(**values, extra={"auth": "bearer", **extra})
    assert CANARY not in "".join(traceback.format_exception(caught.value))
