"""Jobs by declaration: the work service behind a real edge, without a line of Python for it."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from airgate.errors import Conflict, InvalidResponse, JobFailed, NotFound, OutcomeUnknown
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.jobs import DeclaredJob, JobHandle, JobState
from airgate.jobs.protocol import recreate, reference
from airgate.jobs.talk import Ask, carry
from tests.jobs.accepted_service import WorkService, work_service
from tests.jobs.one_task import (
    context_of,
    ended_by_others,
    killed_before_the_handle,
    operator_of,
    order_of,
    run_deferred,
    run_here,
)
from tests.scripted_server import Answer, ScriptedServer

FILE = Path(__file__).parents[2] / "include" / "jobs" / "work.yaml"
WORK: dict[str, Any] = yaml.safe_load(FILE.read_text())
BY_REFERENCE: dict[str, Any] = {"unique": False, "submit": {"json": {"reference": "{key}"}}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkService]:
    with work_service(tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture
def at(service: WorkService, monkeypatch: pytest.MonkeyPatch) -> WorkService:
    """The work service behind the gateway of the test, without jobs."""
    service.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection())
    return service


@pytest.fixture
def hook(at: WorkService) -> Iterator[GatewayHook]:
    with GatewayHook() as hook:
        yield hook


@pytest.fixture
def scripted(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A service that answers as it is told, behind the gateway of the test."""
    gateway = {"conn_type": "gateway", "host": server.url, "extra": {"backoff": 0.001, "attempts": 2}}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    return server


def job(order: Mapping[str, Any] | None = None, kind: str = "builds", **fields: Any) -> DeclaredJob:
    """A build by the project's own declaration."""
    body = {"name": "web", "seconds": 0, **(order or {})}
    return DeclaredJob(**{"declaration": str(FILE), "values": {"kind": kind}, "json": body, "base": "/work", **fields})


def changed(**sections: Any) -> dict[str, Any]:
    """The project's declaration with other sections; None takes one out."""
    declaration = copy.deepcopy(WORK)
    for name, section in sections.items():
        if isinstance(section, dict) and isinstance(declaration.get(name), dict):
            declaration[name].update(section)
        else:
            declaration[name] = section
    return {name: section for name, section in declaration.items() if section is not None}


def submit(hook: GatewayHook, protocol: DeclaredJob, key: str = "k-1") -> JobHandle:
    def send(ask: Ask) -> Any:
        request = hook.request(call_of(ask)).with_headers({"Idempotency-Key": key})
        return hook.send(request, expect=ask.expect)

    return carry(protocol.submit(key), send)


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_a_declared_job_is_submitted_waited_for_and_gives_its_result(at: WorkService, tmp_path: Path, run: Any) -> None:
    assert run(job({"seconds": 0.5, "revision": "v2"}), tmp_path)["artifact"] == "web-v2"
    assert at.truth()["jobs"] == 1


