"""Tokens of the authorizer type `supabase`, judged in the order and with the texts of the gateway's second library."""

import hmac
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from airgate.spec.javascript import MISSING, equal, parse, to_text, truthy
from airgate.spec.refused import Refused

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class SupabaseVerifier:
    """What a token must satisfy in compatible mode; the settings are as the file has them, of any type."""

    secret: object
    issuer: object
    audience: object

    def claims(self, token: str, now: float) -> dict[str, object]:
        """The claims of a valid token; none for a payload that is no object. `now` is in seconds since 1970.

        Raises:
            Refused: the token is malformed, not signed with the secret, too early, too late or not meant for us.
        """
        if not truthy(self.secret):
            text = "JWT secret not configured. Please set SUPABASE_JWT_SECRET in your environment."
            raise Refused(text, "MISSING_JWT_SECRET", 500)
        claims = self._payload(token)
        self._check_times(claims, int(now))
        self._check_audience(claims.get("aud", MISSING))
        self._check_issuer(claims.get("iss", MISSING))
        return claims

    def _payload(self, token: str) -> dict[str, object]:
        if not token:
            raise _invalid("jwt must be provided")
        parts = token.split(".")
        if len(parts) != 3:
            raise _invalid("jwt malformed")
        header = _json(parts[0], "latin-1") if _COMPACT.fullmatch(token) else MISSING
        if not truthy(header):
            raise _invalid("invalid token")
        typed = isinstance(header, dict) and header.get("typ") == "JWT"
        payload = _json(parts[1], "utf-8")
        if typed and (payload is MISSING or payload is None):
            raise _invalid("invalid token")
        if not parts[2]:
            raise _invalid("jwt signature is required")
        if not isinstance(header, dict) or header.get("alg") != _ALGORITHM:
            raise _invalid("invalid algorithm")
        self._check_signature(parts)
        return payload if isinstance(payload, dict) else {}

    def _check_signature(self, parts: list[str]) -> None:
        if not isinstance(self.secret, str):
            raise _invalid("secretOrPublicKey is not valid key material")
        if "-----BEGIN " in self.secret:  # a public key is no secret: whoever has it could sign (RFC 8725, 2.1)
            raise _invalid(f"secretOrPublicKey must be a symmetric key when using {_ALGORITHM}")
        signed = f"{parts[0]}.{parts[1]}".encode()
        digest = hmac.digest(self.secret.encode("utf-8", "replace"), signed, "sha256")
        # Texts are compared, so that a second spelling of the same bytes does not pass.
        if not hmac.compare_digest(urlsafe_b64encode(digest).rstrip(b"="), parts[2].encode()):
            raise _invalid("invalid signature")

    def _check_times(self, claims: Mapping[str, object], now: int) -> None:
        for name in ("nbf", "exp"):
            if name not in claims:
                continue
            value = claims[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _invalid(f"invalid {name} value")
            if name == "nbf" and value > now:
                raise Refused("Token not active yet (nbf)", "JWT_NOT_ACTIVE")
            if name == "exp" and value <= now:
                raise Refused("Token has expired.", "JWT_EXPIRED")

    def _check_audience(self, found: object) -> None:
        if not truthy(self.audience):
            return
        wanted = self.audience if isinstance(self.audience, list) else [self.audience]
        values = found if isinstance(found, list) else [found]
        if not any(equal(one, value) for one in wanted for value in values):
            expected = " or ".join("" if one is None else to_text(one) for one in wanted)
            raise _invalid(f"jwt audience invalid. expected: {expected}")

    def _check_issuer(self, found: object) -> None:
        if not truthy(self.issuer) or not isinstance(self.issuer, str | list):
            return
        wanted = self.issuer if isinstance(self.issuer, list) else [self.issuer]
        if not any(equal(one, found) for one in wanted):
            raise _invalid(f"jwt issuer invalid. expected: {to_text(cast(object, self.issuer))}")


def supabase_verifier(settings: Mapping[str, object]) -> SupabaseVerifier:
    """The verifier for an `authorizer` of type `supabase` in compatible mode."""
    return SupabaseVerifier(settings.get("jwt_secret"), settings.get("issuer"), settings.get("audience"))


def _json(part: str, encoding: str) -> object:
    """The JSON value of a part, `MISSING` when it is none; a piece of base64 too many is dropped."""
    whole = part[:-1] if len(part) % 4 == 1 else part
    data = b64decode(whole + "=" * (-len(whole) % 4), altchars=b"-_")
    try:
        return parse(data.decode(encoding, "replace"))
    except ValueError:
        return MISSING


def _invalid(reason: str) -> Refused:
    return Refused(f"JWT verification failed: {reason}", "JWT_INVALID")
