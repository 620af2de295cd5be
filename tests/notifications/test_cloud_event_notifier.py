"""The notifier: what it tells, how often, and that nothing fails by it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import pytest
from airflow.sdk import DAG

from airgate.notifications import CloudEventNotifier
from airgate.policy.events.cloudevent import of_message
from airgate.policy.events.event import Event
from airgate.testing import instant_time
from tests.scripted_server import Answer, ScriptedServer

ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


DAGS = Path(__file__).parent / "told_dags"
RUN = """
import json, os
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
assert not bag.import_errors, bag.import_errors
runs = {dag_id: dag.test() for dag_id, dag in bag.dags.items()}
print("came: " + json.dumps({dag_id: {"state": str(run.state), "run_id": run.run_id} for dag_id, run in runs.items()}))
"""


@dataclass(frozen=True)
class Came:
    """What came of the runs, and what was told of them."""

    runs: dict[str, dict[str, str]]
    server: ScriptedServer
    log: str


def of_task(state: str | None = "failed", **changes: Any) -> dict[str, Any]:
    """The context of a task's callback."""
    told = {"dag_id": "orders", "run_id": "r-1", "task_id": "pay", "map_index": -1, "try_number": 2, "max_tries": 1}
    ti = SimpleNamespace(**{**told, "state": state, "end_date": ENDED, **changes})
    return {"run_id": ti.run_id, "ti": ti}


def events(server: ScriptedServer) -> list[Event]:
    return [of_message(seen.headers, seen.body) for seen in server.seen]


class Define(Protocol):
    """Sets the extra of the default connection."""

    def __call__(self, **extra: Any) -> None: ...


@pytest.fixture(autouse=True)
def define(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Define:
    """The connection ``gateway_default``, which every test has."""

    def define(**extra: Any) -> None:
        short = {"backoff": 0.001, "attempts": 3, "read_timeout": 5}
        gateway = {"conn_type": "gateway", "host": server.url, "extra": short | extra}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))

    define()
    return define


def test_what_happened_is_told_through_the_gateway(server: ScriptedServer) -> None:
    """As one CloudEvent with the facts of the callback, under a key."""
    CloudEventNotifier(path="/events", type="order.failed")(of_task())
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/events")
    assert seen.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    [event] = events(server)
    assert (event.source, event.type, event.subject) == ("/dags/orders", "order.failed", "r-1")
    assert event.time == ENDED.isoformat()
    assert event.data == {
        "dag_id": "orders", "run_id": "r-1", "outcome": "failed", "task_id": "pay", "map_index": -1, "try_number": 2
    }  # fmt: skip
    assert seen.headers["idempotency-key"] == event.key("notification")


def test_the_same_is_told_as_the_same_whenever_it_is_told(server: ScriptedServer) -> None:
    """Byte for byte, under one key; another task, outcome or type is another event."""
    notifier = CloudEventNotifier(path="/events", type="order.failed")
    for context in (of_task(), of_task(), of_task(map_index=3), of_task(task_id="ship"), of_task("success")):
        notifier(context)
    CloudEventNotifier(path="/events", type="order.lost")(of_task())
    first, second, *others = server.seen
    assert (first.body, first.headers["idempotency-key"]) == (second.body, second.headers["idempotency-key"])
    ids = [event.id for event in events(server)]
    assert len(set(ids)) == len(ids) - 1
    assert len({seen.headers["idempotency-key"] for seen in (first, *others)}) == 5


def test_each_retry_is_an_occasion_of_its_own(server: ScriptedServer) -> None:
    """Two tries that failed are told as two."""
    for number in (1, 2):
        CloudEventNotifier(path="/events", type="order.late")(of_task("up_for_retry", try_number=number))
    assert len({event.id for event in events(server)}) == 2


