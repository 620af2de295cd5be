"""What Airflow learns of a hook's calls: metrics, lineage, one log line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.sdk.observability import stats

from airgate.client.observer import CallEnd, CircuitState, NullObserver, Observers, Why
from airgate.client.tally import CallTally
from airgate.client.tracing import TraceObserver

if TYPE_CHECKING:
    from airflow.sdk import BaseHook

READS = frozenset({"GET", "HEAD", "OPTIONS"})
_CIRCUIT_LEVELS = {"closed": 0, "half_open": 1, "open": 2}


class AirflowObserver(NullObserver):
    """Reports to Airflow's metrics, to its lineage and to the task's log.

    Metrics go by route, which is a path template: a filled-in path would make a series of its own for every order.

    Args:
        hook: Whose calls these are.
        conn_id: Its connection.
        base_url: The gateway's address.
    """

    def __init__(self, hook: BaseHook, conn_id: str, base_url: str) -> None:
        self._hook = hook
        self._log = hook.log.bind()  # the logger itself binds anew for every line, which costs as much as the rest
        self._conn_id = conn_id
        self._circuits: dict[str, str] = {}
        split = urlsplit(base_url)
        self._address = f"{split.scheme}://{split.netloc}{split.path.rstrip('/')}"

    def waited(self, seconds: float, why: Why) -> None:
        """Count the wait."""
        tags = {"conn_id": self._conn_id, "why": why}
        stats.incr("airgate.waits", tags=tags)
        stats.timing("airgate.wait.duration", seconds * 1000, tags=tags)

    def call_ended(self, end: CallEnd) -> None:
        """Count, log and trace back the call."""
        outcome = end.error or "success"
        tags: dict[str, Any] = {
            "conn_id": self._conn_id,
            "method": end.method,
            "route": end.route or "unknown",
            "outcome": outcome,
        }
        stats.incr("airgate.calls", tags=tags)
        stats.incr("airgate.attempts", end.attempts, tags=tags)
        stats.incr("airgate.received_bytes", end.received, tags=tags)
        stats.timing("airgate.call.duration", end.seconds * 1000, tags=tags)
        (self._log.debug if getattr(self._hook, "quiet", False) else self._log.info)(
            "gateway call",
            method=end.method,
            url=end.url,
            route=end.route,
            status=end.status,
            outcome=outcome,
            attempts=end.attempts,
            waited=round(end.waited, 3),
            seconds=round(end.seconds, 3),
            received=end.received,
            request_id=end.request_id,
        )
        if end.error is None and end.route:
            self._trace_back(end)

    def circuit(self, route: str, state: CircuitState) -> None:
        """Gauge the state, 0 closed, 1 half open, 2 open, and log when it changes."""
        # Every attempt says how it found the circuit; only a change is news.
        if self._circuits.get(route, "closed") == state:
            return
        self._circuits[route] = state
        tags = {"conn_id": self._conn_id, "route": route or "unknown"}
        stats.gauge("airgate.circuit", _CIRCUIT_LEVELS[state], tags=tags)
        self._log.warning("gateway circuit", route=route, state=state)

    def _trace_back(self, end: CallEnd) -> None:
        # The template stands for all its resources: Airflow collects 100 assets a task at the most.
        uri = f"{self._address}/{end.route.lstrip('/')}"
        collector = get_hook_lineage_collector()
        if end.method in READS:
            collector.add_input_asset(self._hook, uri=uri)
        else:
            collector.add_output_asset(self._hook, uri=uri)


def observe(hook: BaseHook, conn_id: str, base_url: str, tally: CallTally) -> Observers:
    """All that look on at a hook's calls: trace, tally, Airflow."""
    return Observers(TraceObserver(), tally, AirflowObserver(hook, conn_id, base_url))
