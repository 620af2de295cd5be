"""GatewayExtractOperator: waits that are too long for a worker, tries, clears, and the deadline over all of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import DeadlineExceeded, NotFound, RateLimited, Unavailable
from airgate.hooks.storage import open_folder
from airgate.operators import GatewayExtractOperator
from airgate.pagination import CursorPages
from airgate.testing import instant_time
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

BUSY = Answer(429, headers={"Retry-After": "60"})
SCHEMA = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer):
    """Change the connection's extra."""

    def define(**extra: Any) -> None:
        values = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
        extra = {"backoff": 0.001, "attempts": 3, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(values | {"extra": extra}))

    define()
    return define


def page(first: int, following: str | None) -> Answer:
    """Two records and the cursor behind them."""
    return Answer(body=json.dumps({"data": [{"id": first}, {"id": first + 1}], "next_cursor": following}).encode())


def read(**arguments: Any) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/n", "paginator": CursorPages(limit=2), "schema": SCHEMA, **arguments}
    return GatewayExtractOperator(**values)


def ids(manifest: dict[str, Any]) -> list[int]:
    """The records of the data set, read from its files."""
    folder = open_folder(manifest["path"])
    tables = [pq.read_table(io.BytesIO(folder.read(part["name"]))) for part in manifest["parts"]]
    return pa.concat_tables(tables).column("id").to_pylist()


def test_a_long_wait_makes_durable_what_was_read_and_goes_on_behind_it(context, server: ScriptedServer) -> None:
    """The trigger knows a moment; no page is asked for twice, and the rows are those of an undisturbed read."""
    server.answers = [page(0, "a"), page(2, "b"), BUSY, page(4, "c"), BUSY, page(6, None)]
    operator = read()
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    assert caught.value.trigger.serialize()[0] == "airgate.triggers.wait.WaitTrigger"
    assert caught.value.method_name == "resume"
    stored = context["task_state_store"].get("airgate.checkpoint")
    assert (stored["position"], stored["manifest"]["written"]) == ({"cursor": "b"}, 4)
    with pytest.raises(TaskDeferred):
        operator.resume(context)
    manifest = operator.resume(context)
    assert ids(manifest) == list(range(8))
    assert (manifest["received"], manifest["calls"]["pages"]) == (8, 4)
    asked = [seen.query.get("cursor", [None])[0] for seen in server.seen]
    assert asked == [None, "a", "b", "b", "c", "c"]


def test_a_read_that_gets_on_may_wait_as_often_as_it_must(context, server: ScriptedServer, connection) -> None:
    """A tight limit ends no read; a service that is asked again and again and gives nothing does."""
    connection(attempts=2)
    server.answers = [answer for n in range(6) for answer in (page(2 * n, f"c{n}"), BUSY)]
    operator = read()
    for _ in range(6):
        with pytest.raises(TaskDeferred):
            operator.resume(context)
    server.answers = [BUSY]
    with pytest.raises(RateLimited):
        operator.resume(context)


def test_a_long_wait_can_be_spent_in_the_worker(context, server: ScriptedServer, connection) -> None:
    """Where there is no triggerer: the same rows, in one execution."""
    connection(long_wait="inline")
    server.answers = [page(0, "a"), BUSY, page(2, "b"), BUSY, page(4, None)]
    with instant_time() as time_passed:
        manifest = read().execute(context)
    assert ids(manifest) == list(range(6))
    assert time_passed.skipped == pytest.approx(120, abs=2)


@pytest.mark.parametrize("arguments", [{"long_wait": "retry"}, {"deferrable": False}])
def test_a_long_wait_can_be_left_to_airflows_retries(
    context, server: ScriptedServer, connection, arguments: dict[str, Any]
) -> None:
    """The error names the wait, and the retry goes on behind what came before it."""
    server.answers = [page(0, "a"), BUSY, page(2, None)]
    operator = read(**arguments)
    with pytest.raises(RateLimited) as caught:
        operator.execute(context)
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    assert ids(operator.execute(context)) == [0, 1, 2, 3]
    assert len(server.seen) == 3


def test_the_deadline_spans_tries_and_waits_and_starts_again_on_a_clear(context, server: ScriptedServer) -> None:
    """A wait that would end behind it fails at once; a cleared task has all of it again."""
    server.answers = [page(0, "a"), Answer(429, headers={"Retry-After": "40"}), BUSY, BUSY, page(2, None)]
    operator = read(deadline=90)
    with instant_time() as time_passed:
        with pytest.raises(TaskDeferred):
            operator.execute(context)
        time_passed.skip(40)
        with pytest.raises(DeadlineExceeded, match="ends behind the deadline"):
            operator.resume(context)
        context["ti"].max_tries += 1
        with pytest.raises(TaskDeferred):
            operator.execute(context)
        time_passed.skip(60)
        assert ids(operator.resume(context)) == [0, 1, 2, 3]