@pytest.mark.parametrize(("reason", "outcome"), [("success", "success"), ("task_failure", "failed")])
def test_the_end_of_a_run_is_told_without_its_last_task(server: ScriptedServer, reason: str, outcome: str) -> None:
    """Which Airflow hands on with it, or not; the same run's end is the same event either way."""
    run = SimpleNamespace(dag_id="orders", run_id="r-1", end_date=ENDED)
    last = {**of_task("success"), "dag_run": run, "reason": reason}
    alone = {"dag": DAG("orders", schedule=None), "run_id": "r-1", "reason": reason}
    for context in (last, alone):
        CloudEventNotifier(path="/events", type="run.ended")(context)
    with_last, without = events(server)
    assert with_last.data == {"dag_id": "orders", "run_id": "r-1", "outcome": outcome, "reason": reason}
    assert (with_last.time, with_last.subject) == (ENDED.isoformat(), "r-1")
    assert (with_last.source, with_last.id, with_last.data) == (without.source, without.id, without.data)


@pytest.mark.parametrize(("try_number", "outcome"), [(1, "up_for_retry"), (2, "failed")])
def test_a_task_whose_process_is_gone_is_told_by_its_tries(
    server: ScriptedServer, try_number: int, outcome: str
) -> None:
    """The DAG processor calls in its place, and does not say what it has become."""
    CloudEventNotifier(path="/events", type="t")(of_task(None, try_number=try_number))
    assert [event.data["outcome"] for event in events(server)] == [outcome]


def test_fields_have_templates_and_one_notifier_serves_many_tasks(server: ScriptedServer) -> None:
    """Also where it was called before: what was rendered for one task is not told of the next."""
    notifier = CloudEventNotifier(
        path="/{{ ti.task_id }}/events",
        type="order.{{ ti.state }}",
        source="/shop",
        subject="{{ run_id }}",
        data={"task": "{{ ti.task_id }}", "tries": ["{{ ti.try_number }}"]},
        id="{{ ti.task_id }}-{{ ti.try_number }}",
        mode="binary",
    )
    first = of_task()
    before = dict(first)
    notifier(first)
    notifier(of_task("success", task_id="ship", try_number=1))
    assert first == before, "what comes after finds Airflow's context as it was"
    assert [seen.path for seen in server.seen] == ["/pay/events", "/ship/events"]
    paid, shipped = events(server)
    assert (paid.id, paid.type, paid.data) == ("pay-2", "order.failed", {"task": "pay", "tries": ["2"]})
    assert (shipped.id, shipped.type, shipped.data) == ("ship-1", "order.success", {"task": "ship", "tries": ["1"]})
    assert server.seen[0].headers["ce-source"] == "/shop"


def test_a_service_that_is_away_for_a_moment_is_told_again(server: ScriptedServer) -> None:
    """The same bytes under the same key, by the connection's retries; a wait that the service names is waited for."""
    server.answers = [Answer(503), Answer(hang_up=True), Answer(429, headers={"Retry-After": "15"}), Answer(202)]
    with instant_time() as clock:
        before = clock.now()
        CloudEventNotifier(path="/events", type="t")(of_task())
        assert 15 <= clock.now() - before < 30
    assert len(server.seen) == 4
    assert len({(seen.body, seen.headers["idempotency-key"]) for seen in server.seen}) == 1


@pytest.mark.parametrize("answer", [Answer(503), Answer(400), Answer(429, headers={"Retry-After": "3600"})])
def test_what_cannot_be_told_is_logged_and_fails_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    """With the event, the path, the connection and the reason."""
    server.answers = [answer]
    with instant_time(), caplog.at_level(logging.ERROR):
        CloudEventNotifier(path="/events", type="order.failed")(of_task())
    [record] = [record for record in caplog.records if "was not told" in record.getMessage()]
    said = record.getMessage()
    assert "the event order.failed was not told to /events of connection gateway_default" in said
    assert str(answer.status) in said


def test_a_deadline_ends_it(server: ScriptedServer, caplog: pytest.LogCaptureFixture, define: Define) -> None:
    """However many attempts the connection has."""
    define(attempts=100, backoff=2)
    server.answers = [Answer(503)]
    with instant_time() as clock, caplog.at_level(logging.ERROR):
        before = clock.now()
        CloudEventNotifier(path="/events", type="t", deadline=20)(of_task())
        assert clock.now() - before < 21  # the last attempt takes real time
    assert "was not told" in caplog.text


