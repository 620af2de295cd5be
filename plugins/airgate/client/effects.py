"""What the course of a call wants done, and what it is told: the words between a flow and its driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question to the store that processes share; answer with what it returns.

    The question may block for as long as a file lock or a round trip takes, so a driver on an event loop asks it in a
    thread. What it raises ends the call.
    """

    question: Callable[[], Any]


Effect = Send | Wait | Ask
Event = Any
"""``Response | NotSent | Unanswered | Unusable`` to a Send, None to a Wait, the store's answer to an Ask."""

Reply = Response | NotSent | Unanswered | Unusable
"""What can come of a Send."""
