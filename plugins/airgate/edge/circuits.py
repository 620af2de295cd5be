"""The circuit breaker of each server, in this process: a server that keeps failing is left alone for a while."""

import time
from collections.abc import Callable

from airgate.policy import breaker
from airgate.policy.breaker import Admission, BreakerSettings, Circuit, Probe

_FAILURES = frozenset({502, 503, 504})


class Circuits:
    """One circuit for each server alias. What counts as a failure is no answer, or one that speaks for a server behind.

    Args:
        settings: When circuits open and close.
        clock: Seconds, never set back.
    """

    def __init__(self, settings: BreakerSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._well: dict[str, tuple[float, int]] = {}

    def admit(self, server: str) -> Admission:
        """Whether a call may be made now."""
        before = self._circuits.get(server)
        if before is None or not before.open_until:
            return breaker.Closed()
        after, admission = breaker.admit(before, self._settings, self._clock())
        self._circuits[server] = after
        return admission

    def report(self, server: str, admission: Admission, status: int | None) -> None:
        """Tell what became of an admitted call: its status, or None when no answer came."""
        now = self._clock()
        failed = status is None or status in _FAILURES
        if not failed and not isinstance(admission, Probe):
            self._count_success(server, now)
            return
        self._flush(server)
        before = self._circuits.get(server, Circuit())
        self._circuits[server] = breaker.report(
            before, self._settings, now, int(not failed), int(failed), isinstance(admission, Probe)
        )

    def _count_success(self, server: str, now: float) -> None:
        """Count what goes well in bunches: it is most of the calls, and decides nothing until one fails."""
        since, count = self._well.get(server, (now, 0))
        if count and now - since > self._settings.window / breaker.BUCKETS:
            self._flush(server)
            since, count = now, 0
        self._well[server] = (since, count + 1)

    def _flush(self, server: str) -> None:
        since, count = self._well.pop(server, (0.0, 0))
        if count:
            before = self._circuits.get(server, Circuit())
            self._circuits[server] = breaker.report(before, self._settings, since, count, 0, probe=False)

    def withdraw(self, server: str, admission: Admission) -> None:
        """Give back a call whose end says nothing about the server, such as one that the client gave up."""
        if isinstance(admission, Probe) and server in self._circuits:
            self._circuits[server] = breaker.withdraw(self._circuits[server])