@pytest.mark.parametrize(
    ("context", "said"),
    [({}, "the context has no dag_id and run_id"), (of_task(end_date="yesterday"), "time must be RFC 3339")],
)
def test_a_context_that_says_nothing_fails_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, context: dict[str, Any], said: str
) -> None:
    """It is logged, and nothing is sent."""
    CloudEventNotifier(path="/events", type="t")(context)
    assert said in caplog.text
    assert server.seen == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": ""}, "path must be a text that is not empty"),
        ({"type": None}, "type must be a text"),
        ({"mode": "batched"}, "mode must be one of structured, binary"),
        ({"deadline": 0}, "deadline must be seconds, more than 0"),
        ({"gateway_conn_id": ""}, "gateway_conn_id must be a text"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_while_parsing(arguments: dict[str, Any], said: str) -> None:
    """With the argument's name."""
    with pytest.raises(ValueError, match=said):
        CloudEventNotifier(**{"path": "/events", "type": "t", **arguments})


# -- as Airflow calls it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Came]:
    """The runs of told_dags/told.py, in an Airflow of their own."""
    home, server = tmp_path_factory.mktemp("told"), ScriptedServer()
    gateway = {"conn_type": "gateway", "host": server.url, "extra": {"attempts": 1}}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
        "AIRFLOW_CONN_GATEWAY_DOWN": json.dumps({**gateway, "host": "http://127.0.0.1:9"}),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    found = re.search(r"^came: (.+)$", done.stdout, re.MULTILINE)
    assert found, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    yield Came(json.loads(found[1]), server, done.stdout)
    server.stop()


def test_tasks_tell_by_their_callbacks(came: Came) -> None:
    """Each with the state that Airflow gave it; an error by its class alone, whatever its text holds."""
    told = events(came.server)
    assert sorted((event.type, event.data["outcome"]) for event in told) == sorted(
        [
            ("works.execute", "running"), ("works.success", "success"),
            ("breaks.execute", "running"), ("breaks.retry", "up_for_retry"),
            ("breaks.execute", "running"), ("breaks.failure", "failed"),
            ("skips.execute", "running"), ("skips.skipped", "skipped"),
        ]
    )  # fmt: skip
    [failed] = [event for event in told if event.type == "breaks.failure"]
    assert failed.data["error"] == "ValueError"
    assert failed.time is not None
    assert b"hunter2" not in b"".join(seen.body for seen in came.server.seen)


def test_a_task_is_green_though_nobody_could_be_told(came: Came) -> None:
    """The service is down, or the connection is not there at all; the task's log has both."""
    assert came.runs["told_to_nobody"]["state"] == "success"
    assert "was not told to /events of connection gateway_down" in came.log
    assert "gateway_missing" in came.log


async def test_a_deadline_alert_tells_from_the_triggerer(server: ScriptedServer) -> None:
    """As Airflow's own trigger calls it, with the run as JSON; the deadline is part of the event's name."""
    from airflow.triggers.callback import CallbackTrigger

    def trigger(deadline: str) -> CallbackTrigger:
        run = {"dag_id": "orders", "dag_run_id": "r-1", "state": "running", "end_date": None}
        told = {"dag_run": run, "deadline": {"id": deadline, "deadline_time": "2026-01-02T03:04:05Z"}}
        kwargs = {"path": "/events", "type": "order.late", "subject": "{{ dag_run.dag_run_id }}", "context": told}
        return CallbackTrigger("airgate.notifications.CloudEventNotifier", kwargs)

    for deadline in ("a", "a", "b"):
        states = [event.payload["state"] async for event in trigger(deadline).run()]
        assert states == ["running", "success"]
    first, again, other = events(server)
    assert first == again
    assert first.id != other.id
    assert (first.source, first.subject) == ("/dags/orders", "r-1")
    assert first.data == {
        "dag_id": "orders", "run_id": "r-1", "outcome": "deadline_missed",
        "deadline": {"id": "a", "time": "2026-01-02T03:04:05Z"},
    }  # fmt: skip


async def test_a_deadline_alert_that_nobody_takes_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The triggerer goes on; a wait that the service names is spent on its event loop."""
    server.answers = [Answer(429, headers={"Retry-After": "15"}), Answer(400)]
    with instant_time():
        await CloudEventNotifier(path="/events", type="t", context=cast("Any", of_task()))
    assert len(server.seen) == 2
    assert "was not told" in caplog.text
