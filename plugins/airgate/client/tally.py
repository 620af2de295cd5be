"""The sums of many calls: how many, how often again, how long."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from airgate.client.observer import CallEnd, NullObserver, Why

_PER_DOUBLING = 4
"""Buckets per doubling of the latency: a quantile is at most a fifth (2 ** 1/4) above the true one."""
_SMALLEST = 0.001
"""Seconds; what is faster counts as this."""
_REQUEST_IDS = 5


class CallTally(NullObserver):
    """Adds up the calls that report to it; threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._attempts = 0
        self._retries = 0
        self._received = 0
        self._slowest = 0.0
        self._waits: dict[str, float] = {}
        self._errors: Counter[str] = Counter()
        self._latencies: Counter[int] = Counter()
        self._request_ids: list[str] = []

    def waited(self, seconds: float, why: Why) -> None:
        """Add a wait."""
        with self._lock:
            self._waits[why] = self._waits.get(why, 0.0) + seconds

    def call_ended(self, end: CallEnd) -> None:
        """Add a call."""
        bucket = _bucket(end.seconds)
        with self._lock:
            self._calls += 1
            self._attempts += end.attempts
            self._retries += max(0, end.attempts - 1)
            self._received += end.received
            self._slowest = max(self._slowest, end.seconds)
            self._latencies[bucket] += 1
            if end.error is not None:
                self._errors[end.error] += 1
            if end.request_id:
                self._request_ids = [*self._request_ids[1 - _REQUEST_IDS :], end.request_id]

    def state(self) -> dict[str, Any]:
        """All sums as JSON, for ``add``."""
        with self._lock:
            return {
                "calls": self._calls,
                "attempts": self._attempts,
                "retries": self._retries,
                "received": self._received,
                "slowest": self._slowest,
                "waits": dict(self._waits),
                "errors": dict(self._errors),
                "latencies": [[bucket, count] for bucket, count in sorted(self._latencies.items())],
                "request_ids": list(self._request_ids),
            }

    def add(self, state: Mapping[str, Any]) -> None:
        """Add what ``state`` gave: the sums of calls that were made before, in another process."""
        with self._lock:
            self._calls += state["calls"]
            self._attempts += state["attempts"]
            self._retries += state["retries"]
            self._received += state["received"]
            self._slowest = max(self._slowest, state["slowest"])
            for why, seconds in state["waits"].items():
                self._waits[why] = self._waits.get(why, 0.0) + seconds
            self._errors.update(state["errors"])
            self._latencies.update(dict(state["latencies"]))
            self._request_ids = [*state["request_ids"], *self._request_ids][-_REQUEST_IDS:]

    def summary(self) -> dict[str, Any]:
        """All sums as JSON, for the XCom ``airgate_calls``; times are seconds.

        ``calls``, ``failed`` and ``errors`` (by kind), ``attempts`` and ``retries`` (attempts beyond each call's
        first), ``waited`` and ``waits`` (by reason), ``received`` bytes, ``latency`` of whole calls with ``p50``,
        ``p95``, ``p99`` and ``max``, and the last ``request_ids``.
        """
        with self._lock:
            return {
                "version": 1,
                "calls": self._calls,
                "failed": self._errors.total(),
                "errors": dict(self._errors),
                "attempts": self._attempts,
                "retries": self._retries,
                "waited": round(math.fsum(self._waits.values()), 3),
                "waits": {why: round(seconds, 3) for why, seconds in self._waits.items()},
                "received": self._received,
                "latency": {f"p{share}": self._quantile(share / 100) for share in (50, 95, 99)}
                | {"max": round(self._slowest, 3)},
                "request_ids": list(self._request_ids),
            }

    def _quantile(self, share: float) -> float:
        """The upper bound of the bucket in which the quantile lies, no more than the slowest call."""
        rank, seen = math.ceil(share * self._calls), 0
        for bucket in sorted(self._latencies):
            seen += self._latencies[bucket]
            if seen >= rank:
                bound: float = _SMALLEST * 2.0 ** (bucket / _PER_DOUBLING)
                return round(min(bound, self._slowest), 3)
        return 0.0


def _bucket(seconds: float) -> int:
    return math.ceil(_PER_DOUBLING * math.log2(seconds / _SMALLEST)) if seconds > _SMALLEST else 0
