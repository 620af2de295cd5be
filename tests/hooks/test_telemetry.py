"""What Airflow learns of calls."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk._shared.observability.metrics import stats as metrics_module
from airflow.sdk.lineage import HookLineageCollector
from structlog.testing import capture_logs

from airgate.client.flow import Shared
from airgate.client.message import Request
from airgate.client.observer import CallEnd
from airgate.client.tally import CallTally
from airgate.hooks import GatewayHook, telemetry
from tests.client.course import GATEWAY, Course, answer
from tests.scripted_server import ScriptedServer


class Backend:
    """A metrics backend as Airflow's StatsD and OpenTelemetry ones are."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, Any, dict[str, Any]]] = []

    def incr(self, stat, count=1, rate=1, *, tags=None) -> None:
        self.said.append(("incr", stat, count, tags))

    def timing(self, stat, dt, *, tags=None) -> None:
        self.said.append(("timing", stat, dt, tags))

    def gauge(self, stat, value, rate=1, delta=False, *, tags=None) -> None:
        self.said.append(("gauge", stat, value, tags))


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Airflow's own metrics module, told to report here."""
    backend = Backend()
    monkeypatch.setattr(metrics_module, "_backend", backend)
    return backend


@pytest.fixture
def lineage(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    """A collector as Airflow has one where a lineage reader is installed."""
    collector = HookLineageCollector()
    monkeypatch.setattr(telemetry, "get_hook_lineage_collector", lambda: collector)
    return collector


def observer() -> telemetry.AirflowObserver:
    return telemetry.AirflowObserver(BaseHook(), "orders", "https://gw.test/v1/")


def end(method: str = "GET", error: str | None = None, route: str = "/orders/{order}") -> CallEnd:
    url = "https://gw.test/v1/orders/7?page=2"
    return CallEnd(method, url, route, 200, error, 2, 0.5, 0.75, 10, "req-1")


def test_metrics_go_by_route_template(metrics: Backend, lineage: HookLineageCollector) -> None:
    """The filled-in path is in no tag: it would make a series for every order."""
    observer().call_ended(end())
    tags = {"conn_id": "orders", "method": "GET", "route": "/orders/{order}", "outcome": "success"}
    assert metrics.said == [
        ("incr", "airgate.calls", 1, tags),
        ("incr", "airgate.attempts", 2, tags),
        ("incr", "airgate.received_bytes", 10, tags),
        ("timing", "airgate.call.duration", 750.0, tags),
    ]


def test_waits_and_circuits_have_metrics(metrics: Backend) -> None:
    """A dashboard shows what calls waited for, and which route is cut off; only changes of a circuit are told."""
    looking = observer()
    looking.waited(1.5, "limit")
    for state in ("closed", "open", "open", "half_open", "closed", "closed"):
        looking.circuit("/orders", state)
    tags, route = {"conn_id": "orders", "why": "limit"}, {"conn_id": "orders", "route": "/orders"}
    assert metrics.said == [
        ("incr", "airgate.waits", 1, tags),
        ("timing", "airgate.wait.duration", 1500.0, tags),
        *(("gauge", "airgate.circuit", level, route) for level in (2, 1, 0)),
    ]


def test_lineage_knows_reads_from_writes(metrics: Backend, lineage: HookLineageCollector) -> None:
    """What was read is an input, what was written an output; what failed is neither."""
    looking = observer()
    for each in (end(), end(), end("POST", route="orders"), end("PUT", "Conflict", "/no"), end(route="")):
        looking.call_ended(each)
    collected = lineage.collected_assets
    assert [(info.asset.uri, info.count) for info in collected.inputs] == [("https://gw.test/v1/orders/{order}", 2)]
    assert [(info.asset.uri, info.count) for info in collected.outputs] == [("https://gw.test/v1/orders", 1)]


def test_one_line_of_the_log_tells_of_a_call(metrics: Backend, lineage: HookLineageCollector) -> None:
    """With fields of their own, so that a log store can be asked for them."""
    with capture_logs() as lines:
        observer().call_ended(end(error="NotFound"))
    [line] = lines
    assert line == {
        "event": "gateway call",
        "log_level": "info",
        "method": "GET",
        "url": "https://gw.test/v1/orders/7?page=2",
        "route": "/orders/{order}",
        "status": 200,
        "outcome": "NotFound",
        "attempts": 2,
        "waited": 0.5,
        "seconds": 0.75,
        "received": 10,
        "request_id": "req-1",
    }


def test_a_hooks_observers_are_one(metrics: Backend, lineage: HookLineageCollector) -> None:
    """Trace, tally and Airflow hear of the same call."""
    tally = CallTally()
    telemetry.observe(BaseHook(), "orders", "https://gw.test", tally).call_ended(end())
    assert tally.summary()["calls"] == 1
    assert next(stat for _, stat, *_ in metrics.said) == "airgate.calls"


def test_the_flow_tells_all_observers(metrics: Backend, lineage: HookLineageCollector) -> None:
    """Each attempt carries a span id of its own, and the sums are those of the response."""
    tally = CallTally()
    shared = Shared.of(GATEWAY, observer=telemetry.observe(BaseHook(), "orders", "http://gw.test", tally))
    request = Request("GET", "http://gw.test/orders/7?token=abc", route="/orders/{order}")
    good = Course(request, [answer(503), answer(429, retry_after="2"), answer(x_request_id="r1")], shared=shared)
    assert Course(request, [answer(404)], shared=shared).error is not None
    parents = [send.request.headers["traceparent"] for send in good.sent]
    assert len(set(parents)) == 3
    assert len({parent[:35] for parent in parents}) == 1
    summary = tally.summary()
    assert summary["waits"] == {"backoff": good.waits[0], "retry_after": good.waits[1]}
    assert {name: summary[name] for name in ("calls", "attempts", "retries", "errors", "request_ids")} == {
        "calls": 2,
        "attempts": 4,
        "retries": 2,
        "errors": {"NotFound": 1},
        "request_ids": ["r1"],
    }
    outcomes = [(tags["outcome"], tags["route"]) for _, stat, _, tags in metrics.said if stat == "airgate.calls"]
    assert outcomes == [("success", "/orders/{order}"), ("NotFound", "/orders/{order}")]
    assert "abc" not in repr(metrics.said)
    assert [info.asset.uri for info in lineage.collected_assets.inputs] == ["http://gw.test/orders/{order}"]


def test_a_hook_is_observed(
    metrics: Backend, lineage: HookLineageCollector, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hook calls is traced, counted and summed up without anybody asking for it."""
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", f'{{"conn_type": "gateway", "host": "{server.url}"}}')
    hook = GatewayHook()
    hook.call("GET", "/orders/{order}", path_params={"order": 7})
    assert server.seen[0].headers["traceparent"].startswith("00-")
    assert hook.tally.summary()["calls"] == 1
    [tags] = [tags for _, stat, _, tags in metrics.said if stat == "airgate.calls"]
    assert (tags["conn_id"], tags["route"]) == ("gateway_default", "/orders/{order}")
    assert [info.asset.uri for info in lineage.collected_assets.inputs] == [f"{server.url}/orders/{{order}}"]
