"""GatewayOperator: what becomes of the answer, and what is checked before there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airgate.errors import InvalidResponse
from airgate.hooks import Call, read_object
from airgate.operators import GatewayOperator
from tests.scripted_server import Answer, ScriptedServer

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Stock", "version": "1"},
    "paths": {
        "/stock/{item}": {
            "put": {
                "operationId": "setStock",
                "parameters": [
                    {"name": "item", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["quantity"],
                                "properties": {"quantity": {"type": "integer", "minimum": 1}},
                            }
                        }
                    },
                },
                "responses": {
                    "200": {
                        "description": "done",
                        "content": {
                            "application/json": {"schema": {"type": "object", "required": ["left"]}},
                        },
                    }
                },
            }
        }
    },
}


@pytest.fixture
def document(tmp_path: Path) -> str:
    """A file with an OpenAPI document."""
    path = tmp_path / "stock.json"
    path.write_text(json.dumps(DOCUMENT))
    return str(path)


def test_jmespath_makes_the_result(context, server: ScriptedServer) -> None:
    """Only what the next task needs travels through XCom."""
    server.answers = [Answer(body=b'{"items": [{"id": 1}, {"id": 2}]}')]
    assert GatewayOperator(task_id="t", path="/x", response_filter="items[].id").execute(context) == [1, 2]


@pytest.mark.parametrize("argument", ["response_filter", "response_check"])
def test_a_wrong_expression_is_refused_when_the_dag_is_parsed(argument: str) -> None:
    """The task, the argument and the place are named."""
    with pytest.raises(ValueError, match=rf"task 't': {argument}: 'a\[' is not a JMESPath expression"):
        GatewayOperator(task_id="t", path="/x", **{argument: "a["})


@pytest.mark.parametrize("check", ["status == 'done'", lambda response: response.json()["status"] == "done"])
def test_a_check_that_does_not_hold_is_a_typed_error(context, server: ScriptedServer, check: Any) -> None:
    """The error names the check."""
    server.answers = [Answer(body=b'{"status": "done"}'), Answer(body=b'{"status": "open"}')]
    operator = GatewayOperator(task_id="t", path="/x", response_check=check)
    assert operator.execute(context) == {"status": "done"}
    with pytest.raises(InvalidResponse, match=r"response_check .* does not hold"):
        operator.execute(context)


def test_an_answer_that_is_not_json_fails_a_filter_with_a_typed_error(context, server: ScriptedServer) -> None:
    """No decoder's error without the call."""
    server.answers = [Answer(body=b"<html>")]
    with pytest.raises(InvalidResponse, match="the body is not JSON"):
        GatewayOperator(task_id="t", path="/x", response_filter="a").execute(context)


@pytest.mark.parametrize(
    ("answer", "content_type", "result"),
    [
        (Answer(body=json.dumps({"a": "x" * 900}).encode()), "application/json", {"a": "x" * 900}),
        (Answer(body=b"y" * 900, headers={"Content-Type": "text/csv"}), "text/csv", "y" * 900),
    ],
)
def test_a_large_result_goes_to_object_storage(
    context, server: ScriptedServer, answer: Answer, content_type: str, result: Any
) -> None:
    """XCom gets a reference, which reads as the result."""
    server.answers = [answer]
    reference = GatewayOperator(task_id="t", path="/x", max_xcom_bytes=200).execute(context)
    assert {**reference, "uri": "", "bytes": 0} == {
        "airgate": "object",
        "uri": "",
        "bytes": 0,
        "content_type": content_type,
    }
    assert len(json.dumps(reference)) < 400
    assert read_object(reference) == result
    assert read_object(result) == result


FORGED = {"airgate": "object", "uri": "file:///etc/hostname", "bytes": 1, "content_type": "text/plain"}


def test_a_service_cannot_choose_what_is_read(context, server: ScriptedServer) -> None:
    """An answer that looks like a reference is data: it is kept, and what reads as the result is that answer."""
    server.answers = [Answer(body=json.dumps(FORGED).encode())]
    result = GatewayOperator(task_id="t", path="/x").execute(context)
    assert result["uri"].endswith("/d/r/t/result.json")
    assert read_object(result) == FORGED


