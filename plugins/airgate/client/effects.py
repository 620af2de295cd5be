"""What the course of a call wants done, and what it is told: the words between a flow and its driver."""

from __future__ import annotations

from dataclasses import dataclass

from airgate.client.message import Request, Response
from airgate.policy.outcome import NotSent, Unanswered, Unusable


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request; answer with a ``Response``, ``NotSent``, ``Unanswered`` or ``Unusable``."""

    request: Request
    timeout: float | None
    """Seconds that this attempt may take altogether, None without a limit."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait that many seconds; answer with None."""

    seconds: float


Effect = Send | Wait
Event = Response | NotSent | Unanswered | Unusable | None