def test_a_failed_job_tells_reason_and_the_end_of_its_log(at: WorkService, tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        run_deferred(job({"fail": "no chair is left"}), tmp_path)
    assert failed.value.reason == f"job {failed.value.job} failed: no chair is left"
    assert failed.value.excerpt.splitlines()[-1] == f"{failed.value.job}: failed: no chair is left"
    assert failed.value.retryable is False


def test_a_status_is_read_as_declared(at: WorkService, hook: GatewayHook) -> None:
    at.switch(retry_after=7)
    handle = submit(hook, job({"seconds": 3600}))
    status = look(hook, job().status(handle))
    assert (status.state, status.retry_after) == (JobState.QUEUED, 7)
    assert status.percent == pytest.approx(0.0, abs=1)
    assert status.message == "waits for its turn"


def test_a_job_is_cancelled_once_and_twice(at: WorkService, hook: GatewayHook) -> None:
    handle = submit(hook, job({"seconds": 3600}))
    for _ in range(2):
        end(hook, job().cancel(handle))
    end(hook, job().cancel(JobHandle("build-404")))
    assert at.job(handle.id)["status"] == "cancelled"
    with pytest.raises(JobFailed, match=f"{handle.id} cancelled") as failed:
        look(hook, job().result(handle))
    assert failed.value.retryable is False


def test_a_declaration_without_cancel_leaves_the_job_alone(
    at: WorkService, hook: GatewayHook, caplog: pytest.LogCaptureFixture
) -> None:
    handle = submit(hook, job({"seconds": 3600}))
    with caplog.at_level("INFO"):
        end(hook, job(declaration=changed(cancel=None)).cancel(handle))
    assert f"{handle.id}: goes on, as its declaration has no cancel" in caplog.text
    assert at.job(handle.id)["status"] != "cancelled"


def test_a_job_is_found_by_its_key(at: WorkService, hook: GatewayHook) -> None:
    handle = submit(hook, job(), "k-7")
    assert look(hook, job().find("k-7")) == handle
    assert look(hook, job().find("k-8")) is None


def test_a_vanished_job_is_not_found(at: WorkService, hook: GatewayHook) -> None:
    with pytest.raises(NotFound):
        look(hook, job().status(JobHandle("build-404")))


@pytest.mark.parametrize("found_by", ["its key again", "a look"])
def test_a_task_killed_with_the_answer_in_its_hands_makes_no_second_job(
    at: WorkService, tmp_path: Path, found_by: str
) -> None:
    looked_up = changed(**BY_REFERENCE, find={"query": {"reference": "{key}"}})
    protocol = job() if found_by == "its key again" else job(declaration=looked_up)
    killed_before_the_handle(protocol, tmp_path)
    assert at.truth()["jobs"] == 1
    assert run_here(protocol, tmp_path)["artifact"] == "web-main"
    assert at.truth()["jobs"] == 1


@pytest.mark.parametrize(
    ("sections", "how"),
    [
        ({}, "by its key"),
        (BY_REFERENCE | {"find": {"query": {"reference": "{key}", "of": "{kind}"}}}, "by a key and a value"),
        ({"find": None}, "by the same submission once more"),
    ],
)
def test_the_job_of_a_killed_task_that_is_not_tried_again_is_ended_by_others(
    at: WorkService, tmp_path: Path, sections: dict[str, Any], how: str
) -> None:
    protocol = job({"seconds": 3600, "name": "of-the-test"}, declaration=changed(**sections))
    killed_before_the_handle(protocol, tmp_path)
    order = order_of(tmp_path)
    assert ("sealed" in order["trace"]) == ("once more" in how)
    assert "of-the-test" not in str(order)
    assert ended_by_others(tmp_path).endswith("found by its key, cancelled, as the task was ended")
    truth = at.truth()
    assert (truth["jobs"], truth["states"]["cancelled"]) == (1, 1)


def test_without_a_key_and_a_look_a_lost_submission_is_an_error(at: WorkService, tmp_path: Path) -> None:
    protocol = job(declaration=changed(unique=False, find=None))
    killed_before_the_handle(protocol, tmp_path)
    with pytest.raises(OutcomeUnknown):
        run_here(protocol, tmp_path)
    assert at.truth()["jobs"] == 1


def test_many_jobs_are_looked_at_with_one_request(at: WorkService, hook: GatewayHook) -> None:
    handles = [submit(hook, job({"seconds": 3600 * (number % 2)}), f"k-{number}") for number in range(12)]
    before = at.truth()["served_counts"]["requests"]
    found = look(hook, job().statuses([*handles, JobHandle("build-404")]))
    assert at.truth()["served_counts"]["requests"] == before + 1
    assert sorted(found) == sorted(handle.id for handle in handles)
    assert [status.state for status in found.values()].count(JobState.SUCCEEDED) == 6


def test_the_triggerer_needs_neither_the_file_nor_the_order(
    at: WorkService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Airflow stores holds the declaration itself, and nothing of what was ordered."""
    from airflow.sdk.exceptions import TaskDeferred

    file = tmp_path / "mine.yaml"
    file.write_text(FILE.read_text())
    protocol = job({"name": "the-order"}, declaration=str(file))
    with pytest.raises(TaskDeferred) as deferred:
        operator_of(protocol).execute(context_of(tmp_path))
    file.unlink()
    stored = json.dumps(deferred.value.trigger.serialize()[1])
    assert "the-order" not in stored
    assert len(stored) < 3000

    async def event() -> Any:
        from airgate.triggers.job import JobTrigger

        async for each in JobTrigger(**json.loads(stored)).run():
            return each.payload
        raise AssertionError("no event")

    assert asyncio.run(event())["status"]["state"] == "succeeded"


def test_a_killed_task_cancels_its_job(at: WorkService, tmp_path: Path) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        operator_of(job({"seconds": 3600})).execute(context_of(tmp_path))
    asyncio.run(deferred.value.trigger.on_kill())
    assert at.truth()["states"]["cancelled"] == 1


def test_a_protocol_is_shown_by_its_name_and_without_its_order() -> None:
    assert repr(job({"name": "the-order"}, declaration=changed(name="mine"))) == "DeclaredJob('mine', base='/work')"


# -- services of other shapes -------------------------------------------------------------------------------------


OTHER: dict[str, Any] = {
    "unique": "field",
    "submit": {
        "method": "PUT",
        "path": "/regions/{region}/renders/{key}",
        "json": {"scene": "{scene}", "frames": "{frames}", "label": "{scene} of {region}", "tags": ["{scene}", 1]},
        "headers": {"X-Tenant": "{region}"},
        "expect": [201, 409],
        "id": "render.number",
        "keep": {"shard": "render.shard"},
    },
    "status": {
        "method": "POST",
        "reads": True,
        "path": "/query",
        "json": {"render": "{id}", "shard": "{shard}", "region": "{region}"},
        "state": "code",
        "words": {"running": 1, "succeeded": [2], "failed": [3]},
        "percent": "share",
        "percent_full": 1,
        "retry_after": "again_in",
    },
    "result": {"path": "/shards/{shard}/renders/{id}", "pick": "images[*].url"},
    "failure": {"reason": "why", "log": "lines", "retryable": True},
    "cancel": {"method": "POST", "path": "/cancel", "json": {"id": "{id}", "force": True}},
}


def other(**fields: Any) -> DeclaredJob:
    return DeclaredJob(**{"declaration": OTHER, "values": {"region": "eu", "scene": "öak", "frames": 3}, **fields})


def answers(server: ScriptedServer, *bodies: Any) -> None:
    server.answers = [each if isinstance(each, Answer) else Answer(body=json.dumps(each).encode()) for each in bodies]


def test_places_are_filled_with_values_of_their_own_type(scripted: ScriptedServer) -> None:
    answers(
        scripted,
        Answer(201, b'{"render": {"number": 12, "shard": "s/4"}}'),
        {"code": 1, "share": 0.25, "again_in": 30},
        {"code": 2},
        {"images": [{"url": "a"}, {"url": "b"}]},
        {},
    )
    with GatewayHook() as hook:
        handle = submit(hook, other(json={"frames": 4, "note": "{not a place}, {id}"}), "k")
        assert handle == JobHandle("12", {"shard": "s/4", "region": "eu"})
        later = recreate(json.loads(json.dumps(reference(other()))))
        running = look(hook, later.status(handle))
        assert (running.state, running.percent, running.retry_after) == (JobState.RUNNING, 25.0, 30.0)
        assert look(hook, later.result(handle)) == ["a", "b"]
        end(hook, later.cancel(handle))
    put, status, _, result, cancel = scripted.seen
    assert (put.method, put.path, put.headers["x-tenant"]) == ("PUT", "/regions/eu/renders/k", "eu")
    assert json.loads(put.body) == {
        "scene": "öak",
        "frames": 4,
        "label": "öak of eu",
        "tags": ["öak", 1],
        "note": "{not a place}, {id}",
    }
    assert json.loads(status.body) == {"render": "12", "shard": "s/4", "region": "eu"}
    assert scripted.raw_targets[3] == "/shards/s%2F4/renders/12"
    assert result.method == "GET"
    assert json.loads(cancel.body) == {"id": "12", "force": True}


def test_a_conflict_under_a_key_is_the_job_that_is_there(scripted: ScriptedServer) -> None:
    answers(scripted, Answer(409, b'{"render": {"number": 12, "shard": "s"}}'), Answer(409, b'{"error": "busy"}'))
    with GatewayHook() as hook:
        assert submit(hook, other()).id == "12"
        with pytest.raises(Conflict, match="no job of this key"):
            submit(hook, other())


def test_a_word_that_is_not_known_is_a_job_that_runs(scripted: ScriptedServer) -> None:
    answers(scripted, {"code": "flying"}, {"codes": 1}, {"code": 3, "why": "no oak", "lines": ["a", "b"]})
    handle = JobHandle("12", {"shard": "s", "region": "eu"})
    with GatewayHook() as hook:
        status = look(hook, other().status(handle))
        assert (status.state, status.phase) == (JobState.RUNNING, "flying")
        with pytest.raises(InvalidResponse, match=r"status\.state 'code' finds nothing in the answer"):
            look(hook, other().status(handle))
        with pytest.raises(JobFailed) as failed:
            look(hook, other().result(handle))
    assert (failed.value.excerpt, failed.value.retryable) == ("a\nb", True)
    assert failed.value.reason == "job 12 failed: no oak"


def test_a_result_that_is_no_json_is_text(scripted: ScriptedServer) -> None:
    declaration = {**OTHER, "result": {"path": "/renders/{id}"}}
    answers(scripted, {"code": 2}, Answer(200, b"a,b\n1,2\n", {"Content-Type": "text/csv"}))
    with GatewayHook() as hook:
        handle = JobHandle("12", {"shard": "s", "region": "eu"})
        assert look(hook, other(declaration=declaration).result(handle)) == "a,b\n1,2\n"


def test_a_log_that_cannot_be_had_hides_no_failure(scripted: ScriptedServer) -> None:
    declaration = {**OTHER, "failure": {"reason": "why", "log": {"path": "/log/{id}"}}}
    answers(scripted, {"code": 3, "why": "no oak"}, Answer(404, b"{}"))
    with GatewayHook() as hook, pytest.raises(JobFailed, match="no oak") as failed:
        look(hook, other(declaration=declaration).result(JobHandle("12", {"shard": "s", "region": "eu"})))
    assert failed.value.excerpt == ""


def test_a_handle_without_what_is_needed_says_how_to_give_it(scripted: ScriptedServer) -> None:
    with GatewayHook() as hook, pytest.raises(ValueError, match=r"nothing fills \{shard\} here") as missing:
        look(hook, other().status(JobHandle("12")))
    assert "status.json.shard" in str(missing.value)
    assert "job={'id': ..., 'data': {'shard': ...}}" in str(missing.value)


# -- what is refused while the DAG is parsed ----------------------------------------------------------------------


def without(section: str, name: str) -> dict[str, Any]:
    """The project's declaration less one line."""
    declaration = changed()
    del declaration[section][name]
    return declaration


REFUSED: list[tuple[Any, str]] = [
    ("", "declaration is missing: a file such as include/jobs/render.yaml"),
    ("include/jobs/wrok.yaml", "the declaration include/jobs/wrok.yaml cannot be read in /"),
    ("package://no_such_package/work.yaml", "there is no package 'no_such_package'"),
    ("package://airgate/no-such.yaml", "cannot be read: No such file"),
    (["submit"], "a declaration must be an object with submit and status, not a list"),
    (changed(sumbit={}), "sumbit: it is not known; did you mean submit?"),
    (changed(submit=None), "submit: it is missing; declare what starts a job"),
    (changed(status=None), "status: it is missing; declare what shows a job"),
    (changed(status="/jobs/{id}"), "status: it must be an object, not a text"),
    (changed(status={"pth": "/"}), "status.pth: it is not known; did you mean path?"),
    (without("status", "path"), "status.path: it is missing; write a path below the gateway that begins with /"),
    (without("submit", "id"), "submit.id: it is missing; write where the answer has the job's id"),
    (changed(submit={"path": "https://work.example/builds"}), "submit.path: 'https://work.example/builds' is none"),
    (changed(submit={"path": "/builds?a=1"}), "submit.path: '/builds?a=1' must be a bare path"),
    (changed(submit={"method": "POTS"}), "submit.method: it must be one of GET, HEAD, POST"),
    (changed(submit={"expect": ["202"]}), "submit.expect: it must be a status or a list of them"),
    (changed(submit={"json": {"on": "{{ ds }}"}}), "submit.json.on: templates are not rendered here"),
    (
        changed(submit={"json": {"a": [{"b": "{scene}"}]}}),
        "submit.json.a[0].b: nothing fills {scene}; give values={'sc",
    ),
    (
        changed(submit={"headers": {"X-Api-Key": "s3cr3t"}}),
        "submit.headers.X-Api-Key: a credential belongs in the conn",
    ),
    (changed(submit={"headers": {"X-Number": 1}}), "submit.headers.X-Number: it must be a text, not a number"),
    (changed(submit={"query": ["a"]}), "submit.query: it must be an object of names and values, not a list"),
    (changed(submit={"keep": {"id": "id"}}), "submit.keep.id: this name is filled by itself"),
    (changed(status={"method": "POST"}), "status.method: a look must change nothing, and POST may; write reads: true"),
    (changed(status={"reads": "yes"}), "status.reads: it must be true or false, not 'yes'"),
    (changed(status={"percent": "percent["}), "status.percent: 'percent[' is not a JMESPath expression"),
    (changed(status={"percent_full": 0}), "status.percent_full: it must be the number that means done"),
    (changed(status={"path": "/jobs/{jid}"}), "status.path: nothing fills {jid}; give values={'jid': ...}"),
    (changed(status={"words": {"successful": "ok"}}), "status.words.successful: it is not known"),
    (
        changed(status={"words": {"failed": "bad", "cancelled": ["bad"]}}),
        "status.words.cancelled: 'bad' is among the words for failed too",
    ),
    (changed(result={"query": {}}), "result.query: without result.path nothing is asked for"),
    (changed(failure={"log": {"path": "/log", "pik": "a"}}), "failure.log.pik: it is not known; did you mean pick?"),
    (changed(failure={"retryable": 1}), "failure.retryable: it must be true, false or a JMESPath expression, not 1"),
    (changed(batch={"query": {}}), "batch: nothing says which jobs are asked for; put {ids}"),
    (changed(batch={"size": 1}), "batch.size: it must be a number of jobs from 2 to 1000, not 1"),
    (changed(batch={"path": "/{kind}"}), "batch.path: nothing fills {kind}: many jobs are asked for by {ids}"),
    (changed(unique="yes"), "unique: it must be true, false, header or field, not 'yes'"),
    (changed(unique="field"), "unique: field says that a field of the submission holds the key: put {key} into submit"),
    (changed(unique=False, submit={"expect": [202, 409]}), "submit.expect: 409 must mean that the job of this key"),
    (changed(submit={"json": {"at": {1, 2}}}), "a declaration holds what JSON does, and nothing else"),
    (changed(submit={"json": "x" * 70_000}), "a declaration may have 65536 bytes at most"),
]


@pytest.mark.parametrize(
    ("declaration", "message"), REFUSED, ids=lambda value: str(value)[:40] if isinstance(value, str) else ""
)
def test_what_cannot_work_is_refused_with_its_place_and_cure(declaration: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^task 't': protocol: ") as refused:
        operator_of(job(declaration=declaration))
    assert message in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_all_problems_of_a_declaration_come_at_once() -> None:
    declaration = changed(name="mine", unique="yes", status={"pth": "/", "percent": "["})
    said = str(job(declaration=declaration).problem()).splitlines()
    assert said[0] == "declaration: mine: "
    assert [line.split(":")[0] for line in said[1:]] == ["- status.pth", "- unique", "- status.percent"]


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "render.yaml"
    file.write_text("submit: {path: /a, id: id\nstatus: {}")
    assert f"{file}: it is neither JSON nor YAML" in str(job(declaration=str(file)).problem())
    file.write_text("submit: {path: /a, id: id}\nstatus: {pth: /b}")
    time.sleep(0.01)
    assert f"declaration: {file}: " in str(job(declaration=str(file)).problem())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"values": {"kind": "builds", "id": 1}}, "values: 'id' is filled by itself"),
        ({"values": ["builds"]}, "values must be an object of names and values, not a list"),
        ({"values": {}}, "submit.path: nothing fills {kind}; give values={'kind': ...}"),
        ({"base": "work"}, "base must be a path behind the gateway that begins with /"),
    ],
)
def test_values_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    assert message in str(job(**fields).problem())


def test_templates_in_values_are_taken_on_trust() -> None:
    assert job(values="{{ params.values }}", base="{{ params.base }}").problem() is None
    assert job(values={"kind": "{{ params.kind }}"}).problem() is None


def test_an_adopted_job_with_a_broken_declaration_says_so(at: WorkService, tmp_path: Path) -> None:
    protocol = job(declaration=changed(status={"percent": "["}))
    with pytest.raises(ValueError, match=r"status\.percent: '\[' is not a JMESPath expression"):
        run_here(protocol, tmp_path, job="build-1")
