"""What can come of one attempt to send a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer came back."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Looked up case-insensitively by HTTP's rules; a plain dict must use lower-case names."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never reached its server: no token, no name resolved, no TCP or TLS connection."""

    reason: str
    retry_after: float | None = None
    """Seconds to wait, where a token endpoint named them."""
    lasting: bool = False
    """Whether it will not be otherwise in a moment, as with a certificate that is not trusted."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The request, or a part of it, was sent and no whole answer came back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An answer came that cannot be taken in, such as one beyond the size limit; asking again would bring it again."""

    status: int
    reason: str


Outcome = Answered | NotSent | Unanswered
