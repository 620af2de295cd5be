"""What services answer to a request that takes long: Azure's forms, work done at once, addresses elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import JobHandle, JobState
from airgate.jobs.accepted import Accepted
from airgate.jobs.talk import Ask, carry
from airgate.policy.errors import Conflict, InvalidResponse, JobFailed, Unauthorized, Unavailable
from tests.scripted_server import Answer, ScriptedServer


@pytest.fixture(params=["", "/prod"])
def prefix(request: pytest.FixtureRequest) -> str:
    """A path that the gateway's own address has."""
    return str(request.param)


@pytest.fixture
def hook(server: ScriptedServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayHook]:
    extra = {"auth": "bearer", "backoff": 0.001, "attempts": 2}
    gateway = {"conn_type": "gateway", "host": server.url + prefix, "password": "the-token", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    with GatewayHook() as hook:
        yield hook


def says(status: int, document: Any = None, **headers: str) -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def submit(hook: GatewayHook, server: ScriptedServer, protocol: Accepted, first: Answer) -> JobHandle:
    """The handle of a first answer, which must not change when it is stored."""

    def send(ask: Ask) -> Any:
        return hook.send(hook.request(call_of(ask)), expect=ask.expect)

    server.answers = [first]
    handle = carry(protocol.submit("key"), send)
    return JobHandle.from_json(json.loads(json.dumps(handle.to_json())))


def status(hook: GatewayHook, server: ScriptedServer, protocol: Accepted, handle: JobHandle, answer: Answer) -> Any:
    server.answers = [answer]
    return look(hook, protocol.status(handle))


def result(hook: GatewayHook, server: ScriptedServer, protocol: Accepted, handle: JobHandle, *answers: Answer) -> Any:
    server.answers = list(answers)
    return look(hook, protocol.result(handle))


ORDER = Accepted(path="/orders", json={})


def test_azure_operations_are_watched_where_they_are_and_end_where_the_location_says(
    hook: GatewayHook, server: ScriptedServer, prefix: str
) -> None:
    """Azure-AsyncOperation goes before Location, which is where the result will be."""
    first = says(
        202,
        Azure_AsyncOperation=f"{server.url}{prefix}/operations/op-1?api-version=2024-01-01",
        Location=f"{server.url}{prefix}/results/op-1?api-version=2024-01-01",
    )
    handle = submit(hook, server, ORDER, first)
    assert handle.id == "op-1"
    running = status(hook, server, ORDER, handle, says(200, {"status": "InProgress", "percentComplete": 40.5}))
    assert (running.state, running.percent) == (JobState.RUNNING, 40.5)
    assert server.raw_targets[-1] == f"{prefix}/operations/op-1?api-version=2024-01-01"
    found = result(hook, server, ORDER, handle, says(200, {"status": "Succeeded"}), says(200, {"made": 1}))
    assert found == {"made": 1}
    assert server.raw_targets[-1] == f"{prefix}/results/op-1?api-version=2024-01-01"


@pytest.mark.parametrize("header", ["Operation-Location", "Azure-AsyncOperation"])
def test_a_resource_that_was_put_is_its_own_result(
    hook: GatewayHook, server: ScriptedServer, prefix: str, header: str
) -> None:
    """201 with an operation is still at work; when it is done the resource is read where it was put."""
    put = Accepted(method="PUT", path="/machines/{name}", path_params={"name": "a b"}, json={})
    handle = submit(hook, server, put, Answer(201, b'{"properties": {}}', {header: f"{prefix}/operations/7"}))
    assert status(hook, server, put, handle, says(200, {"status": "Updating"})).phase == "Updating"
    assert result(hook, server, put, handle, says(200, {"status": "Succeeded"}), says(200, {"name": "a b"})) == {
        "name": "a b"
    }
    assert server.raw_targets[-1] == f"{prefix}/machines/a%20b"


def test_the_status_document_may_name_the_resource(hook: GatewayHook, server: ScriptedServer, prefix: str) -> None:
    """At its resourceLocation by default; output takes the result out of the document instead."""
    handle = submit(hook, server, ORDER, says(202, Operation_Location=f"{prefix}/operations/7"))
    done = {"status": "succeeded", "resourceLocation": f"{server.url}{prefix}/things/1", "result": {"n": 2}}
    assert result(hook, server, ORDER, handle, says(200, done), says(200, {"n": 1})) == {"n": 1}
    assert server.raw_targets[-1] == f"{prefix}/things/1"
    taken = Accepted(path="/orders", json={}, output="result.n")
    assert result(hook, server, taken, handle, says(200, done)) == 2
    plain = {"status": "succeeded", "n": 3}
    assert result(hook, server, ORDER, handle, says(200, plain)) == plain


@pytest.mark.parametrize(
    ("answer", "state", "phase"),
    [
        (says(202), "running", ""),
        (says(202, {"status": "Queued"}), "queued", ""),
        (says(200, {"status": "NotStarted"}), "queued", ""),
        (says(200, {"status": "in-progress", "phase": "copy"}), "running", "copy"),
        (says(200, {"status": "Curing", "phase": "copy"}), "running", "copy (Curing)"),
        (says(200, {"status": "Canceled"}), "cancelled", ""),
        (says(200, {"status": "TIMED_OUT"}), "failed", ""),
        (says(200, {"state": "ready"}), "succeeded", ""),
        (says(200, {"properties": {"provisioningState": "Succeeded"}}), "succeeded", ""),
        (says(200, {"rows": 1}), "succeeded", ""),
        (says(200, [1]), "succeeded", ""),
        (Answer(200, b'{"gr\xf6\xdfe": 1}', {"Content-Type": "application/json"}), "succeeded", ""),
        (says(204), "succeeded", ""),
        (says(303, Location="/x"), "succeeded", ""),
        (says(302, Location="https://elsewhere.example/x"), "succeeded", ""),
        (says(422, {"error": "bad rows"}), "failed", ""),
        (says(410), "cancelled", ""),
    ],
)
def test_what_an_address_answers_is_a_state(
    hook: GatewayHook, server: ScriptedServer, prefix: str, answer: Answer, state: str, phase: str
) -> None:
    """In HTTP's words, or in the service's; a word that is not known runs on."""
    protocol = Accepted(path="/orders", json={}, succeeded=["ready"])
    handle = submit(hook, server, protocol, says(202, Location=f"{prefix}/jobs/1"))
    found = status(hook, server, protocol, handle, answer)
    assert (found.state.value, found.phase) == (state, phase)


@pytest.mark.parametrize(("answer", "error"), [(says(503), Unavailable), (says(401), Unauthorized)])
def test_an_answer_about_the_call_is_no_state(
    hook: GatewayHook, server: ScriptedServer, prefix: str, answer: Answer, error: type[Exception]
) -> None:
    """The gateway's trouble is not the job's."""
    handle = submit(hook, server, ORDER, says(202, Location=f"{prefix}/jobs/1"))
    with pytest.raises(error):
        status(hook, server, ORDER, handle, answer)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([says(200, {"rows": 1})], {"rows": 1}),
        ([says(201, [1, 2])], [1, 2]),
        ([says(204)], None),
        ([Answer(200, b"a,b\n1,2\n", {"Content-Type": "text/csv"})], "a,b\n1,2\n"),
        ([says(303, Location="result"), says(200, {"n": 1})], {"n": 1}),
        ([says(302, Location="result"), says(204)], None),
    ],
)
def test_a_result_is_what_the_address_or_its_redirection_gives(
    hook: GatewayHook, server: ScriptedServer, prefix: str, answers: list[Answer], expected: Any
) -> None:
    """JSON, text, or nothing."""
    handle = submit(hook, server, ORDER, says(202, Location=f"{prefix}/jobs/1"))
    assert result(hook, server, ORDER, handle, *answers) == expected
    if len(answers) > 1:
        assert server.raw_targets[-1] == f"{prefix}/jobs/result"


