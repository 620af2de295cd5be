"""Orders whose steps publish, on a whole Airflow: who listens does its part once, and what happened is told."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import jwt
import pytest
import requests

from airgate.policy.events.cloudevent import of_message
from airgate.policy.events.event import Event
from stack import environment, marks
from stack.credentials import Credentials
from tests.integration.example_stack import PROJECT, ExampleStack, Run, example_stack, until
from tests.scripted_server import Answer, ScriptedServer

pytestmark = pytest.mark.integration

DAGS = ("order_hybrid", "order_dispatcher", "loyalty", "order_analytics", "status_overview", "told_runs")
SERVICES = ("inventory", "payments", "shipping", "loyalty")
ADDRESS = {"street": "1 Quay", "city": "Delft", "postcode": "2611"}
ORDERS: dict[str, dict[str, Any]] = {
    "good": {"items": [{"sku": "eye-mask", "quantity": 2}, {"sku": "ear-plugs", "quantity": 1}]},
    "nowhere": {"address": {**ADDRESS, "country": "XX"}},
    "stranger": {"customer": {"name": "Eve", "email": "eve@shop.invalid"}},
}
LAST = {"items": [{"sku": "eye-mask", "quantity": 1}]}


@dataclass(frozen=True)
class Played:
    """What came of all of it."""

    stack: ExampleStack
    home: Path
    runs: dict[str, Run]
    first: list[dict[str, Any]]
    """The ledger of the loyalty service, before everything was told a second time."""
    again: list[dict[str, Any]]
    figures: list[tuple[int, int, int, int]]
    """Charged, refunded, shipped, revenue: before it, and after it with one more order."""
    told: list[Event]
    """By callbacks."""
    overviews: dict[str, dict[str, Any]]
    """By the gateway and by the DAG; with a service that does not answer in time, too."""

    def parked(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in _parked(self.home)]


def _parked(home: Path) -> list[Path]:
    return sorted((home / "data" / "_events" / "parked").glob("*/*/*.json"))


def _ask(address: str, method: str = "GET", **options: Any) -> Any:
    """What a service or the gateway answers; services misbehave, so it is asked as often as it takes."""

    def answer() -> Any:
        try:
            with requests.Session() as session:
                session.trust_env = False
                found = session.request(method, address, timeout=60, **options)
                found.raise_for_status()
        except requests.RequestException:
            return None
        return found.json()

    return until(answer, 0.1)


def _ledger(stack: ExampleStack) -> list[dict[str, Any]]:
    return list(_ask(f"{stack.services['loyalty']}/-/ledger")["events"])


def granted(ledger: list[dict[str, Any]]) -> Counter[str]:
    """Order -> how often points were given for it."""
    return Counter(event["order"] for event in ledger if event["event"] == "effect")


def _figures(home: Path) -> tuple[int, int, int, int] | None:
    """All days of the table together; None while it is being written, or not there."""
    try:
        with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
            [row] = warehouse.execute(
                "select sum(charged), sum(refunded), sum(shipped), sum(revenue) from order_daily"
            ).fetchall()
    except (duckdb.IOException, duckdb.CatalogException):
        return None
    return tuple(map(int, row))  # type: ignore[return-value]


def _until_figures(
    stack: ExampleStack, home: Path, charged: int, refunded: int, shipped: int
) -> tuple[int, int, int, int]:
    def there() -> tuple[int, int, int, int] | None:
        found = _figures(home)
        return found if found is not None and found[:3] == (charged, refunded, shipped) else None

    return until(there, 0.5, lambda: f"{_figures(home)}\n{_standing(stack, home)}")


def _standing(stack: ExampleStack, home: Path) -> str:
    """How it stands, for whoever reads why a test failed."""
    runs = {dag_id: [(run["dag_run_id"], run["state"]) for run in stack.airflow.runs(dag_id, "")] for dag_id in DAGS}
    return f"{runs}\ngranted: {granted(_ledger(stack))}\nparked: {[file.name for file in _parked(home)]}"


def _overview(stack: ExampleStack, home: Path, order: str) -> dict[str, Any]:
    """By the gateway's own route; services misbehave, so it is asked until each of them has answered."""
    claims = {"sub": "tests", "iss": environment.GATEWAY_ISSUER, "aud": environment.GATEWAY_AUDIENCE}
    token = jwt.encode({**claims, "exp": time.time() + 600}, Credentials.kept(home).gateway_jwt_secret, "HS256")

    def complete() -> dict[str, Any] | None:
        found = _ask(f"{stack.gateway}/overview", params={"order": order}, headers={"Authorization": f"Bearer {token}"})
        return found if all(each["status"] == 200 for each in found["_status"].values()) else None

    return until(complete, 0.2)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Orders and a run that dies; then steps of the good order are cleared, so that its events are told again."""
    home = tmp_path_factory.mktemp("hybrid") / "home"
    dags = home / "dags"
    dags.mkdir(parents=True)
    for file in (PROJECT / "dags" / "order_hybrid.py", PROJECT / "dags" / "status_overview.py"):
        (dags / file.name).symlink_to(file)
    (dags / "told_runs.py").symlink_to(Path(__file__).parent / "event_dags" / "told_runs.py")
    server = ScriptedServer()
    server.answers = [Answer(503), Answer(202)]
    with example_stack(home, DAGS, SERVICES, dags) as stack:
        stack.airflow._call(
            "POST", "/api/v2/connections", {"connection_id": "told", "conn_type": "gateway", "host": server.url}
        )
        died = stack.start("told_runs", "died", {"dies": True})
        well = stack.start("told_runs", "well", {})
        runs = {name: stack.start("order_hybrid", name, conf) for name, conf in ORDERS.items()}
        for run in runs.values():
            run.ended()
        until(lambda: granted(_ledger(stack)) or None, 0.5, lambda: _standing(stack, home))
        until(lambda: _parked(home) or None, 0.5, lambda: _standing(stack, home))
        figures = [_until_figures(stack, home, charged=3, refunded=1, shipped=2)]
        first = _ledger(stack)
        # Told again by the saga, handled again by the runs that had it, and then one more to know that it is over.
        stack.airflow.clear("order_hybrid", "good", ["fulfillment.charge", "fulfillment.ship"])
        for handled in stack.airflow.runs("loyalty", ""):
            stack.airflow.clear("loyalty", handled["dag_run_id"], ["grant"])
        assert runs["good"].ended() == "success", runs["good"].told()
        stack.start("order_hybrid", "last", LAST)
        until(lambda: granted(_ledger(stack))["last"] or None, 0.5, lambda: _standing(stack, home))
        figures.append(_until_figures(stack, home, charged=4, refunded=1, shipped=3))
        for each in stack.airflow.runs("loyalty", ""):
            ended = Run(stack, "loyalty", each["dag_run_id"])
            assert ended.ended() == "success", ended.told()
        overviews = _looked_at(stack, home)
        died.ended()
        well.ended()
        told = until(lambda: _all_told(server), 0.5, lambda: str([seen.body for seen in server.seen]))
        yield Played(stack, home, runs, first, _ledger(stack), figures, told, overviews)
    server.stop()
    assert marks.marked(home) == []


def _all_told(server: ScriptedServer) -> list[Event] | None:
    """What callbacks have told, when all four of them have."""
    told = [of_message(seen.headers, seen.body) for seen in list(server.seen)]
    return told if len({(event.source, event.id) for event in told}) >= 4 else None


def _looked_at(stack: ExampleStack, home: Path) -> dict[str, dict[str, Any]]:
    """The good order, both ways; and by the DAG when one service takes far too long."""
    by_gateway = _overview(stack, home, "good")
    run = stack.start("status_overview", "all", {"order": "good"})
    assert run.ended() == "success", run.told()
    _ask(f"{stack.services['loyalty']}/-/faults", "POST", json={"latency": 60})
    slow = stack.start("status_overview", "slow", {"order": "good", "patience": 8})
    assert slow.ended() == "success", slow.told()
    _ask(f"{stack.services['loyalty']}/-/faults", "POST", json={"latency": 0})
    return {"gateway": by_gateway, "dag": run.xcom("overview"), "slow": slow.xcom("overview")}


def test_orders_end_as_they_do_without_listeners(played: Played) -> None:
    """Whoever listens, the saga is in charge."""
    ends = {name: run.ended() for name, run in played.runs.items()}
    assert ends == {"good": "success", "nowhere": "failed", "stranger": "success"}


def test_points_are_given_once_for_what_was_shipped(played: Played) -> None:
    """Not for what was charged and taken back."""
    assert granted(played.first) == {"good": 1}
    answer = _ask(f"{played.stack.services['loyalty']}/grants", params={"order": "good"})
    assert [(grant["member"], grant["points"]) for grant in answer["grants"]] == [("ada@example.com", 30)]


def test_what_is_told_again_gives_nothing(played: Played) -> None:
    """By the saga's cleared steps, and by the runs that handle it once more: these are known by the key."""
    assert granted(played.again) == {"good": 1, "last": 1}
    events = Counter((event["order"], event["event"]) for event in played.again)
    assert events["good", "replay"] > Counter((e["order"], e["event"]) for e in played.first)["good", "replay"]


