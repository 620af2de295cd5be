"""The word of a gateway for who its client is: a JWT (RFC 7519) for one request to the way in.

The gateway has checked the client's own token, and says in a header of the request it passes on whose that was and
which DAGs it opens there. The JWT is signed with a secret that the two share (HS256), lives a minute at most, and has a
type and an audience of its own (RFC 8725, 3.11 and 3.12): no other token under the same secret is taken for one.

It is bound to the request: method, path, ``Idempotency-Key`` and the SHA-256 of the body. Whoever gets hold of one, in
a log or on the wire, can do nothing with it but repeat that very request for as long as it lives: a repeated start
finds the run of its key, a repeated cancellation changes nothing, a repeated look shows what was shown. It is therefore
not kept which ones were used. The query is left out: it chooses a page of a list of the client's own runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airgate.policy.callback import NotSigned
from airgate.policy.ingress_run import RESERVED_ISSUERS, Identity

HEADER: Final = "airgate-identity"
"""The header that holds it, in small letters."""
TYPE: Final = "airgate-identity+jwt"
AUDIENCE: Final = "airgate-ingress"
LIFETIME: Final = 30
"""Seconds from signature to expiry, of those that are made here."""
LONGEST_LIFETIME: Final = 60
"""Seconds, of those that are believed."""
LONGEST_TOKEN: Final = 16 * 1024
"""Characters."""

_ALGORITHM = "HS256"
_HEADERS = frozenset({"alg", "typ", "kid"})


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """The request for which a word is good, as it reaches the way in."""

    method: str
    path: str
    """As it is sent, with its escapes and without the query."""
    key: str | None
    """The ``Idempotency-Key``, None without one."""
    body: str
    """Digest of the body, see ``digest_of``; of no bytes where there is none."""


@dataclass(frozen=True, slots=True)
class SignedIdentity:
    """Who asks, and for what."""

    identity: Identity
    dags: frozenset[str]
    """The DAGs whose runs it may start."""
    request: BoundRequest

    def signed(self, secret: str, now: float) -> str:
        """The token as text.

        Args:
            secret: At least 32 bytes.
            now: Unix time.
        """
        import jwt  # its cryptography takes longer to load than all else that an edge needs to start

        claims = {
            "iss": self.identity.issuer,
            "sub": self.identity.subject,
            "aud": AUDIENCE,
            "iat": int(now),
            "exp": int(now) + LIFETIME,
            "dags": sorted(self.dags),
            "method": self.request.method,
            "path": self.request.path,
            **({} if self.request.key is None else {"key": self.request.key}),
            "body": self.request.body,
        }
        return jwt.encode(claims, secret, algorithm=_ALGORITHM, headers={"typ": TYPE})

    @classmethod
    def read(cls, text: str, known: Sequence[str], now: float, leeway: float = 0) -> SignedIdentity:
        """The identity that one of the secrets signed, and whose time has come and is not over.

        Whether it is for the request at hand is the caller's to check: see ``check``.

        Args:
            text: The token.
            known: Secrets, of which any may have signed it.
            now: Unix time.
            leeway: Seconds by which the clocks may differ.

        Raises:
            NotSigned: It does not count; the message says why, and repeats nothing of it.
        """
        claims = _verified(text, known)
        _check_times(claims, now, leeway)
        issuer, subject, key = claims["iss"], claims["sub"], claims.get("key")
        dags, method, path, body = (claims.get(name) for name in ("dags", "method", "path", "body"))
        if not isinstance(dags, list) or not all(isinstance(each, str) for each in dags):
            raise NotSigned("dags is no list of texts")
        if not all(isinstance(each, str) for each in (issuer, subject, method, path, body)):
            raise NotSigned("a claim is missing or no text: iss, sub, method, path and body are needed")
        if key is not None and not isinstance(key, str):
            raise NotSigned("key is no text")
        identity = Identity(issuer, subject)
        if problem := identity.problem():
            raise NotSigned(problem)
        if issuer in RESERVED_ISSUERS:
            raise NotSigned(f"its issuer is {issuer}, under which {RESERVED_ISSUERS[issuer]} are kept")
        return cls(identity, frozenset(dags), BoundRequest(str(method), str(path), key, str(body)))

    def check(self, method: str, path: str, key: str | None) -> None:
        """Check that a request is the one it was signed for; the body is compared where it is read.

        Raises:
            NotSigned: Names the part that is another one.
        """
        for name, signed, sent in (
            ("method", self.request.method, method),
            ("path", self.request.path, path),
            ("Idempotency-Key", self.request.key, key),
        ):
            if signed != sent:
                raise NotSigned(f"it was signed for a request with another {name}")


def digest_of(body: bytes) -> str:
    """The SHA-256 of a body, in base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def _verified(text: str, known: Sequence[str]) -> Mapping[str, Any]:
    import jwt

    if len(text) > LONGEST_TOKEN:
        raise NotSigned(f"it has more than {LONGEST_TOKEN} characters")
    why = "no secret is known"
    for secret in known:
        try:
            found = jwt.decode_complete(
                text,
                secret,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                # Times are checked below, by the caller's clock.
                options={
                    "require": ["iss", "sub", "aud", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidSignatureError:
            why = "none of the secrets signed it"
            continue
        except (jwt.PyJWTError, ValueError) as error:
            # PyJWT's own words name the claim, and its value never.
            raise NotSigned(f"it is no token of this kind ({type(error).__name__})") from None
        header: Mapping[str, Any] = found["header"]
        if header.get("typ") != TYPE or not header.keys() <= _HEADERS:
            raise NotSigned(f"its header is not that of {TYPE}")
        claims: Mapping[str, Any] = found["payload"]
        return claims
    raise NotSigned(why)


def _check_times(claims: Mapping[str, Any], now: float, leeway: float) -> None:
    made, ends = claims["iat"], claims["exp"]
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (made, ends)):
        raise NotSigned("iat or exp is no whole number")
    if not 0 < ends - made <= LONGEST_LIFETIME:
        raise NotSigned(f"it is good for more than {LONGEST_LIFETIME} seconds")
    if made > now + leeway:
        raise NotSigned("it comes from the future: the clocks of gateway and api-server differ")
    if ends <= now - leeway:
        raise NotSigned("it has expired")
