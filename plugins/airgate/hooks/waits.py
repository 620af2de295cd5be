"""Waits that are too long to spend in a worker, and the deadline that spans the tries of a task."""

from __future__ import annotations

from typing import Any, Literal

from airgate.client import clock
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


class TaskDeadline:
    """When a task must be over, the same in every try until the task is cleared.

    Args:
        context: The task's; only a clear changes ``max_tries``.
        seconds: From the first try on; 0 without a limit.
    """

    def __init__(self, context: Any, seconds: float) -> None:
        self._store = context["task_state_store"]
        self._max_tries = context["ti"].max_tries
        self._again = getattr(context["ti"], "try_number", 1) > 1
        self._seconds = seconds
        self._at: float | None = None
        self.attempts = 0
        """Requests sent since the try began, long waits included."""
        self.place = ""
        """In the line of the gateway's own limits, where an earlier wait for them ended the call."""

    def start(self, *, resumed: bool) -> float | None:
        """The Unix time by which the call must be over, None for the connection's setting.

        Args:
            resumed: Whether the same try goes on after a long wait.
        """
        stored = self._store.get(_KEY) if resumed or self._seconds or self._again else None
        if stored is not None and stored["max_tries"] == self._max_tries:
            self._at = stored["deadline"] if self._seconds else None
            self.attempts = stored["attempts"] if resumed else 0
            self.place = stored.get("place", "")
        elif self._seconds:
            self._at = clock.now() + self._seconds
            self._save()
        return self._at

    def count(self, attempts: int, place: str) -> None:
        """Add the requests that a call sent, and remember its place in line; stored before a long wait."""
        self.attempts += attempts
        self.place = place
        self._save()

    def leaves(self, wait: float, error: GatewayError) -> None:
        """Refuse a wait that ends behind the deadline.

        Raises:
            DeadlineExceeded: It does.
        """
        refuse_beyond(self._at, wait, error, self.attempts)

    def _save(self) -> None:
        self._store.set(
            _KEY,
            {
                "version": _VERSION,
                "deadline": self._at,
                "max_tries": self._max_tries,
                "attempts": self.attempts,
                "place": self.place,
            },
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
        context = running_context() if gateway.task_deadline else None
        if context is None:
            return
        self._store, ti = context["task_state_store"], context["ti"]
        self._slot = f"{_KEY}:{digest((request.method, request.url))[:16]}"
        self._max_tries = ti.max_tries
        earlier = self._store.get(self._slot) if again or ti.try_number > 1 else None
        self._stored = earlier is not None
        if earlier is not None and earlier["max_tries"] == self._max_tries:
            self.at = earlier["deadline"]
        else:
            self.at = clock.now() + gateway.task_deadline

    def missed(self, error: Exception) -> None:
        """Remember the deadline for the next try.

        Raises:
            DeadlineExceeded: The wait that the error asks for ends behind it.
        """
        if self.at is None or not isinstance(error, GatewayError) or not error.retryable:
            return
        refuse_beyond(self.at, error.retry_after or 0.0, error)
        value = {"version": _VERSION, "deadline": self.at, "max_tries": self._max_tries}
        self._store.set(self._slot, value)

    def met(self) -> None:
        """Let the same call of this try, should there be one more, begin afresh."""
        if self._stored:
            self._store.delete(self._slot)


def refuse_beyond(at: float | None, wait: float, error: GatewayError, attempts: int | None = None) -> None:
    """Refuse a wait that ends behind a deadline.

    Args:
        at: The deadline, Unix time; None or 0 for none.
        wait: Seconds.
        error: What asks for it.
        attempts: Requests sent, where there were more than the error knows of.

    Raises:
        DeadlineExceeded: It does.
    """
    if not at or clock.now() + wait < at:
        return
    late = DeadlineExceeded(
        f"{error.reason}; the wait of {wait:.0f} s ends behind the deadline",
        method=error.method,
        url=error.url,
        status=error.status,
        attempts=error.attempts if attempts is None else attempts,
        request_id=error.request_id,
    )
    late.in_doubt = error.in_doubt
    raise late from error
