"""``airflow gateway events parked``: what real dispatchers parked, and what becomes of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Param, get_current_context, task

from airgate.errors import Rejected
from airgate.events import each_event, events_of
from airgate.policy.events.batch import Unreadable
from tests.cli.conftest import Said
from tests.events.conftest import (  # noqa: F401, as fixtures
    Dispatched,
    airflow_database,
    dispatched,
    event,
    installation,
)
from tests.sagas.saga_run import SagaRun, _stored

Gateway = Callable[..., Said]

COUNTRY = {"type": "object", "properties": {"data": {"type": "object", "required": ["country"]}}}

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture(autouse=True)
def _no_process_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # which the commands set


def listed(gateway: Gateway, *arguments: str) -> list[dict[str, Any]]:
    """What `list` says."""
    said = gateway("events", "parked", "list", "-o", "json", *arguments)
    assert said.code == 0, said.err
    return list(json.loads(said.out))


@pytest.fixture
def orders() -> Dispatched:
    """A dispatcher that has parked three: one without a country, one of a type without a DAG, and one that is none."""
    orders = dispatched(params={"event": Param({}, **COUNTRY)})
    orders.tell(
        event(1, data={"country": "NL"}),
        event(2, data={"token": "s3cret"}),
        event(3, "paid"),
        unreadable=[Unreadable("page 3", "it has no id", "{}")],
    )
    assert orders.dispatch(to={"placed": orders.taker_id})["parked"] == 3
    return orders


def test_an_empty_place_says_so(gateway: Gateway) -> None:
    """And nothing else."""
    said = gateway("events", "parked", "list")
    assert (said.code, said.out, said.err) == (0, "", "no events are parked\n")


def test_what_is_parked_is_listed(gateway: Gateway, orders: Dispatched) -> None:
    """With who parked it and why; a table for persons, JSON for programs."""
    rows = {row["source"] + str(row["event"]): row for row in listed(gateway)}
    assert set(rows) == {"/orders2", "/orders3", "page 3None"}
    assert rows["/orders2"]["target"] == orders.taker_id
    assert "'country' is a required property" in rows["/orders2"]["why"]
    assert {row["by"] for row in rows.values()} == {f"{orders.dag.dag_id}.dispatch"}
    table = gateway("events", "parked", "list", "--limit", "2")
    assert len([line for line in table.out.splitlines() if "dispatch" in line]) == 2
    assert table.err == "2 of 3 parked events; --limit 0 shows all\n"
    assert listed(gateway, "--dag-id", "another") == []
    assert len(listed(gateway, "--dag-id", orders.taker_id)) == 1


def test_one_is_shown_with_its_event(gateway: Gateway, orders: Dispatched) -> None:
    """Fields that look secret are masked, unless they are asked for."""
    [name] = [row["name"] for row in listed(gateway) if row["event"] == "2"]
    said = gateway("events", "parked", "show", name[:8])
    assert json.loads(said.out)["event"]["id"] == "2"
    assert "s3cret" not in said.out
    assert json.loads(gateway("events", "parked", "show", name, "--reveal").out)["event"]["data"]["token"] == "s3cret"


def test_a_retry_makes_the_run_that_was_missing(gateway: Gateway, orders: Dispatched) -> None:
    """Once its DAG takes it, or another DAG is named; what still cannot be taken stays, and says why."""
    said = gateway("events", "parked", "retry", "--all")
    assert said.code == 1
    assert "3 of 3 stay parked" in said.err
    assert "'country' is a required property" in said.err
    assert "say so with --to DAG" in said.err
    assert "mend what tells it" in said.err
    assert len(listed(gateway)) == 3

    orders.taker.params = {}
    _stored(orders.taker)
    [name] = [row["name"] for row in listed(gateway) if row["event"] == "2"]
    assert gateway("events", "parked", "retry", name).code == 0
    [other] = [row["name"] for row in listed(gateway) if row["event"] == "3"]
    assert gateway("events", "parked", "retry", other, "--to", orders.taker_id).code == 0
    assert sorted(orders.told()) == ["1", "2", "3"]
    assert event(2).run_id(orders.taker_id) in orders.runs()
    assert [row["source"] for row in listed(gateway)] == ["page 3"]


def test_a_retry_whose_run_is_there_is_done(gateway: Gateway, orders: Dispatched, installation: Path) -> None:  # noqa: F811
    """As when an earlier one died before it took the event out of the list."""
    orders.taker.params = {}
    _stored(orders.taker)
    [name] = [row["name"] for row in listed(gateway) if row["event"] == "2"]
    [file] = (installation / "data").rglob(f"{name}.json")
    kept = file.read_text()
    assert gateway("events", "parked", "retry", name).code == 0
    file.write_text(kept)
    assert gateway("events", "parked", "retry", name).code == 0
    assert sorted(orders.told()) == ["1", "2"]
    assert not file.exists()


def test_an_event_that_a_run_parked_gets_another_run(gateway: Gateway) -> None:
    """Of the same DAG, in the form that it knows; parked again, yet another one."""
    with DAG("gets_again", schedule=None) as dag:

        @task(retries=0)
        def take() -> None:
            def refuse(_: Any) -> None:
                raise Rejected("no such sku")

            each_event(refuse, events_of(get_current_context()))

        take()
    run = SagaRun.asked_for(dag, conf={"events": [event(1).to_json()]}).go()
    assert run.state == "success"
    made = set()
    for _ in range(2):
        [row] = listed(gateway, "--dag-id", "gets_again")
        said = gateway("events", "parked", "retry", row["name"])
        assert said.code == 0, said.err
        run_id = said.out.split()[-1]
        made.add(run_id)
        assert SagaRun(dag, run_id).go().state == "success"
    assert len(made) == 2
    gateway("events", "parked", "drop", "--all", "--dag-id", "gets_again", "--yes")


def test_dropping_asks_first(gateway: Gateway, orders: Dispatched, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes no for an answer."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert gateway("events", "parked", "drop", "--all").code == 1
    assert len(listed(gateway)) == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert gateway("events", "parked", "drop", "--all").code == 0
    assert listed(gateway) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nothing"], "no parked event has the name 'nothing'"),
        (["retry"], "name the parked events, or give --all"),
        (["retry", "x", "--all"], "name the parked events, or give --all"),
        (["drop", "--all"], "no events are parked"),
        (["list", "--limit", "-1"], "--limit must be 0 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(gateway: Gateway, arguments: list[str], said: str) -> None:
    """With what to do."""
    answer = gateway("events", "parked", *arguments)
    assert answer.code == 1
    assert said in answer.err


def test_a_broken_file_is_passed_over(gateway: Gateway, orders: Dispatched, installation: Path) -> None:  # noqa: F811
    """And named, while the others are listed."""
    file = next((installation / "data" / "_events" / "parked").rglob("*.json"))
    file.write_text('{"version": 2}')
    said = gateway("events", "parked", "list", "-o", "json")
    assert len(json.loads(said.out)) == 2
    assert file.name in said.err
    assert "no parked event of version 1" in said.err
