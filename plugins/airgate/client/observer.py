"""Who is told of a call's course: attempts, waits, the end. Observers look on; they never change what happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from airgate.client.effects import Reply
from airgate.client.message import Request

Why = Literal["backoff", "retry_after", "limit", "pace", "circuit"]
"""What a wait was for: a random pause, the server's word, our own shared limit, a server's limit nearly used up, an
open circuit."""

CircuitState = Literal["closed", "half_open", "open"]
"""How an attempt found its route's circuit breaker."""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended. Times are seconds."""

    method: str
    url: str
    """Redacted."""
    route: str
    """Path template, never a filled-in path; empty where none is known."""
    status: int | None
    """Of the last answer, None when none came."""
    error: str | None
    """Name of the error's class, None after a success."""
    attempts: int
    """Requests sent."""
    waited: float
    seconds: float
    """From the call's begin to its end, waits included."""
    received: int
    """Bytes of the last answer's body."""
    request_id: str | None = None


class Attempt(Protocol):
    """One request on its way."""

    @property
    def headers(self) -> Mapping[str, str]:
        """To be added to the request, before it is signed."""
        ...

    def ended(self, outcome: Reply | None) -> None:
        """Say what came of it; None when the call was abandoned meanwhile."""
        ...


class Observer(Protocol):
    """Looks on. Calls of several threads may report to one observer."""

    def attempt_started(self, request: Request, route: str, attempt: int) -> Attempt:
        """A request is about to be sent; ``attempt`` counts from 1."""
        ...

    def waited(self, seconds: float, why: Why) -> None:
        """The call paused."""
        ...

    def call_ended(self, end: CallEnd) -> None:
        """The call is over, well or badly."""
        ...

    def circuit(self, route: str, state: CircuitState) -> None:
        """How an attempt found the circuit of its route: said for every attempt where there is a circuit breaker."""
        ...


class NullAttempt:
    """Adds nothing, tells nobody."""

    __slots__ = ()
    headers: Mapping[str, str] = {}

    def ended(self, outcome: Reply | None) -> None:
        """Nothing to do."""


class NullObserver:
    """Sees nothing: the default, and a base for observers that care for some of the events."""

    _ATTEMPT = NullAttempt()

    def attempt_started(self, request: Request, route: str, attempt: int) -> Attempt:
        """Nothing to add."""
        return self._ATTEMPT

    def waited(self, seconds: float, why: Why) -> None:
        """Nothing to do."""

    def call_ended(self, end: CallEnd) -> None:
        """Nothing to do."""

    def circuit(self, route: str, state: CircuitState) -> None:
        """Nothing to do."""


class Observers:
    """Several observers as one, told in order."""

    def __init__(self, *observers: Observer) -> None:
        self._all = observers
        # Every attempt passes here: the ones that only count at the end are not asked.
        self._of_attempts = tuple(
            each
            for each in observers
            if getattr(type(each), "attempt_started", None) is not NullObserver.attempt_started
        )

    def attempt_started(self, request: Request, route: str, attempt: int) -> Attempt:
        """Tell all; later observers' headers replace earlier ones."""
        if len(self._of_attempts) == 1:
            return self._of_attempts[0].attempt_started(request, route, attempt)
        return _Attempts([each.attempt_started(request, route, attempt) for each in self._of_attempts])

    def waited(self, seconds: float, why: Why) -> None:
        """Tell all."""
        for each in self._all:
            each.waited(seconds, why)

    def call_ended(self, end: CallEnd) -> None:
        """Tell all."""
        for each in self._all:
            each.call_ended(end)

    def circuit(self, route: str, state: CircuitState) -> None:
        """Tell all."""
        for each in self._all:
            each.circuit(route, state)


class _Attempts:
    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = attempts

    @property
    def headers(self) -> Mapping[str, str]:
        return {name: value for each in self._attempts for name, value in each.headers.items()}

    def ended(self, outcome: Reply | None) -> None:
        for each in self._attempts:
            each.ended(outcome)
