"""A circuit breaker: a route whose service is down is left alone for a while, then tried with a few calls.

The state of a circuit is a small value that all processes share; what happens to it is decided here, by pure functions,
and a store only makes the change atomic. What counts as a failure is the caller's decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import msgspec

BUCKETS = 10
"""Parts in which the window is forgotten, one after the other."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a circuit opens, and how it closes again."""

    failures: int = 10
    """Failed calls within the window before the circuit may open; at least 1."""
    share: float = 0.5
    """Share of the calls within the window that must have failed, above 0 and up to 1."""
    window: float = 30.0
    """Seconds over which calls are counted."""
    cooldown: float = 30.0
    """Seconds for which an open circuit lets nobody through; also how long a probe's result is waited for."""
    probes: int = 1
    """Calls let through at the same time after the cooldown, and successes in a row that close the circuit."""

    def __post_init__(self) -> None:
        for name, least in (("failures", 1), ("probes", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"breaker.{name} must be a whole number of at least {least}, not {value!r}")
        for name in ("share", "window", "cooldown"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"breaker.{name} must be a number above 0, not {value!r}")
        if self.share > 1:
            raise ValueError(
                f"breaker.share must be between 0 and 1, such as 0.5 for half of the calls, not {self.share}"
            )


@dataclass(frozen=True, slots=True)
class Closed:
    """The call may go through."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The call may go through, and its result decides whether the circuit closes: report it with ``probe=True``."""


@dataclass(frozen=True, slots=True)
class Open:
    """The call must not be sent."""

    retry_after: float
    """Seconds until it makes sense to ask again."""


Admission = Closed | Probe | Open


class Breaker(Protocol):
    """Circuits that callers in many threads and processes share."""

    def rest(self, key: str, settings: BreakerSettings) -> float:
        """Seconds until it makes sense to ask for admission, 0 for now; changes nothing.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """

    def admit(self, key: str, settings: BreakerSettings) -> Admission:
        """Whether a call may be sent now.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """

    def withdraw(self, key: str, settings: BreakerSettings) -> None:
        """Give back a ``Probe`` that was never sent, so that another call may be one.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """

    def report(self, key: str, settings: BreakerSettings, ok: bool, probe: bool) -> None:
        """Tell what became of an admitted call.

        Args:
            key: The circuit, as it was asked for.
            settings: The same as for ``admit``.
            ok: Whether the service answered as a service does.
            probe: Whether ``admit`` gave a ``Probe``.

        Raises:
            StoreUnavailable: The store cannot be asked.
        """


class Count(msgspec.Struct, frozen=True, array_like=True):
    """Calls that ended within one part of the window."""

    number: int
    ok: int
    failed: int


class Circuit(msgspec.Struct, frozen=True, array_like=True):
    """The state of one circuit. Times are seconds on the store's clock."""

    counts: tuple[Count, ...] = ()
    open_until: float = 0.0
    """0 while the circuit is closed; in the past while it is tried with probes."""
    probes: tuple[float, ...] = ()
    """When each probe under way is given up."""
    succeeded: int = 0
    """Probes that succeeded since the cooldown."""


def admit(circuit: Circuit, settings: BreakerSettings, now: float) -> tuple[Circuit, Admission]:
    """Whether a call may be sent, and the state after that."""
    if not circuit.open_until:
        return circuit, Closed()
    # A clock that was set back must not keep a circuit open for longer than a cooldown.
    left = min(circuit.open_until - now, settings.cooldown)
    if left > 0:
        return circuit, Open(left)
    probes = tuple(until for until in circuit.probes if now < until <= now + settings.cooldown)
    if len(probes) >= settings.probes:
        return circuit, Open(min(1.0, max(0.001, min(probes) - now)))
    return _with(circuit, probes=(*probes, now + settings.cooldown)), Probe()


def withdraw(circuit: Circuit) -> Circuit:
    """The state without the probe that was admitted last."""
    return _with(circuit, probes=tuple(sorted(circuit.probes)[:-1])) if circuit.probes else circuit


def report(circuit: Circuit, settings: BreakerSettings, now: float, ok: int, failed: int, probe: bool) -> Circuit:
    """The state after calls have ended.

    Args:
        circuit: The state before.
        settings: When it opens and closes.
        now: The store's clock.
        ok: How many succeeded.
        failed: How many failed.
        probe: Whether it is the one result of a probe.
    """
    if circuit.open_until:
        if not probe:
            return circuit  # begun before the circuit opened: says nothing new
        if failed:
            return Circuit(open_until=now + settings.cooldown)
        succeeded = circuit.succeeded + 1
        if succeeded >= settings.probes:
            return Circuit()
        return _with(circuit, succeeded=succeeded, probes=tuple(sorted(circuit.probes)[1:]))
    number = int(now / settings.window * BUCKETS)
    counts = {count.number: count for count in circuit.counts if number - BUCKETS < count.number <= number}
    before = counts.get(number, Count(number, 0, 0))
    counts[number] = Count(number, before.ok + ok, before.failed + failed)
    all_ok, all_failed = sum(each.ok for each in counts.values()), sum(each.failed for each in counts.values())
    if failed and all_failed >= settings.failures and all_failed >= settings.share * (all_ok + all_failed):
        return Circuit(open_until=now + settings.cooldown)
    return Circuit(counts=tuple(counts.values()))


def _with(circuit: Circuit, **changes: Any) -> Circuit:
    return msgspec.structs.replace(circuit, **changes)


def parse_breaker(value: Mapping[str, Any]) -> BreakerSettings:
    """Read the ``breaker`` field of a connection, such as ``{"failures": 5, "cooldown": 10}``.

    Raises:
        ValueError: Names the field that cannot be read, and what it should be.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"breaker must be an object such as {{}} or {{'failures': 5}}, not {type(value).__name__}")  # noqa: TRY004
    names = [field.name for field in fields(BreakerSettings)]
    if unknown := sorted(str(name) for name in value if name not in names):
        raise ValueError(f"breaker: unknown field {', '.join(unknown)}; there are {', '.join(names)}")
    return replace(BreakerSettings(), **value)
