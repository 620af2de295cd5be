"""A JSON Web Token that is signed here."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from airgate.client.auth.fixed import HeaderAuth


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


class JwtAuth(HeaderAuth):
    """A JSON Web Token (RFC 7519) signed here and used until shortly before it expires.

    Args:
        key: The shared secret of an HS algorithm, or a PEM private key.
        claims: What the token says.
        algorithm: A JWS algorithm: HS, RS, PS or ES with 256, 384 or 512, or EdDSA.
        key_id: The ``kid`` of the token's header, for a verifier that has several keys.

    Raises:
        ValueError: When the key does not fit the algorithm.
    """

    _SKEW = 30.0
    """Seconds before expiry, a tenth of the lifetime at the most, at which a new token is made."""

    def __init__(self, key: str, claims: JwtClaims, *, algorithm: str = "HS256", key_id: str | None = None) -> None:
        import jwt  # with its cryptography it costs a DAG file that only names a connection too much

        if claims.lifetime <= 0:
            raise ValueError(f"jwt_lifetime must be more than 0 seconds, not {claims.lifetime:g}")
        self._key = key
        self._claims = claims
        self._algorithm = algorithm
        self._header = {"kid": key_id} if key_id else None
        self._token = ""
        self._renew_at = 0.0
        self._lock = threading.Lock()
        self._jwt = jwt
        self.on_secret: Callable[[str], None] | None = None
        try:
            self._encode(0.0)
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError) as error:
            raise ValueError(f"the JWT key does not fit jwt_algorithm {algorithm!r}: {error}") from None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and the token in use."""
        return (self._key, self._token) if self._token else (self._key,)

    def _headers(self, now: float) -> Mapping[str, str]:
        with self._lock:
            token = self._token if now < self._renew_at else ""
        if not token:
            made = self._encode(now)
            # Without the lock: in a triggerer, to mask a secret lets the event loop go on with other tasks, which then
            # would wait for the lock in the loop's own thread, for ever.
            if self.on_secret:
                self.on_secret(made)
            with self._lock:
                if now >= self._renew_at:
                    self._token = made
                    self._renew_at = now + self._claims.lifetime - min(self._SKEW, self._claims.lifetime / 10)
                token = self._token
        return {"Authorization": f"Bearer {token}"}

    def _encode(self, now: float) -> str:
        registered = {"sub": self._claims.subject, "iss": self._claims.issuer, "aud": self._claims.audience}
        payload = {
            **self._claims.extra,
            **{name: value for name, value in registered.items() if value},
            "iat": int(now),
            "exp": int(now + self._claims.lifetime),
            "jti": secrets.token_hex(8),
        }
        return self._jwt.encode(payload, self._key, algorithm=self._algorithm, headers=self._header)
