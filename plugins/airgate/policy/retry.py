"""Whether to send a request again, and when: a pure decision over what happened.

A write is sent again only when that cannot repeat its effect: its method is idempotent (RFC 9110, 9.2.2), it carries an
idempotency key, it provably never left, or the server refused to take it up (429; 425, RFC 8470).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from airgate.policy.outcome import Answered, NotSent, Outcome, Unusable

_FOR_EVER = 366 * 86_400.0
"""Seconds; what a server asks for beyond this is read as this."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often and how patiently a call is repeated. Times are seconds."""

    attempts: int = 5
    """Requests sent at the most, the first one included; 1 switches retrying off."""
    backoff: float = 0.5
    """Upper bound of the first random wait; it doubles with every further attempt."""
    backoff_cap: float = 30.0
    """Upper bound of any random wait. A wait that the server names is not capped."""
    deadline: float = 300.0
    """Total time of the call over all attempts and waits; 0 means none."""
    max_inline_wait: float = 10.0
    """Longest wait spent inside the process. A longer one ends the call with a retryable error naming the wait."""
    budget: float = 0.2
    """Retries that each call adds to what all calls of a process share; 0 means that retries are not budgeted."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, not {self.attempts}")
        for name in ("backoff", "backoff_cap", "deadline", "max_inline_wait", "budget"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is final: a success, or a refusal that no repetition changes."""


@dataclass(frozen=True, slots=True)
class Again:
    """Wait ``delay`` seconds and send the request once more."""

    delay: float


@dataclass(frozen=True, slots=True)
class Later:
    """Another try is right, but the wait of ``delay`` seconds is too long to spend inside the process."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Send nothing more within this call."""

    retryable: bool
    """Whether a later call, such as the next try of an Airflow task, may repeat the request."""
    retry_after: float | None = None
    deadline_passed: bool = False


Decision = Done | Again | Later | GiveUp


def decide(
    settings: RetrySettings,
    *,
    method: str,
    keyed: bool,
    outcome: Outcome,
    attempt: int,
    remaining: float | None,
    now: float,
    jitter: float,
    in_doubt: bool = False,
) -> Decision:
    """Decide what follows an attempt.

    Args:
        settings: The limits that apply.
        method: HTTP method, upper case.
        keyed: Whether the request carries an idempotency key that the service honours.
        outcome: What came of the attempt.
        attempt: Number of the attempt, from 1.
        remaining: Seconds left until the call's deadline, or None without one.
        now: Unix time in seconds, to read a ``Retry-After`` date.
        jitter: A random number from 0 to 1 that spreads the waits (full jitter).
        in_doubt: Whether an earlier attempt may have reached the service: a conflict under an idempotency key then is
            its word that it still works on that one.
    """
    busy = in_doubt and keyed and isinstance(outcome, Answered) and outcome.status == HTTPStatus.CONFLICT
    if isinstance(outcome, Answered) and outcome.status not in TRANSIENT_STATUSES and not busy:
        return Done()
    if not (harmless(method, keyed) or not leaves_doubt(outcome)):
        return GiveUp(retryable=False)
    asked = _asked(outcome, now)
    if attempt >= settings.attempts or (isinstance(outcome, NotSent) and outcome.lasting):
        return GiveUp(retryable=True, retry_after=asked)
    ceiling = min(settings.backoff_cap, settings.backoff * 2.0 ** min(attempt - 1, 64))
    # The server's wait is a floor: jitter comes on top, so that callers told the same second do not return together.
    delay = ceiling * jitter if asked is None else asked + min(ceiling, 1.0) * jitter
    if delay > settings.max_inline_wait:
        return Later(delay)
    if remaining is not None and delay >= remaining:
        return GiveUp(retryable=True, retry_after=asked, deadline_passed=True)
    return Again(delay)


def harmless(method: str, keyed: bool) -> bool:
    """Whether sending such a request twice does no more than sending it once."""
    return keyed or method in IDEMPOTENT_METHODS


def leaves_doubt(outcome: Outcome | Unusable) -> bool:
    """Whether the request may have had its effect although no success came of it.

    Not when it never left, nor when the service refused it: 4xx, but for 408, which a gateway may say of a request
    that it has handed on.
    """
    if isinstance(outcome, Answered):
        return not 400 <= outcome.status < 500 or outcome.status == HTTPStatus.REQUEST_TIMEOUT
    return not isinstance(outcome, NotSent)


def _asked(outcome: Outcome, now: float) -> float | None:
    """Seconds that the other side asks to wait."""
    if isinstance(outcome, Answered):
        return retry_after(outcome.headers, now)
    return outcome.retry_after if isinstance(outcome, NotSent) else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110, 10.2.3), None without a usable one.

    Both forms are read: a number of seconds and an HTTP date. A date in the past means 0.
    """
    value = (headers.get("retry-after") or "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _FOR_EVER)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(0.0, date.timestamp() - now), _FOR_EVER)


def describe(outcome: Outcome) -> str:
    """The outcome in a few words, for a log line or an error."""
    if not isinstance(outcome, Answered):
        return outcome.reason
    try:
        return f"{outcome.status} {HTTPStatus(outcome.status).phrase}"
    except ValueError:
        return str(outcome.status)
