"""What an auth is: a generator that signs a request.

It is a generator so that an auth which must first ask a token endpoint can yield that request to whichever driver runs
the call, on a thread or on an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, runtime_checkable

from airgate.client.effects import Ask, Wait
from airgate.client.message import Request
from airgate.policy.errors import Unavailable

Signing = Generator[Request | Wait | Ask, Any, Request]
"""Yields requests that must be answered first (sent the ``Response``), waits (sent None) or blocking questions (sent
their answer); returns the signed request.

Where a request brings no answer, or one that another try may mend, the call raises ``NotSigned`` at that ``yield``: an
auth that does not catch it is asked again later. The call closes the generator when it ends early, so what is held
belongs into ``try`` and ``finally``.
"""


class Auth(Protocol):
    """Signs requests.

    One object signs for many threads and event-loop tasks at a time, and must neither block nor sleep by itself.
    """

    def sign(self, request: Request, now: float) -> Signing:
        """Sign ``request``; ``now`` is the Unix time in seconds.

        Raises:
            NotSigned: When it cannot be signed just now.
            Unauthorized: When it never will with these credentials.
        """
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        ...


@runtime_checkable
class RenewableAuth(Auth, Protocol):
    """Signs with a token that can be had anew when the gateway refuses it before its time."""

    def renew(self, request: Request) -> bool:
        """Forget the token that the refused, signed ``request`` carried; False when a new one would not help."""
        ...


@runtime_checkable
class MintingAuth(Auth, Protocol):
    """Signs with secrets that come into being later, such as tokens."""

    on_secret: Callable[[str], None] | None
    """Told of each new secret before its first use, so that logs can mask it; set by whoever knows the logs."""


class NotSigned(Unavailable):
    """The request could not be signed just now, such as while a token endpoint is down; nothing of it was sent."""


def one_line(secret: str) -> str:
    """Refuse what cannot stand in a header, such as the line break behind a token that was read from a file."""
    if not secret.isprintable() or secret != secret.strip():
        raise ValueError("the password must be one line without spaces around it, as it is sent in a header")
    return secret
