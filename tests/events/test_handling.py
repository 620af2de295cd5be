"""What a run does with its events: several at a time, the fate of each apart from that of the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, get_current_context, task

from airgate.errors import Rejected, Unauthorized, Unavailable
from airgate.events.handling import Handled, each_event, events_of
from airgate.hooks import GatewayHook
from airgate.policy.events.event import Event, NotAnEvent
from tests.events.conftest import event
from tests.sagas.saga_run import SagaRun
from tests.scripted_server import Answer, ScriptedServer

ONE, TWO = event(1, data={"sku": "x"}), event(2)


class TestEventsOf:
    """From a run's conf, or a task's context."""

    @pytest.mark.parametrize(
        ("given", "events"),
        [
            ({"event": ONE.to_json()}, (ONE,)),
            ({"events": [ONE.to_json(), TWO.to_json()]}, (ONE, TWO)),
            ({"events": []}, ()),
            ({"dag_run": SimpleNamespace(conf={"event": ONE.to_json()}), "params": {"event": TWO.to_json()}}, (ONE,)),
            ({"dag_run": SimpleNamespace(conf=None), "params": {"event": TWO.to_json()}}, (TWO,)),
            ({"dag_run": SimpleNamespace(conf={}), "params": {"events": [TWO.to_json()]}}, (TWO,)),
        ],
    )
    def test_they_are_found(self, given: Any, events: tuple[Event, ...]) -> None:
        """Those of the conf before those that Params have as an example."""
        assert events_of(given) == events

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "the run has no events"),
            ({"event": None}, "the run has no events"),
            ({"dag_run": SimpleNamespace(conf=None)}, "the run has no events"),
            (None, "not from NoneType"),
            ({"event": {"id": "1"}}, "event of the run's conf: specversion must be 1.0"),
            ({"events": [ONE.to_json(), 3]}, "events\\[1\\] of the run's conf: an event must be an object"),
            ({"events": "x"}, "events must be a list, not str"),
            ({"events": ONE.to_json()}, "events must be a list, not dict"),
        ],
    )
    def test_whoever_finds_none_is_told(self, given: Any, said: str) -> None:
        """With what should be there."""
        with pytest.raises(ValueError, match=said):
            events_of(given)

    def test_what_is_no_event_has_an_error_of_its_own(self) -> None:
        """A task may tell it from others."""
        with pytest.raises(NotAnEvent):
            events_of({"event": {}})


class TestEachEvent:
    """Without a task: nothing is parked."""

    def test_as_many_at_a_time_as_there_are_workers(self) -> None:
        """And not one more; results keep the order of the events."""
        lock, together, meeting = threading.Lock(), [0, 0], threading.Barrier(4, timeout=20)

        def work(given: Event) -> str:
            with lock:
                together[0] += 1
                together[1] = max(together)
            meeting.wait()
            with lock:
                together[0] -= 1
            return given.id

        handled = each_event(work, (event(n) for n in range(12)), workers=4, park=False)
        assert together == [0, 4]
        assert handled == Handled(12, 0, tuple(map(str, range(12))))
        assert handled.to_json() == {"done": 12, "parked": 0}

    def test_all_others_are_tried_when_one_fails(self) -> None:
        """The error that asks for the longest wait is raised, and says how many there are."""
        tried = []

        def work(given: Event) -> None:
            tried.append(given.id)
            if given.id in "36":
                raise Unavailable("it is down", retry_after=float(given.id))

        with pytest.raises(Unavailable) as caught:
            each_event(work, [event(n) for n in range(9)], workers=2, park=False)
        assert sorted(tried) == list("012345678")
        assert caught.value.retry_after == 6
        assert "2 of 9 events failed, 0 are parked" in caught.value.__notes__[0]
        assert "event 6 of /orders" in caught.value.__notes__[0]

    def test_without_parking_a_refusal_fails_as_well(self) -> None:
        """For whoever wants to see each."""

        def work(given: Event) -> None:
            raise Rejected("no such sku")

        with pytest.raises(Rejected):
            each_event(work, [ONE], park=False)

    def test_an_end_that_is_asked_for_is_heeded(self) -> None:
        """What has not begun does not begin any more."""
        tried = []

        def work(given: Event) -> None:
            tried.append(given.id)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            each_event(work, [event(n) for n in range(50)], workers=1, park=False)
        assert tried == ["0"]

    def test_none_are_none(self) -> None:
        """Nothing is done."""
        assert each_event(lambda given: None, [], park=False) == Handled(0, 0, ())

    def test_outside_of_a_task_nothing_can_be_parked(self) -> None:
        """Which is said before anything is done."""
        with pytest.raises(ValueError, match="none is running"):
            each_event(lambda given: None, [ONE])

    def test_no_workers_are_refused(self) -> None:
        """One at least."""
        with pytest.raises(ValueError, match="workers must be 1 or more"):
            each_event(lambda given: None, [ONE], workers=0, park=False)


def taking(name: str, work: Callable[[Event], Any]) -> DAG:
    """A DAG of one task that does something with each of its events."""
    with DAG(f"taking_{name}", schedule=None) as dag:

        @task(retries=0)
        def take() -> dict[str, int]:
            return each_event(work, events_of(get_current_context())).to_json()

        take()
    return dag


def parked_names(folder: Path) -> dict[str, Any]:
    """Event id -> what is parked."""
    files = (folder / "data" / "_events" / "parked").rglob("*.json")
    return {told["event"]["id"]: told for told in (json.loads(file.read_text()) for file in files)}


def test_what_is_refused_for_good_is_parked(installation: Path) -> None:
    """The task goes on; once the event can be done, in another run of the task, it is not parked any more."""
    refused = {"2"}

    def work(given: Event) -> None:
        if given.id in refused:
            raise Rejected("no such sku", method="POST", url="http://shop/orders", status=400)

    dag, conf = taking("parks", work), {"events": [event(n).to_json() for n in range(4)]}
    run = SagaRun.asked_for(dag, conf=conf).go()
    assert (run.state, run.xcom("take")) == ("success", {"done": 3, "parked": 1})
    told = parked_names(installation)["2"]
    assert told["why"] == "Rejected: POST http://shop/orders: no such sku"
    assert (told["target"], told["dag_id"], told["task_id"]) == (dag.dag_id, dag.dag_id, "take")
    assert (told["form"], told["in_run"], told["run_id"]) == ("events", True, run.run_id)
    refused.clear()
    assert SagaRun.asked_for(dag, conf=conf).go().xcom("take") == {"done": 4, "parked": 0}
    assert parked_names(installation) == {}


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized("the token is too old"),
        Rejected("busy with this key", retryable=True),
        Unavailable("it is down"),
        RuntimeError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_events_fault_fails_the_task(installation: Path, error: Exception) -> None:
    """Credentials, services that are down, and bugs: its retry does the event again, nothing is parked."""

    def work(given: Event) -> None:
        raise error

    run = SagaRun.asked_for(taking("fails", work), conf={"event": ONE.to_json()}).go()
    assert (run.state, parked_names(installation)) == ("failed", {})


def test_calls_of_one_hook_carry_the_events_keys(
    installation: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From several threads; a repeat has the same keys, and a refusal is parked."""
    server.answers = [Answer(201)]
    gateway = {"conn_type": "gateway", "schema": "http", "host": "127.0.0.1", "port": server.port}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))

    with DAG("taking_calls", schedule=None) as dag:

        @task(retries=0)
        def take() -> dict[str, int]:
            hook = GatewayHook()

            def order(given: Event) -> None:
                hook.call("POST", "/orders", json={"id": given.id}, idempotency_key=given.key("order"))

            return each_event(order, events_of(get_current_context())).to_json()

        take()
    conf = {"events": [event(n).to_json() for n in range(20)]}
    for _ in range(2):
        run = SagaRun.asked_for(dag, conf=conf).go()
        assert run.xcom("take") == {"done": 20, "parked": 0}
    keys = [request.headers["idempotency-key"] for request in server.seen]
    assert sorted(keys) == sorted([event(n).key("order") for n in range(20)] * 2)
