"""Figures for Prometheus: requests, their durations, reloads. Over several workers, the sum of all.

`prometheus_client` keeps the figures of each worker in files of a directory, `PROMETHEUS_MULTIPROC_DIR`, when that is
set before it is imported; whoever answers a scrape adds them up.
"""

import os
import time

from airgate.edge.visit import Visit

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class MetricsMissing(ImportError):
    """The library is not installed."""

    def __init__(self) -> None:
        super().__init__("metrics need prometheus-client: pip install 'airgate[metrics]'")


class Metrics:
    """Counts the requests of this process.

    Labels are the route as the file has it (empty where none serves the request), the method, the status (empty where
    the client left before one was sent) and the upstream's alias: a client cannot make up new ones.

    Raises:
        MetricsMissing: the library is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram
        except ImportError:
            raise MetricsMissing from None
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "airgate_edge_requests",
            "Requests that are over.",
            ("route", "method", "status", "server"),
            registry=registry,
        )
        self._seconds = Histogram(
            "airgate_edge_request_seconds",
            "From a request's headers to the last byte of its answer.",
            ("route",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._bytes = Counter("airgate_edge_sent_bytes", "Bytes of bodies sent.", ("route",), registry=registry)
        self._truncated = Counter(
            "airgate_edge_truncated", "Answers that did not come to their end.", ("route",), registry=registry
        )

    def tell(self, visit: Visit) -> None:
        """Count a request that is over."""
        route = visit.route or ""
        status = "" if visit.status is None else str(visit.status)
        self._requests.labels(route, visit.method, status, visit.server or "").inc()
        self._seconds.labels(route).observe(time.perf_counter() - visit.began)
        self._bytes.labels(route).inc(visit.sent)
        if not visit.complete:
            self._truncated.labels(route).inc()

    def flush(self) -> None:
        """Nothing waits."""


def exposed(metrics: Metrics | None) -> bytes:
    """The figures of this process as text.

    Raises:
        MetricsMissing: there are none, as the library is not installed.
    """
    if metrics is None:
        raise MetricsMissing
    from prometheus_client import generate_latest

    return generate_latest(metrics.registry)


def exposed_by_workers() -> bytes:
    """The figures of all processes of the directory, added up, as text.

    Raises:
        MetricsMissing: there are none, as the library is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector
    except ImportError:
        raise MetricsMissing from None
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ[DIRECTORY])  # type: ignore[no-untyped-call]
    return generate_latest(registry)