def test_a_result_with_a_state_of_its_own_is_no_status_document(
    hook: GatewayHook, server: ScriptedServer, prefix: str
) -> None:
    """With state="" whatever is not 202 is the result."""
    plain = Accepted(path="/orders", json={}, state="")
    handle = submit(hook, server, plain, says(202, Location=f"{prefix}/jobs/1"))
    shipped = says(200, {"status": "shipped"})
    assert status(hook, server, ORDER, handle, shipped).state is JobState.RUNNING
    assert status(hook, server, plain, handle, shipped).state is JobState.SUCCEEDED
    assert result(hook, server, plain, handle, shipped) == {"status": "shipped"}


@pytest.mark.parametrize(
    ("first", "state", "expected"),
    [
        (says(200, {"id": 7, "rows": 1}), "succeeded", {"id": 7, "rows": 1}),
        (says(201, {"id": 7, "status": "done"}), "succeeded", {"id": 7, "status": "done"}),
        (says(204), "succeeded", None),
        (says(200, {"id": 7, "status": "failed", "message": "no"}), "failed", JobFailed),
    ],
)
def test_work_that_is_done_at_once_is_kept_in_the_handle(
    hook: GatewayHook, server: ScriptedServer, first: Answer, state: str, expected: Any
) -> None:
    """Nothing is asked for again, and to cancel it does nothing."""
    handle = submit(hook, server, ORDER, first)
    sent = len(server.seen)
    assert look(hook, ORDER.status(handle)).state.value == state
    if expected is JobFailed:
        with pytest.raises(JobFailed, match="no"):
            look(hook, ORDER.result(handle))
    else:
        assert look(hook, ORDER.result(handle)) == expected
    end(hook, ORDER.cancel(handle))
    assert len(server.seen) == sent


