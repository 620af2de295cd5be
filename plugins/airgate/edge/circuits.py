"""The circuit breaker of each server, in this process: a server that keeps failing is left alone for a while."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airgate.policy import breaker
from airgate.policy.breaker import Admission, BreakerSettings, Circuit, Probe

_FAILURES = frozenset({502, 503, 504})


@dataclass(slots=True)
class _Server:
    """A circuit, and successes that are not counted in it yet: how many, and since when."""

    circuit: Circuit = field(default_factory=Circuit)
    well: int = 0
    since: float = 0.0


class Circuits:
    """One circuit for each server alias. What counts as a failure is no answer, or one that speaks for a server behind.

    Args:
        settings: When circuits open and close.
        clock: Seconds, never set back.
    """

    def __init__(self, settings: BreakerSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._servers: dict[str, _Server] = {}

    def take_over(self, earlier: "Circuits", servers: Iterable[str]) -> None:
        """Share the circuits of some servers with those of an earlier file; other settings begin anew."""
        if earlier._settings == self._settings:
            self._servers = {server: earlier._server(server) for server in servers}

    def admit(self, server: str) -> Admission:
        """Whether a call may be made now."""
        known = self._servers.get(server)
        if known is None or not known.circuit.open_until:
            return breaker.Closed()
        known.circuit, admission = breaker.admit(known.circuit, self._settings, self._clock())
        return admission

    def report(self, server: str, admission: Admission, status: int | None) -> None:
        """Tell what became of an admitted call: its status, or None when no answer came."""
        now = self._clock()
        known = self._server(server)
        failed = status is None or status in _FAILURES
        if not failed and not isinstance(admission, Probe):
            self._count_success(known, now)
            return
        self._flush(known)
        known.circuit = breaker.report(
            known.circuit, self._settings, now, int(not failed), int(failed), isinstance(admission, Probe)
        )

    def withdraw(self, server: str, admission: Admission) -> None:
        """Give back a call whose end says nothing about the server, such as one that the client gave up."""
        if isinstance(admission, Probe):
            known = self._server(server)
            known.circuit = breaker.withdraw(known.circuit)

    def _server(self, server: str) -> _Server:
        known = self._servers.get(server)
        if known is None:
            known = self._servers[server] = _Server()
        return known

    def _count_success(self, known: _Server, now: float) -> None:
        """Count what goes well in bunches: it is most of the calls, and decides nothing until one fails."""
        if known.well and now - known.since > self._settings.window / breaker.BUCKETS:
            self._flush(known)
        if not known.well:
            known.since = now
        known.well += 1

    def _flush(self, known: _Server) -> None:
        if known.well:
            known.circuit = breaker.report(known.circuit, self._settings, known.since, known.well, 0, probe=False)
            known.well = 0