def test_a_refused_event_is_parked_and_holds_up_nobody(played: Played) -> None:
    """The customer who is no member; with the reason, for a person."""
    [parked] = played.parked()
    assert parked["event"]["subject"] == "stranger"
    assert "no member has an address that ends with .invalid" in parked["why"]


def test_the_table_has_each_event_once(played: Played) -> None:
    """Three charges, one of them given back, two parcels; a repeat changes no figure."""
    [before, after] = played.figures
    assert before[:3] == (3, 1, 2)
    assert after[:3] == (4, 1, 3)
    charges = [
        charge
        for name in (*ORDERS, "last")
        for charge in _ask(f"{played.stack.services['payments']}/charges", params={"order": name})["charges"]
    ]
    assert after[3] == sum(charge["amount"] for charge in charges if charge["state"] == "captured")


def test_listeners_are_started_by_events_alone(played: Played) -> None:
    """And several events make one run of those who fold."""
    for dag_id in ("order_dispatcher", "order_analytics"):
        runs = played.stack.airflow.runs(dag_id, "")
        assert {run["run_type"] for run in runs} == {"asset_triggered"}
        assert 1 <= len(runs) <= 10  # ten asset events


def test_gateway_and_dag_tell_the_same_of_an_order(played: Played) -> None:
    """What each of the four services did for it."""
    by_gateway, by_dag = played.overviews["gateway"], played.overviews["dag"]
    assert by_gateway == by_dag
    states = {name: [each["state"] for each in found] for name, found in by_dag.items() if name != "_status"}
    assert states == {
        "reservations": ["held"], "charges": ["captured"], "shipments": ["dispatched"], "grants": ["granted"]
    }  # fmt: skip


def test_a_branch_that_does_not_answer_takes_no_other_with_it(played: Played) -> None:
    """Its part is null, and its status says why; the others are there."""
    slow, good = played.overviews["slow"], played.overviews["dag"]
    assert slow["grants"] is None
    assert slow["_status"]["grants"] == {"status": None, "detail": "did not answer within 8 s"}
    for name in ("reservations", "charges", "shipments"):
        assert slow[name] == good[name]
        assert slow["_status"][name] == {"status": 200}


def test_callbacks_tell_from_worker_and_dag_processor(played: Played) -> None:
    """A run's end, and a task's whose process is gone: by a connection of Airflow's database, and again on 503."""
    told = {(event.subject, event.type): event.data["outcome"] for event in played.told}
    assert told == {
        ("well", "task.succeeded"): "success",
        ("well", "run.succeeded"): "success",
        ("died", "task.died"): "failed",
        ("died", "run.failed"): "failed",
    }
    assert len(played.told) > len(told), "one of them twice, as the first answer was 503"
    assert len({(event.source, event.id) for event in played.told}) == len(told), "under the name that it had"