def test_work_that_is_done_at_once_with_an_address_is_read_there(
    hook: GatewayHook, server: ScriptedServer, prefix: str
) -> None:
    """201 with Location: the handle leads to what was made, which may still be in the making."""
    handle = submit(hook, server, ORDER, says(201, {"status": "queued"}, Location=f"{prefix}/jobs/7"))
    assert status(hook, server, ORDER, handle, says(200, {"status": "running"})).state is JobState.RUNNING
    assert result(hook, server, ORDER, handle, says(200, {"status": "done", "n": 1})) == {"status": "done", "n": 1}


def test_a_status_document_without_a_state_is_no_result(hook: GatewayHook, server: ScriptedServer, prefix: str) -> None:
    """Where only a document can be, a wrong expression is an error and not a success."""
    linked = Accepted(path="/orders", json={}, link="url", state="lifecycle.word")
    for protocol, first in (
        (linked, says(202, {"url": f"{prefix}/i/a"})),
        (Accepted(path="/orders", json={}), says(202, Operation_Location=f"{prefix}/operations/7")),
    ):
        handle = submit(hook, server, protocol, first)
        with pytest.raises(InvalidResponse, match="no word for its state"):
            status(hook, server, protocol, handle, says(200, {"phase": "cooking"}))
        assert status(hook, server, protocol, handle, says(202)).state is JobState.RUNNING
    plain = Accepted(path="/orders", json={}, link="url", state="")
    handle = submit(hook, server, plain, says(202, {"url": f"{prefix}/i/a"}))
    assert status(hook, server, plain, handle, says(200, {"rows": 1})).state is JobState.SUCCEEDED


def test_an_answer_that_is_too_large_to_keep_is_refused(hook: GatewayHook, server: ScriptedServer) -> None:
    """With the cure: an ordinary call."""
    with pytest.raises(InvalidResponse, match="GatewayOperator"):
        submit(hook, server, ORDER, says(200, {"text": "x" * 40_000}))


def test_an_address_may_stand_in_the_body_or_follow_from_the_name(
    hook: GatewayHook, server: ScriptedServer, prefix: str
) -> None:
    """link, as Durable Functions need it, and status_path; without any the error names them."""
    linked = Accepted(path="/orders", json={}, link="statusQueryGetUri")
    handle = submit(hook, server, linked, says(202, {"id": "a", "statusQueryGetUri": f"{server.url}{prefix}/i/a?x=1"}))
    status(hook, server, linked, handle, says(200, {"status": "running"}))
    assert (handle.id, server.raw_targets[-1]) == ("a", f"{prefix}/i/a?x=1")
    named = Accepted(base="/svc", path="/{team}/orders", path_params={"team": "t"}, status_path="/{team}/jobs/{id}")
    handle = submit(hook, server, named, says(202, {"id": "a/b"}))
    status(hook, server, named, handle, says(200, {"status": "running"}))
    assert server.raw_targets[-1] == f"{prefix}/svc/t/jobs/a%2Fb"
    with pytest.raises(InvalidResponse, match=r"link .* or status_path"):
        submit(hook, server, ORDER, says(202, {"id": "a"}))


def test_another_host_is_refused_and_gets_no_credentials(
    hook: GatewayHook, server: ScriptedServer, prefix: str
) -> None:
    """Unless its path is wanted on the gateway; the host itself is never asked."""
    stranger = ScriptedServer()
    try:
        away = says(202, Location=f"{stranger.url}/jobs/1?v=2")
        with pytest.raises(InvalidResponse, match=r"another origin.*foreign_location='path'"):
            submit(hook, server, ORDER, away)
        taken = Accepted(path="/orders", json={}, foreign_location="path")
        handle = submit(hook, server, taken, away)
        status(hook, server, taken, handle, says(200, {"status": "running"}))
        assert server.raw_targets[-1] == f"{prefix}/jobs/1?v=2"
        assert server.seen[-1].headers["authorization"] == "Bearer the-token"
        moved = [says(303, Location=f"{stranger.url}/out")]
        with pytest.raises(InvalidResponse, match="another origin"):
            result(hook, server, ORDER, handle, *moved)
        assert stranger.seen == []
    finally:
        stranger.stop()


