"""The error tree of a call through a gateway.

    GatewayError
    ├── Rejected               4xx: the service understood and said no
    │   ├── Unauthorized       401, 403
    │   ├── NotFound           404, 410
    │   ├── Conflict           409
    │   └── Unprocessable      422
    ├── RateLimited            429
    ├── Unavailable            no connection, 408, 425, 5xx
    ├── OutcomeUnknown         sent, but no (whole) answer came back
    ├── DeadlineExceeded       the total time of the call is used up
    ├── CircuitOpen            not sent: the service failed too often just now
    ├── KeyReused              not sent: another request went out under this idempotency key
    ├── JobFailed              a job that was submitted ended without success
    ├── SagaClosed             not sent: the saga goes no further forward
    ├── NeedsAttention         what became of a step of a saga only a person can settle
    └── InvalidResponse        an answer that is not what was asked for

Every error carries what the person on call needs (method, URL without secrets, status, attempts, request id, an excerpt
of the answer) and what a retry policy needs (``retryable``, ``retry_after``).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CircuitOpen",
    "Conflict",
    "DeadlineExceeded",
    "GatewayError",
    "InvalidResponse",
    "JobFailed",
    "KeyReused",
    "NeedsAttention",
    "NotFound",
    "OutcomeUnknown",
    "RateLimited",
    "Rejected",
    "SagaClosed",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
    "error_for_status",
]


class GatewayError(Exception):
    """A call through the gateway did not give what was asked for.

    Args:
        reason: What came back, in a few words; must not hold a secret.
        method: HTTP method of the call.
        url: Redacted URL of the call.
        status: HTTP status of the last answer, or None when none came.
        attempts: How many requests were sent, the first one included.
        request_id: The gateway's or service's id of the last answer, if it gave one.
        retry_after: Seconds the server, or the retry policy, asks to wait before another try.
        retryable: Whether another try may succeed without repeating an effect; None takes the class's answer.
        excerpt: The beginning of the redacted answer body.
    """

    default_retryable: ClassVar[bool] = False
    advice: ClassVar[str] = ""

    def __init__(
        self,
        reason: str,
        *,
        method: str = "",
        url: str = "",
        status: int | None = None,
        attempts: int = 0,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        excerpt: str = "",
    ) -> None:
        self.reason = reason
        self.method = method
        self.url = url
        self.status = status
        self.attempts = attempts
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = self.default_retryable if retryable is None else retryable
        self.excerpt = excerpt
        self.in_doubt = False
        """Whether a request of this call may have had its effect although the call failed."""
        self.where = ""
        """Where the call stands in a longer piece of work, such as the page of a read; the message begins with it."""
        super().__init__(self._message())

    def at(self, where: str) -> None:
        """Let the message say where in a longer piece of work the call stands, instead of what it said of that before.

        Args:
            where: In a few words; must not hold a secret.
        """
        self.where = where
        self.args = (self._message(),)

    def _message(self) -> str:
        where = f"{self.where}: " if self.where else ""
        call = f"{self.method} {self.url}: " if self.method else ""
        parts = [f"{where}{call}{self.reason}"]
        if self.attempts:
            parts.append(f"after {self.attempts} attempt{'s' if self.attempts > 1 else ''}")
        if self.request_id:
            parts.append(f"request id {self.request_id}")
        if self.retry_after is not None:
            parts.append(f"retry after {self.retry_after:g} s")
        message = ", ".join(parts)
        if self.excerpt:
            message += f"; the answer began: {self.excerpt}"
        return f"{message}. {self.advice}" if self.advice else message


class Rejected(GatewayError):
    """The service understood the request and refused it (4xx); repeating it unchanged will not help."""


class Unauthorized(Rejected):
    """401 or 403: the credentials are missing, wrong, expired or not enough."""

    advice = "Check the connection's auth type, secret, issuer and audience."


class NotFound(Rejected):
    """404 or 410: no such route or resource."""

    advice = "Check the path and the gateway's routes."


class Conflict(Rejected):
    """409: the resource's state does not allow the request."""


class Unprocessable(Rejected):
    """422: the request's content is wrong."""


class RateLimited(GatewayError):
    """429: too many requests; ``retry_after`` says when the server will listen again.

    Also for a wait on the connection's own limits; then ``place`` is the call's place in line, to come back with.
    """

    default_retryable = True
    place: str = ""


class Unavailable(GatewayError):
    """The service could not be reached or said that it cannot serve now (408, 425, 5xx)."""

    default_retryable = True


class OutcomeUnknown(GatewayError):
    """The request was sent but no whole answer came back: the effect may or may not have happened.

    Retryable only for idempotent methods and for writes that carry an idempotency key.
    """

    advice = "Ask the service whether the request took effect, or send writes with an idempotency key."


class DeadlineExceeded(GatewayError):
    """The total time allowed for the call, over all its attempts, is used up."""

    advice = "Raise the connection's deadline or find out why the service is slow."


class CircuitOpen(GatewayError):
    """Nothing was sent: the route failed so often just now that the circuit breaker keeps calls away from it.

    ``retry_after`` says when a call may probe it again.
    """

    default_retryable = True


class KeyReused(GatewayError):
    """Nothing was sent: an earlier try sent another request under the same idempotency key.

    A service that honours keys would answer with the outcome of the earlier request, or refuse this one.
    """

    advice = (
        "Let every try build the same request (no clock, no random values in it); for a new effect give the call "
        "another epoch or start another run."
    )


class JobFailed(GatewayError):
    """A job that the service took up ended without success.

    ``reason`` holds the service's own words, ``excerpt`` the end of the job's log where there is one. ``retryable`` is
    what the protocol says of another submission; ``job`` the service's name of the job, ``state`` how it ended.
    """

    job: str = ""
    state: str = "failed"

    def _message(self) -> str:
        return f"{self.reason}; its log ended:\n{self.excerpt}" if self.excerpt else self.reason


class SagaClosed(GatewayError):
    """Nothing was sent: the saga is past its deadline, or is being undone or over, and goes no further forward."""


class NeedsAttention(GatewayError):
    """What became of a step of a saga nobody knows, or its undo failed for good: a person has to settle it."""


class InvalidResponse(GatewayError):
    """The answer came but is not usable: a redirect, an unexpected status, not JSON, not the promised shape.

    ``says_otherwise`` when it is a whole JSON object without what was asked for: some services tell of a failure so.
    """

    says_otherwise: bool = False


_BY_STATUS: dict[int, type[GatewayError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    422: Unprocessable,
    425: Unavailable,
    429: RateLimited,
}


def error_for_status(status: int) -> type[GatewayError]:
    """The error class that an HTTP status means to a caller who expected a success."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return Rejected
    return Unavailable if status >= 500 else InvalidResponse
