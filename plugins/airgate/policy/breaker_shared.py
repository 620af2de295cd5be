"""The circuits of a store, with what one process already knows about them."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import msgspec

from airgate.policy import breaker
from airgate.policy.breaker import Admission, BreakerSettings, Circuit, Closed, Open
from airgate.policy.json_faults import NOT_JSON

T = TypeVar("T")
Change = Callable[[Circuit, float], tuple[Circuit, T]]

REFRESH = 0.2
"""Seconds for which a process takes a circuit as closed without asking the store, and keeps successes to itself. So a
circuit that one process opens is open for all of them after this time."""


def read_circuit(stored: bytes | None) -> Circuit:
    """The circuit as a store keeps it; one that cannot be read is closed, as if nothing were known of it."""
    try:
        return msgspec.json.decode(stored, type=Circuit) if stored else Circuit()
    except NOT_JSON:
        return Circuit()


class SharedBreaker(ABC):
    """The ``Breaker`` over a store that can change one value atomically.

    While all goes well a call costs nothing but a look into a dictionary: a process asks the store a few times a
    second, and tells its successes then. A failure and a probe's result are told at once.
    """

    def __init__(self) -> None:
        self._closed_until: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._known = threading.Lock()

    @abstractmethod
    def exchange(self, key: str, change: Change[T], keep: float) -> T:
        """Change a circuit in one step for all processes.

        Args:
            key: The circuit.
            change: From the state and the store's time to the new state and the result. May be called several times;
                the same state back means that nothing changes.
            keep: Seconds after which an untouched circuit may be forgotten.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """

    def rest(self, key: str, settings: BreakerSettings) -> float:
        """Seconds until it makes sense to ask for admission; see ``Breaker``."""
        if self._closed_until.get(key, 0.0) > time.monotonic():
            return 0.0

        def look(circuit: Circuit, now: float) -> tuple[Circuit, float]:
            _, admission = breaker.admit(circuit, settings, now)
            return circuit, admission.retry_after if isinstance(admission, Open) else 0.0

        return self.exchange(key, look, 0.0)

    def withdraw(self, key: str, settings: BreakerSettings) -> None:
        """Give back a probe that was never sent; see ``Breaker``."""

        def change(circuit: Circuit, now: float) -> tuple[Circuit, None]:
            return breaker.withdraw(circuit), None

        self.exchange(key, change, 2 * (settings.window + settings.cooldown))

    def admit(self, key: str, settings: BreakerSettings) -> Admission:
        """Whether a call may be sent now; see ``Breaker``."""
        if self._closed_until.get(key, 0.0) > time.monotonic():
            return Closed()
        ok = self._take(key)

        def change(circuit: Circuit, now: float) -> tuple[Circuit, Admission]:
            if ok:
                circuit = breaker.report(circuit, settings, now, ok, 0, probe=False)
            return breaker.admit(circuit, settings, now)

        return self._exchange(key, settings, change)

    def report(self, key: str, settings: BreakerSettings, ok: bool, probe: bool) -> None:
        """Tell what became of an admitted call; see ``Breaker``."""
        if ok and not probe and self._closed_until.get(key, 0.0) > time.monotonic():
            with self._known:
                self._untold[key] = self._untold.get(key, 0) + 1
            return
        untold = self._take(key)

        def change(circuit: Circuit, now: float) -> tuple[Circuit, Admission]:
            if untold:
                circuit = breaker.report(circuit, settings, now, untold, 0, probe=False)
            circuit = breaker.report(circuit, settings, now, int(ok), int(not ok), probe)
            left = max(0.0, circuit.open_until - now)
            return circuit, Open(left) if circuit.open_until else Closed()

        self._exchange(key, settings, change)

    def _exchange(self, key: str, settings: BreakerSettings, change: Change[Admission]) -> Admission:
        keep = 2 * (settings.window + settings.cooldown)
        admission = self.exchange(key, change, keep)
        if isinstance(admission, Closed):
            self._closed_until[key] = time.monotonic() + REFRESH
        else:
            self._closed_until.pop(key, None)
        return admission

    def _take(self, key: str) -> int:
        with self._known:
            return self._untold.pop(key, 0)
