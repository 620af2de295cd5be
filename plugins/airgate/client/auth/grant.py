"""What a token endpoint answers (RFC 6749, 5), read without trust."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from airgate.client.auth.protocol import NotSigned
from airgate.client.message import Response
from airgate.policy.errors import GatewayError, InvalidResponse, Unauthorized
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import redact_text
from airgate.policy.retry import retry_after

DEFAULT_LIFETIME = 300.0
"""Seconds that a token is used when its endpoint does not say for how long it is good."""
LONGEST_LIFETIME = 30 * 86400.0
"""Seconds; a token that claims more, or for ever, is asked for anew once a month all the same."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset({"temporarily_unavailable", "server_error"})
_DESCRIPTION_CHARS = 200


@dataclass(frozen=True, slots=True)
class Grant:
    """A token and the seconds that it is good for."""

    token: str
    lifetime: float

    def __repr__(self) -> str:
        return f"Grant(lifetime={self.lifetime:g})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no token; the same reason makes one error for each call that waits for it."""

    kind: type[GatewayError]
    reason: str
    url: str
    status: int | None = None
    retry_after: float | None = None
    request_id: str | None = None

    def error(self) -> GatewayError:
        """A fresh error, as each thread that raises one writes its traceback into it."""
        return self.kind(
            self.reason,
            method="POST",
            url=self.url,
            status=self.status,
            retry_after=self.retry_after,
            request_id=self.request_id,
        )


def read_grant(reply: object, url: str, secrets: Collection[str], now: float) -> Grant | Refusal:
    """The token in the endpoint's answer, or why there is none.

    Args:
        reply: What came of the request: a ``Response``, the ``NotSigned`` that the call made of something else, or an
            outcome with a ``reason``.
        url: Of the endpoint, redacted.
        secrets: Values that an error must not repeat.
        now: Unix time in seconds.
    """
    kind: type[GatewayError]
    if isinstance(reply, NotSigned):
        return Refusal(NotSigned, redact_text(reply.reason, secrets), url, reply.status, reply.retry_after)
    if not isinstance(reply, Response):
        reason = getattr(reply, "reason", "no answer")
        kind = InvalidResponse if hasattr(reply, "status") else NotSigned
        return Refusal(kind, f"the token endpoint gave no token: {reason}", url)
    said = _members(reply.bytes)
    if reply.status == 200:
        grant = _grant(said)
        if isinstance(grant, Grant):
            return grant
        return Refusal(InvalidResponse, f"the token endpoint's answer {grant}", url, 200, None, reply.request_id)
    code = redact_text(_text(said.get("error")), secrets)
    what = f"answered {reply.status}"
    if code:
        what += f", {code}"
        if description := redact_text(_text(said.get("error_description")), secrets):
            what += f" ({description})"
    if reply.status in _TRANSIENT or code in _TRANSIENT_CODES:
        asked = retry_after(reply.headers, now)
        return Refusal(NotSigned, f"the token endpoint {what}", url, reply.status, asked, reply.request_id)
    if 300 <= reply.status < 400:
        what += ", a redirect, which is not followed: oauth_url must be the endpoint itself"
    kind = Unauthorized if 400 <= reply.status < 500 else InvalidResponse
    return Refusal(kind, f"the token endpoint {what}", url, reply.status, None, reply.request_id)


def _members(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except NOT_JSON:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A server's text as it may stand in one line of an error."""
    return "".join(sign for sign in value if sign.isprintable())[:_DESCRIPTION_CHARS] if isinstance(value, str) else ""


def _grant(said: dict[str, Any]) -> Grant | str:
    token = said.get("access_token")
    if not isinstance(token, str) or not token:
        return "has no access_token"
    if not token.isascii() or not token.isprintable() or " " in token:
        return "has an access_token that cannot stand in a header"
    kind = said.get("token_type", "bearer")  # servers that leave it out mean this one
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return f"has the token_type {_text(kind) or 'that is no text'!r}; only bearer tokens can be sent"
    return Grant(token, _lifetime(said.get("expires_in")))


def _lifetime(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        seconds = math.nan
    return DEFAULT_LIFETIME if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFETIME)