@pytest.mark.parametrize("scheme", ["ftp://x/y", "//elsewhere.example/jobs/1", "/a/%2e%2e/b", "http://[::1/x"])
def test_an_address_that_leads_astray_is_refused(hook: GatewayHook, server: ScriptedServer, scheme: str) -> None:
    """Before anything is sent there."""
    with pytest.raises(InvalidResponse, match="the address that it gives"):
        submit(hook, server, ORDER, says(202, Location=scheme))


def test_a_gateway_with_a_path_wants_its_addresses_below_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the gateway took its prefix away, location_prefix brings it back."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps({"conn_type": "gateway", "host": f"{server.url}/prod"})
    )
    with GatewayHook() as hook:
        with pytest.raises(InvalidResponse, match=r"not below the gateway's path /prod.*location_prefix"):
            submit(hook, server, ORDER, says(202, Location="/jobs/1"))
        for prefix, location, asked in [
            ("", "/jobs/1", "/prod/jobs/1"),
            ("/w", "/jobs/1", "/prod/w/jobs/1"),
            ("w/", "/w/jobs/1", "/prod/w/jobs/1"),
            ("/w", "/prod/w/jobs/1", "/prod/w/jobs/1"),
            ("/w", "jobs/1", "/prod/jobs/1"),
        ]:
            protocol = Accepted(path="/orders", json={}, location_prefix=prefix)
            handle = submit(hook, server, protocol, says(202, Location=location))
            status(hook, server, protocol, handle, says(202))
            assert server.raw_targets[-1] == asked


def test_a_conflict_is_the_job_of_the_key_where_it_can_be_found(hook: GatewayHook, server: ScriptedServer) -> None:
    """And a conflict where it cannot."""

    def send(ask: Ask) -> Any:
        return hook.send(hook.request(call_of(ask)), expect=ask.expect)

    finding = Accepted(
        path="/orders", json={}, key_in="query:ref", find_path="/jobs?ref={key}", found="[0]", status_path="/jobs/{id}"
    )
    server.answers = [says(409), says(200, [{"id": 5}])]
    assert carry(finding.submit("k"), send).id == "5"
    assert (server.seen[-2].query, server.seen[-1].query) == ({"ref": ["k"]}, {"ref": ["k"]})
    for protocol, answers in ((finding, [says(409), says(200, [])]), (ORDER, [says(409)])):
        server.answers = answers
        with pytest.raises(Conflict):
            carry(protocol.submit("k"), send)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ""}, "path is missing"),
        ({"method": "GET"}, "method must be"),
        ({"data": b"x"}, "json and data"),
        ({"base": "https://host/x"}, "base must be a path"),
        ({"status_path": "/jobs"}, r"status_path must have \{id\}"),
        ({"find_path": "/jobs?key={key}"}, "find_path needs found"),
        ({"find_path": "/jobs?key={key}", "found": "@"}, "find_path needs status_path"),
        ({"find_path": "/j/{key}", "found": "@", "link": "url"}, "find_path needs the key"),
        ({"key_in": "name"}, "key_in must be"),
        ({"batch_path": "/jobs?ids={ids}"}, "batch_path needs listed"),
        ({"cancels": "cancel it"}, "cancels must be"),
        ({"foreign_location": "follow"}, "foreign_location must be"),
        ({"state": "a ||"}, "state: 'a |"),
        ({"failed": ["ready"], "succeeded": ["Ready"]}, "'ready' is among the words for succeeded too"),
        ({"running": "busy"}, "running must be a list"),
    ],
)
def test_a_wrong_field_is_named_while_the_dag_is_parsed(fields: dict[str, Any], message: str) -> None:
    """With its cure; templates pass."""
    problem = Accepted(**{"path": "/orders", "json": {}, **fields}).problem()
    assert problem is not None
    assert re.search(message, problem)


def test_templates_and_defaults_have_no_problem() -> None:
    """What Airflow fills in later is not judged now."""
    assert Accepted(path="/{{ params.kind }}", base="{{ var.value.base }}", json="{{ params }}").problem() is None
    assert Accepted(path="/x", key_in="json:ref", json="{{ params }}").problem() is None
