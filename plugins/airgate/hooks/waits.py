"""Waits that are too long to spend in a worker, and the deadline that spans the tries of a task."""

from __future__ import annotations

from typing import Any, Literal

from airgate.client import clock
from airgate.client.fields import FIELDS
from airgate.client.gateway import Gateway
from airgate.client.message import Request
from airgate.hooks.writes import running_context
from airgate.policy.errors import DeadlineExceeded, GatewayError
from airgate.policy.idempotency import digest

LongWait = Literal["defer", "retry", "inline"]
LONG_WAITS: tuple[LongWait, ...] = ("defer", "retry", "inline")

_KEY = "airgate.deadline"
_VERSION = 1


def long_wait(error: GatewayError, gateway: Gateway) -> float | None:
    """Seconds of a wait that ended the call because it is too long to be spent inside; None when it ended otherwise."""
    wait = error.retry_after
    return wait if error.retryable and wait is not None and wait > gateway.retry.max_inline_wait else None


def spanning_seconds(gateway: Gateway, own: float | None) -> float | None:
    """Seconds that a task may take over all its tries and long waits, None without a limit.

    A deadline that someone chose, for the task or in the connection, spans all tries. The default one holds for a try
    only: Airflow's own pauses between tries, and the time until it notices a killed worker, are as long.
    """
    if own is not None:
        return own or None
    chosen = gateway.retry.deadline
    return chosen if chosen and chosen != FIELDS["deadline"].default else None


class TaskDeadline:
    """When a task must be over, the same in every try until the task is cleared.

    Args:
        context: The task's; only a clear changes ``max_tries``.
        seconds: From the first try on; None without a limit.
    """

    def __init__(self, context: Any, seconds: float | None) -> None:
        self._store = context["task_state_store"]
        self._max_tries = context["ti"].max_tries
        self._seconds = seconds
        self._at: float | None = None
        self.attempts = 0
        """Requests sent since the try began, long waits included."""

    def start(self, *, resumed: bool) -> float | None:
        """The Unix time by which the call must be over, None for the connection's setting.

        Args:
            resumed: Whether the same try goes on after a long wait.
        """
        if not resumed and self._seconds is None:
            return None
        stored = self._store.get(_KEY)
        if stored is not None and stored["max_tries"] == self._max_tries:
            self._at = stored["deadline"] if self._seconds is not None else None
            self.attempts = stored["attempts"] if resumed else 0
        elif self._seconds is not None:
            self._at = clock.now() + self._seconds
            self._save()
        return self._at

    def count(self, attempts: int) -> None:
        """Add the requests that a call sent; stored before a long wait."""
        self.attempts += attempts
        self._save()

    def leaves(self, wait: float, error: GatewayError) -> None:
        """Refuse a wait that ends behind the deadline.

        Raises:
            DeadlineExceeded: It does.
        """
        _refuse_beyond(self._at, wait, error, self.attempts)

    def _save(self) -> None:
        self._store.set(
            _KEY,
            {"version": _VERSION, "deadline": self._at, "max_tries": self._max_tries, "attempts": self.attempts},
        )


class CallDeadline:
    """When a call of task code must be over, the same in every try until the task is cleared.

    A task may make many calls and each of them has a deadline of its own, so nothing is stored before one fails.

    Args:
        gateway: Whose deadline holds.
        request: What is called; the same call of the next try is known by method and address.
        again: Whether this try has made the call before and waited since.
    """

    def __init__(self, gateway: Gateway, request: Request, *, again: bool) -> None:
        self.at: float | None = None
        """Unix time; None for the connection's setting, which holds for a try."""
        self._stored = False
        seconds = spanning_seconds(gateway, None)
        context = running_context() if seconds is not None else None
        if seconds is None or context is None:
            return
        self._store, ti = context["task_state_store"], context["ti"]
        self._slot = f"{_KEY}:{digest((request.method, request.url))[:16]}"
        self._max_tries = ti.max_tries
        earlier = self._store.get(self._slot) if again or ti.try_number > 1 else None
        self._stored = earlier is not None
        if earlier is not None and earlier["max_tries"] == self._max_tries:
            self.at = earlier["deadline"]
        else:
            self.at = clock.now() + seconds

    def missed(self, error: Exception) -> None:
        """Remember the deadline for the next try.

        Raises:
            DeadlineExceeded: The wait that the error asks for ends behind it.
        """
        if self.at is None or not isinstance(error, GatewayError) or not error.retryable:
            return
        _refuse_beyond(self.at, error.retry_after or 0.0, error, error.attempts)
        value = {"version": _VERSION, "deadline": self.at, "max_tries": self._max_tries}
        self._store.set(self._slot, value)

    def met(self) -> None:
        """Let the same call of this try, should there be one more, begin afresh."""
        if self._stored:
            self._store.delete(self._slot)


def _refuse_beyond(at: float | None, wait: float, error: GatewayError, attempts: int) -> None:
    if at is not None and clock.now() + wait >= at:
        raise DeadlineExceeded(
            f"{error.reason}; the wait of {wait:.0f} s ends behind the deadline, which holds for all tries",
            method=error.method,
            url=error.url,
            status=error.status,
            attempts=attempts,
            request_id=error.request_id,
        ) from error
