"""Observers: what they are told, what they add, what they sum up."""

from __future__ import annotations

import re
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from airgate.client import tracing
from airgate.client.message import Request, Response, headers_of
from airgate.client.observer import CallEnd, NullObserver, Observers
from airgate.client.tally import CallTally
from airgate.client.tracing import TraceObserver
from airgate.policy.outcome import NotSent

GET = Request("GET", "https://gw.test:8443/orders/7?api_key=s3cr3t&page=2", {"A": "b"}, route="/orders/{order}")
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(00|01)")


def answer(status: int = 200) -> Response:
    return Response(status, headers_of(), b"{}", "GET", "https://gw.test/")


def end(seconds: float = 0.1, error: str | None = None, attempts: int = 1, **kwargs) -> CallEnd:
    return CallEnd("GET", "https://gw.test/", "/", 200, error, attempts, 0.0, seconds, 10, **kwargs)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """An SDK that keeps the spans; not the process-wide one, which can be set only once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing.trace, "get_tracer_provider", lambda: provider)
    return exporter


def test_every_request_has_a_trace_header_without_an_sdk() -> None:
    """A service can tie the attempts of a session together even where nobody records spans."""
    observer = TraceObserver()
    found = [TRACEPARENT.fullmatch(observer.attempt_started(GET, "/", n).headers["traceparent"]) for n in (1, 2)]
    assert found[0]
    assert found[1]
    assert found[0][1] == found[1][1]
    assert found[0][2] != found[1][2]


def test_a_header_of_the_caller_stays() -> None:
    """Who passes a trace on by hand is not overruled."""
    request = GET.with_headers({"Traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
    assert TraceObserver().attempt_started(request, "/", 1).headers == {}


def test_each_attempt_is_a_client_span_under_the_current_one(spans: InMemorySpanExporter) -> None:
    """By the HTTP conventions; the header names the attempt's own span, and no query string is recorded."""
    observer = TraceObserver()
    task = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(task):
        first = observer.attempt_started(GET, "/orders/{order}", 1)
        assert trace.get_current_span() is task
        first.ended(answer(503))
        second = observer.attempt_started(GET, "/orders/{order}", 2)
        second.ended(answer())
    failed, good = spans.get_finished_spans()
    assert [failed.name, failed.kind, failed.parent.span_id] == ["GET /orders/{order}", SpanKind.CLIENT, 0xDEF]
    assert dict(failed.attributes) == {
        "http.request.method": "GET",
        "url.full": "https://gw.test:8443/orders/7",
        "url.template": "/orders/{order}",
        "server.address": "gw.test",
        "server.port": 8443,
        "http.response.status_code": 503,
        "http.response.body.size": 2,
        "error.type": "503",
    }
    assert failed.status.status_code is StatusCode.ERROR
    assert good.attributes["http.request.resend_count"] == 1
    assert good.status.status_code is StatusCode.UNSET
    for attempt, span in ((first, failed), (second, good)):
        assert TRACEPARENT.fullmatch(attempt.headers["traceparent"])[2] == f"{span.context.span_id:016x}"


@pytest.mark.parametrize(("outcome", "kind"), [(NotSent("refused"), "NotSent"), (None, "Abandoned")])
def test_a_span_ends_whatever_happens(spans: InMemorySpanExporter, outcome, kind: str) -> None:
    """No answer, or a call that was cancelled, is an error of a low-cardinality type."""
    TraceObserver().attempt_started(GET, "/", 1).ended(outcome)
    [span] = spans.get_finished_spans()
    assert span.attributes["error.type"] == kind


def test_a_thread_without_a_span_uses_the_observers_home(spans: InMemorySpanExporter) -> None:
    """Threads start with an empty context; their calls still belong to the task."""
    task = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(task):
        observer = TraceObserver()
    thread = threading.Thread(target=lambda: observer.attempt_started(GET, "/", 1).ended(answer()))
    thread.start()
    thread.join()
    [span] = spans.get_finished_spans()
    assert (span.context.trace_id, span.parent.span_id) == (0xABC, 0xDEF)


def test_several_observers_are_told_in_order() -> None:
    """Each hears everything; of the headers, the later observer's stand."""
    heard: list[tuple[str, object]] = []

    class Loud(NullObserver):
        def __init__(self, name: str) -> None:
            self.name = name
            self.headers = {"X-Who": name, f"X-{name}": "1"}

        def attempt_started(self, request, route, attempt):
            heard.append((self.name, attempt))
            return self

        def ended(self, outcome) -> None:
            heard.append((self.name, outcome))

        def waited(self, seconds, why) -> None:
            heard.append((self.name, why))

        def call_ended(self, end) -> None:
            heard.append((self.name, end))

        def circuit(self, route, state) -> None:
            heard.append((self.name, state))

    both, over = Observers(Loud("a"), NullObserver(), Loud("b")), end()
    attempt = both.attempt_started(GET, "/", 1)
    assert attempt.headers == {"X-Who": "b", "X-a": "1", "X-b": "1"}
    attempt.ended(None)
    both.waited(1, "backoff")
    both.call_ended(over)
    both.circuit("/", "open")
    assert heard == [(name, what) for what in (1, None, "backoff", over, "open") for name in "ab"]


def test_no_observer_costs_no_header() -> None:
    """Observers that care for the end only leave the request alone."""
    assert dict(Observers(CallTally(), NullObserver()).attempt_started(GET, "/", 1).headers) == {}


def test_a_tally_of_nothing_is_all_zero() -> None:
    """A task that made no call has a summary, too."""
    summary = CallTally().summary()
    assert (summary["calls"], summary["retries"], summary["latency"]["p99"]) == (0, 0, 0.0)


def test_a_tally_sums_up_the_calls_of_all_threads() -> None:
    """Counts are exact; quantiles are above the true ones by a fifth at the most."""
    tally = CallTally()

    def work(offset: int) -> None:
        for n in range(offset, 1000, 4):
            tally.waited(0.5, "backoff" if n % 2 else "limit")
            tally.call_ended(end((n + 1) / 1000, "NotFound" if n % 10 == 0 else None, 1 + n % 2, request_id=f"r{n}"))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summary = tally.summary()
    latency = summary.pop("latency")
    assert len(summary.pop("request_ids")) == 5
    assert summary == {
        "version": 1,
        "calls": 1000,
        "failed": 100,
        "errors": {"NotFound": 100},
        "attempts": 1500,
        "retries": 500,
        "waited": 500.0,
        "waits": {"backoff": 250.0, "limit": 250.0},
        "received": 10_000,
    }
    for name, true in {"p50": 0.5, "p95": 0.95, "p99": 0.99}.items():
        assert true <= latency[name] <= true * 1.2
    assert latency["max"] == 1.0


def test_a_call_that_sent_nothing_takes_no_retry_away() -> None:
    """Retries are counted call by call."""
    tally = CallTally()
    tally.call_ended(end(attempts=0, error="CircuitOpen"))
    tally.call_ended(end(attempts=3))
    assert tally.summary()["retries"] == 2