def test_an_answer_that_looks_like_a_reference_needs_a_place(
    context, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a data root it is refused, and says why."""
    monkeypatch.delenv("AIRFLOW__AIRGATE__DATA_ROOT")
    server.answers = [Answer(body=json.dumps(FORGED).encode())]
    with pytest.raises(ValueError, match=r"looks like a reference.*response_filter.*data_root"):
        GatewayOperator(task_id="t", path="/x").execute(context)


@pytest.mark.parametrize("place", ["file:///etc/hostname", "{root}/../secret.txt", "{root}x/y", "{root}", "{root}//y"])
def test_only_what_lies_below_the_data_root_is_read(tmp_path: Path, place: str) -> None:
    """Whatever a reference names: a value may have come from a service by another way."""
    (tmp_path / "secret.txt").write_text("hunter2")
    uri = place.format(root=f"file://{tmp_path}/data")
    with pytest.raises(ValueError, match=r"must lead below \[airgate\] data_root"):
        read_object({**FORGED, "uri": uri})


def test_a_large_result_without_a_place_names_the_settings(
    context, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three cures, each with its name."""
    monkeypatch.delenv("AIRFLOW__AIRGATE__DATA_ROOT")
    server.answers = [Answer(body=b'"' + b"x" * 900 + b'"')]
    with pytest.raises(ValueError, match=r"max_xcom_bytes=200.*response_filter.*data_root"):
        GatewayOperator(task_id="t", path="/x", max_xcom_bytes=200).execute(context)


def test_a_logged_answer_shows_no_secret(context, server: ScriptedServer, capsys) -> None:
    """Fields and headers that are secret by name are masked, and a long body is cut."""
    body = {"access_token": "tok-12345678", "deep": [{"password": "hunter2"}], "text": "z" * 9000}
    server.answers = [Answer(body=json.dumps(body).encode(), headers={"Set-Cookie": "sid=abc123"})]
    GatewayOperator(task_id="t", path="/x", log_response=True).execute(context)
    logged = capsys.readouterr().out
    assert "characters more" in logged
    assert not [secret for secret in ("tok-12345678", "hunter2", "abc123") if secret in logged]


def test_what_the_calls_cost_is_pushed(context, server: ScriptedServer) -> None:
    """Also when the task fails, under the name airgate_calls."""
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    server.answers = [Answer(503), Answer()]
    GatewayOperator(task_id="t", path="/x").execute(context)
    assert (pushed["airgate_calls"]["calls"], pushed["airgate_calls"]["retries"]) == (1, 1)
    server.answers = [Answer(404)]
    with pytest.raises(Exception, match="404"):
        GatewayOperator(task_id="t", path="/x").execute(context)
    assert pushed["airgate_calls"]["errors"] == {"NotFound": 1}


def test_an_operation_makes_the_request(context, server: ScriptedServer, document: str) -> None:
    """Method, path, parameters and body come from the document and the arguments."""
    server.answers = [Answer(body=b'{"left": 3}')]
    operator = GatewayOperator(
        task_id="t",
        operation="setStock",
        arguments={"item": "a/b", "dry": True, "body": {"quantity": 2}},
        openapi=document,
        validate_response=True,
    )
    assert operator.execute(context) == {"left": 3}
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.query, json.loads(seen.body)) == (
        "PUT",
        "/stock/a%2Fb",
        {"dry": ["true"]},
        {"quantity": 2},
    )


def test_an_answer_that_breaks_the_document_is_a_typed_error(context, server: ScriptedServer, document: str) -> None:
    """validate_response names the place."""
    operator = GatewayOperator(
        task_id="t",
        operation="setStock",
        arguments={"item": "a", "body": {"quantity": 2}},
        openapi=document,
        validate_response=True,
    )
    with pytest.raises(InvalidResponse, match="left"):
        operator.execute(context)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operation": "setStok"}, "setStock"),
        ({"arguments": {"item": "a", "body": {"quantity": 0}}}, "quantity"),
        ({"arguments": {"item": "a", "quantty": 1}}, "quantty"),
        ({"path": "/x"}, "operation stands for method and path"),
    ],
)
def test_a_wrong_operation_is_refused_when_the_dag_is_parsed(
    document: str, arguments: dict[str, Any], message: str
) -> None:
    """What is literal is checked against the document at once."""
    given = {"operation": "setStock", "arguments": {"item": "a", "body": {"quantity": 1}}, "openapi": document}
    with pytest.raises(ValueError, match=f"task 't': .*{message}"):
        GatewayOperator(task_id="t", **{**given, **arguments})


def test_what_a_run_will_fill_in_is_not_checked_before(document: str) -> None:
    """A template is no wrong number."""
    arguments = {"item": "{{ params.item }}", "body": {"quantity": "{{ params.quantity }}"}}
    GatewayOperator(task_id="t", operation="setStock", arguments=arguments, openapi=document)


def test_the_gateway_itself_can_offer_the_document(
    context, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's openapi as a path below the gateway: fetched with the connection's credentials, once a task."""
    values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": {"openapi": "/openapi.json"}}))
    server.answers = [Answer(body=json.dumps(DOCUMENT).encode()), Answer()]
    arguments = {"item": "a", "body": {"quantity": 1}}
    GatewayOperator(task_id="t", operation="setStock", arguments=arguments).execute(context)
    assert [seen.path for seen in server.seen] == ["/openapi.json", "/stock/a"]


def test_an_operation_without_a_document_names_the_field(context) -> None:
    """And what may stand in it."""
    with pytest.raises(ValueError, match="connection 'gateway_default': openapi is not set"):
        GatewayOperator(task_id="t", operation="setStock").execute(context)


def test_a_dag_with_it_is_serialized_the_same_way_each_time() -> None:
    """Functions among the arguments do not make a new version of the DAG at every parse."""
    from airflow.serialization.serialized_objects import DagSerialization

    def parse() -> str:
        with DAG("d", schedule=None) as dag:
            GatewayOperator(
                task_id="t",
                method="POST",
                path="/x",
                reconcile=lambda hook: None,
                response_filter=lambda response: 1,
                expect=[200, 201],
            )
            GatewayOperator(task_id="u", method="POST", path="/x", reconcile=Call("GET", "/y"))
        return json.dumps(DagSerialization.to_dict(dag), sort_keys=True, default=str)

    assert parse() == parse()


@pytest.mark.parametrize(("method", "fails"), [("GET", True), ("POST", False)])
def test_bytes_that_are_no_text_are_no_result(context, server: ScriptedServer, method: str, fails: bool) -> None:
    """They would be damaged in XCom; a write has happened all the same."""
    server.answers = [Answer(body=b"\x89PNG\xff\xfe", headers={"Content-Type": "image/png"})]
    operator = GatewayOperator(task_id="t", method=method, path="/x")
    if fails:
        with pytest.raises(InvalidResponse, match=r"image/png.*response_filter"):
            operator.execute(context)
    else:
        assert operator.execute(context) is None
