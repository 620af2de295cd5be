"""How a request proves who sends it.

An auth object is a generator, so that one which must first ask a token endpoint can yield that request to whichever
driver runs the call; the ones here need no request of their own.
"""

from __future__ import annotations

import base64
import dataclasses
import secrets
import threading
from collections.abc import Generator, Mapping
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import quote

import jwt

from airgate.client.effects import Wait
from airgate.client.message import Request, Response

Signing = Generator[Request | Wait, Response | None, Request]
"""Yields requests that must be answered first, or waits (answered with None); returns the signed request."""


class Auth(Protocol):
    """Signs requests."""

    def sign(self, request: Request, now: float) -> Signing:
        """Sign ``request``; ``now`` is the Unix time in seconds."""
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


class _HeaderAuth:
    """Base of the auths that only add headers."""

    def sign(self, request: Request, now: float) -> Signing:
        yield from ()  # a generator like the auths that must ask for a token first
        return request.with_headers(self._headers(now))

    def _headers(self, now: float) -> Mapping[str, str]:
        raise NotImplementedError


class NoAuth(_HeaderAuth):
    """Sends requests as they are."""

    secrets: tuple[str, ...] = ()

    def _headers(self, now: float) -> Mapping[str, str]:
        return {}


class BasicAuth(_HeaderAuth):
    """User name and password (RFC 7617), UTF-8."""

    def __init__(self, username: str, password: str) -> None:
        if ":" in username:
            raise ValueError("a user name for basic auth must not contain ':'")
        self._credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.secrets = (password, self._credentials)

    def _headers(self, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Basic {self._credentials}"}


class BearerAuth(_HeaderAuth):
    """A fixed bearer token (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self.secrets = (_one_line(token),)

    def _headers(self, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.secrets[0]}"}


class ApiKeyAuth:
    """A key in a header or a query parameter."""

    def __init__(self, key: str, *, name: str = "X-API-Key", place: Literal["header", "query"] = "header") -> None:
        # In a URL it stands escaped, and must be found there too.
        self.secrets = (_one_line(key), quote(key, safe=""))
        self._name = name
        self._place = place

    def sign(self, request: Request, now: float) -> Signing:
        """Add the key."""
        yield from ()
        if self._place == "query":
            return request.with_param(self._name, self.secrets[0])
        return request.with_headers({self._name: self.secrets[0]})


def _one_line(secret: str) -> str:
    """Refuse what cannot stand in a header, such as the line break behind a token that was read from a file."""
    if not secret.isprintable() or secret != secret.strip():
        raise ValueError("the password must be one line without spaces around it, as it is sent in a header")
    return secret


@dataclasses.dataclass(frozen=True, slots=True)
class JwtClaims:
    """What a self-signed token says."""

    subject: str | None = None
    issuer: str | None = None
    audience: str | None = None
    lifetime: float = 300.0
    """Seconds from issue to expiry."""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further claims; they cannot replace the registered ones set here."""


class JwtAuth(_HeaderAuth):
    """A JSON Web Token (RFC 7519) signed here and used until shortly before it expires.

    Args:
        key: The shared secret of an HS algorithm, or a PEM private key.
        claims: What the token says.
        algorithm: A JWS algorithm: HS, RS, PS or ES with 256, 384 or 512, or EdDSA.

    Raises:
        ValueError: When the key does not fit the algorithm.
    """

    _SKEW = 30.0
    """Seconds before expiry, a tenth of the lifetime at the most, at which a new token is made."""

    def __init__(self, key: str, claims: JwtClaims, *, algorithm: str = "HS256") -> None:
        if claims.lifetime <= 0:
            raise ValueError(f"jwt_lifetime must be more than 0 seconds, not {claims.lifetime:g}")
        self.secrets = (key,)
        self._claims = claims
        self._algorithm = algorithm
        self._token = ""
        self._renew_at = 0.0
        self._lock = threading.Lock()
        try:
            self._encode(0.0)
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError) as error:
            raise ValueError(f"the JWT key does not fit jwt_algorithm {algorithm!r}: {error}") from None

    def _headers(self, now: float) -> Mapping[str, str]:
        with self._lock:
            if now >= self._renew_at:
                self._token = self._encode(now)
                self._renew_at = now + self._claims.lifetime - min(self._SKEW, self._claims.lifetime / 10)
            return {"Authorization": f"Bearer {self._token}"}

    def _encode(self, now: float) -> str:
        registered = {"sub": self._claims.subject, "iss": self._claims.issuer, "aud": self._claims.audience}
        payload = {
            **self._claims.extra,
            **{name: value for name, value in registered.items() if value},
            "iat": int(now),
            "exp": int(now + self._claims.lifetime),
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(payload, self.secrets[0], algorithm=self._algorithm)