def test_a_place_in_line_outlives_a_long_wait(
    context, server: ScriptedServer, connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that wait for their own limit come through in the order in which they came."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__LIMITS_STORE", str(tmp_path / "limits.sqlite"))
    connection(limits={"rate": "1/20s"}, attempts=2)
    server.answers = [Answer(body=b'{"data": []}')]

    def task(name: str) -> tuple[GatewayExtractOperator, dict[str, Any]]:
        ti = SimpleNamespace(**{**vars(context["ti"]), "task_id": name})
        return read(task_id=name), {"ti": ti, "task_state_store": FileStore(tmp_path / f"{name}.json")}

    with instant_time() as time_passed:
        operator, own = task("first")
        operator.execute(own)
        waiting = [task(f"t{number}") for number in range(3)]
        for operator, own in waiting:
            with pytest.raises(TaskDeferred):
                operator.execute(own)
        for turn in range(3):
            time_passed.skip(20)
            operator, own = waiting.pop(0)
            operator.resume(own)
            for operator, own in waiting:
                with pytest.raises(TaskDeferred):
                    operator.resume(own)
            assert len(server.seen) == turn + 2


@pytest.mark.parametrize(("arguments", "asked"), [({}, ["a"]), ({"restart_on_clear": True}, [None, "a"])])
def test_a_failed_task_that_is_cleared_goes_on_or_starts_afresh(
    context, server: ScriptedServer, arguments: dict[str, Any], asked: list[str | None]
) -> None:
    """By default a clear keeps what is durable; restart_on_clear reads all again, and a mere retry never does."""
    server.answers = [page(0, "a"), *[Answer(503)] * 6]
    for _ in range(2):
        with pytest.raises(Unavailable):
            read(**arguments).execute(context)
    assert len([seen for seen in server.seen if not seen.query.get("cursor")]) == 1
    context["ti"].max_tries += 3
    server.seen.clear()
    server.answers = [page(2, None)] if not arguments else [page(0, "a"), page(2, None)]
    assert ids(read(**arguments).execute(context)) == [0, 1, 2, 3]
    assert [seen.query.get("cursor", [None])[0] for seen in server.seen] == asked


def test_a_task_that_is_cleared_after_a_success_reads_again(context, server: ScriptedServer) -> None:
    """Somebody wants it again; a try whose success Airflow has not heard of asks for nothing."""
    server.answers = [page(0, None), page(4, None)]
    assert ids(read().execute(context)) == [0, 1]
    assert ids(read().execute(context)) == [0, 1]
    assert len(server.seen) == 1
    context["ti"].max_tries += 1
    assert ids(read().execute(context)) == [4, 5]


def test_an_expired_cursor_starts_from_the_beginning_after_a_wait(context, server: ScriptedServer) -> None:
    """While a task waits its cursor may expire; nothing is lost by that and nothing doubled."""
    server.answers = [page(0, "a"), BUSY, Answer(410), page(0, "x"), page(2, None)]
    operator = read()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    assert ids(operator.resume(context)) == [0, 1, 2, 3]


def test_a_refusal_is_no_wait(context, server: ScriptedServer) -> None:
    """What does not get better by waiting fails, and still has made durable what came before."""
    server.answers = [page(0, "a"), Answer(404)]
    with pytest.raises(NotFound):
        read().execute(context)
    assert context["task_state_store"].get("airgate.checkpoint")["manifest"]["written"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"long_wait": "sleep"}, "long_wait must be one of defer, retry, inline"),
        ({"deadline": -1}, "deadline must be 0 or more"),
        ({"evolution": "grow"}, "evolution must be one of evolve, freeze, discard"),
        ({"zstd_level": 0}, "zstd_level must be 1 to 22"),
        ({"partition_by": "day"}, "partition_by must be a list of names"),
        ({"partition_outlets": True}, "partition_outlets needs partition_by"),
        ({"parents_in_flight": 0}, "parents_in_flight must be 1 or more"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """With the task's name."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        read(**arguments)


def test_the_cost_of_the_read_is_pushed_as_a_summary(context, server: ScriptedServer) -> None:
    """A small XCom says what came, over all tries."""
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    server.answers = [page(0, "a"), BUSY, page(2, None)]
    operator = read()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    operator.resume(context)
    records = pushed["airgate_records"]
    assert (records["received"], records["written"], records["pages"]) == (4, 4, 2)
    assert json.loads(json.dumps(records)) == records
