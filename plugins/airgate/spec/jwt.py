"""Tokens signed with a shared secret: the authorizer type `jwt`."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from airgate.spec.claims import Expected, accepted_values
from airgate.spec.jws import take_apart
from airgate.spec.refused import unverifiable, wrong_signature
from airgate.spec.token_rules import TokenRules

_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}

SHORTEST_SECRET = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Bytes that a secret must have for an algorithm: those of its hash (RFC 7518, 3.2)."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a token must satisfy."""

    secret: bytes
    algorithms: frozenset[str]
    expected: Expected

    def claims(self, token: str, now: float) -> dict[str, object]:
        """The claims of a valid token. `now` is in seconds since 1970.

        Raises:
            Refused: the token is malformed, not signed with the secret, not meant for us, too early or too late.
        """
        jws = take_apart(token)
        if jws.algorithm not in self.algorithms:
            raise unverifiable()
        signature = jws.signature_bytes()
        if not self.secret:
            raise unverifiable()
        expected = hmac.digest(self.secret, jws.signed, _HASHES[jws.algorithm])
        if not hmac.compare_digest(expected, signature):
            raise wrong_signature()
        claims = jws.claims()
        self.expected.check(claims, now)
        return claims


def verifier(settings: Mapping[str, object], *, strict: bool, secret: str = "secret") -> Verifier:  # noqa: S107
    """The verifier for an authorizer whose secret stands under a key.

    In compatible mode its `algorithm` does not count, nor does what stands under `x-airgate`.
    """
    value = settings.get(secret)
    rules = TokenRules.of(settings) if strict else TokenRules()
    named = rules.names(default=("HS256",)) if strict else _HASHES
    return Verifier(
        secret=value.encode("utf-8", "replace") if isinstance(value, str) else b"",
        algorithms=frozenset(named) & _HASHES.keys(),
        expected=Expected(
            issuer=accepted_values(settings, "issuer"),
            audience=accepted_values(settings, "audience"),
            expiry_required=strict,
            leeway=rules.leeway,
            max_age=rules.max_age,
        ),
    )
