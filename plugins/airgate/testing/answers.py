"""What a fake gateway can be told to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airgate.policy.outcome import NotSent, Unanswered
from airgate.testing.recorded import RecordedRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, sent as it is."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: float = 0.0
    """Seconds until it comes, on the test's clock; beyond the connection's ``read_timeout`` it never comes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """No answer at all."""

    outcome: NotSent | Unanswered
    takes: float | None = 0.0
    """Seconds until the caller knows, on the test's clock; None for as long as the caller has patience."""


Scripted = Answer | Fault | Mapping[str, Any] | list[Any] | int | Callable[[RecordedRequest], Any]
"""An answer or a fault; an object or a list is sent as JSON with status 200, a number as a status without a body; a
function is given the request and returns any of these."""


def json_answer(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, takes: float = 0.0
) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, msgspec.json.encode(value), {"Content-Type": "application/json", **(headers or {})}, takes)


def rate_limited(retry_after: float | str = 1) -> Answer:
    """429 with ``Retry-After``: whole seconds, or an HTTP date as text.

    Raises:
        ValueError: The header cannot say it (RFC 9110, 10.2.3), so that a caller would pass it over.
    """
    if isinstance(retry_after, str):
        return Answer(429, headers={"Retry-After": retry_after})
    if retry_after < 0 or retry_after != int(retry_after):
        raise ValueError(f"Retry-After is said in whole seconds, not {retry_after}")
    return Answer(429, headers={"Retry-After": str(int(retry_after))})


def unavailable(retry_after: int | None = None) -> Answer:
    """503, with ``Retry-After`` where seconds are given."""
    return Answer(503, headers={} if retry_after is None else {"Retry-After": str(retry_after)})


def refused() -> Fault:
    """No connection: the request provably never left."""
    return Fault(NotSent("connection refused or host not found"))


def cut() -> Fault:
    """The request arrived, the answer broke off: nobody knows whether it took effect."""
    return Fault(Unanswered("the answer broke off"))


def timeout() -> Fault:
    """The request arrived, no answer comes; the caller waits for its ``read_timeout``."""
    return Fault(Unanswered("no answer in time"), takes=None)


def answer_of(scripted: Scripted, request: RecordedRequest) -> Answer | Fault:
    """The answer that a scripted value stands for.

    Raises:
        TypeError: When it stands for none.
    """
    if callable(scripted):
        scripted = scripted(request)
    if isinstance(scripted, (Answer, Fault)):
        return scripted
    if isinstance(scripted, int) and not isinstance(scripted, bool):
        return Answer(scripted)
    if isinstance(scripted, (Mapping, list)):
        return json_answer(scripted)
    raise TypeError(
        f"{request.method} {request.path} cannot be answered with {type(scripted).__name__}: give an Answer, a fault, "
        "an object or list for JSON, or a status"
    )
