"""HMAC-signed JSON Web Tokens, checked in the order and with the error codes of the gateway."""

import hmac
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import cast

from airgate.spec.javascript import MISSING, equal, parse, truthy

_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_UNDERSTOOD_CRITICAL = frozenset({"b64"})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")


class Refused(Exception):
    """A token that does not pass; `text` and `code` go into the body of the 401."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a token must satisfy.

    `issuer` and `audience` list the accepted values: None when not configured, empty when configured as empty text;
    the claim must then be there, with any value.
    `algorithms` and `expiry_required` are where strict mode asks more than the gateway does.
    """

    secret: bytes
    issuer: tuple[object, ...] | None
    audience: tuple[object, ...] | None
    algorithms: frozenset[str]
    expiry_required: bool

    def claims(self, token: str, now: float) -> dict[str, object]:
        """The claims of a valid token. `now` is in seconds since 1970.

        Raises:
            Refused: the token is malformed, not signed with the secret, not meant for us, too early or too late.
        """
        header, signed, signature = _parse(token)
        self._check_signature(str(header["alg"]), signed, signature)
        critical = header.get("crit")
        if isinstance(critical, list) and "b64" in critical and header.get("b64") is False:
            raise _invalid_token()
        claims = _json_object(token.split(".")[1])
        if claims is None:
            raise _invalid_token()
        self._check_claims(claims, int(now))
        return claims

    def _check_signature(self, algorithm: str, signed: bytes, signature: bytes) -> None:
        if algorithm not in self.algorithms or not self.secret:
            raise Refused("JWT verification failed", "AUTH_ERROR")
        expected = hmac.digest(self.secret, signed, _HASHES[algorithm])
        if not hmac.compare_digest(expected, signature):
            raise Refused("Signature verification failed", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED")

    def _check_claims(self, claims: dict[str, object], now: int) -> None:
        if self.issuer is not None and not _accepted(self.issuer, claims, "iss"):
            raise _claim_failed()
        if self.audience is not None and not _accepted(self.audience, claims, "aud"):
            raise _claim_failed()
        for name in ("iat", "nbf", "exp"):
            if name in claims and not _is_number(claims[name]):
                raise _claim_failed()
        if "nbf" in claims and cast(float, claims["nbf"]) > now:
            raise _claim_failed()
        if "exp" in claims:
            if cast(float, claims["exp"]) <= now:
                raise Refused("Token has expired.", "ERR_JWT_EXPIRED")
        elif self.expiry_required:
            raise _claim_failed()


def verifier(authorizer: dict[str, object], *, strict: bool) -> Verifier:
    """The verifier for an `authorizer` of type `jwt`; its `algorithm` counts only in strict mode."""
    secret = authorizer.get("secret")
    return Verifier(
        secret=secret.encode("utf-8", "replace") if isinstance(secret, str) else b"",
        issuer=_expected(authorizer, "issuer"),
        audience=_expected(authorizer, "audience"),
        algorithms=frozenset({"HS256"}) if strict else frozenset(_HASHES),
        expiry_required=strict,
    )


def _expected(authorizer: dict[str, object], key: str) -> tuple[object, ...] | None:
    if key not in authorizer:
        return None
    value = authorizer[key]
    if not truthy(value):
        return ()
    return tuple(value) or (MISSING,) if isinstance(value, list) else (value,)


def _accepted(expected: tuple[object, ...], claims: dict[str, object], name: str) -> bool:
    if name not in claims:
        return False
    found = claims[name]
    values = found if name == "aud" and isinstance(found, list) else [found]
    return not expected or any(equal(wanted, value) for wanted in expected for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse(token: str) -> tuple[dict[str, object], bytes, bytes]:
    """Header, signed bytes and signature of a token that is well formed and asks for nothing we do not know."""
    parts = token.split(".")
    if len(parts) != 3:
        raise _malformed()
    header = _json_object(parts[0])
    if header is None:
        raise _malformed()
    algorithm = header.get("alg")
    signature = _base64url(parts[2])
    if not isinstance(algorithm, str) or not algorithm or signature is None:
        raise _malformed()
    _check_critical(header)
    return header, f"{parts[0]}.{parts[1]}".encode("utf-8", "replace"), signature


def _check_critical(header: dict[str, object]) -> None:
    """Header parameters named in `crit` must be understood (RFC 7515, 4.1.11)."""
    if "crit" not in header:
        return
    names = header["crit"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise _malformed()
    if not _UNDERSTOOD_CRITICAL.issuperset(names):
        raise Refused("JWT verification failed", "AUTH_ERROR")
    if not isinstance(header.get("b64"), bool):
        raise _malformed()


def _base64url(text: str) -> bytes | None:
    if not _BASE64URL.fullmatch(text):
        return None
    bare = text.rstrip("=")
    if len(bare) % 4 == 1 or (bare != text and len(text) % 4):
        return None
    return b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_")


def _json_object(part: str) -> dict[str, object] | None:
    data = _base64url(part)
    if data is None:
        return None
    try:
        value = parse(data.decode("utf-8", "replace"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _malformed() -> Refused:
    return Refused("Invalid JWS", "ERR_JWS_INVALID")


def _invalid_token() -> Refused:
    return Refused("Invalid JWT", "ERR_JWT_INVALID")


def _claim_failed() -> Refused:
    return Refused("JWT claim validation failed", "ERR_JWT_CLAIM_VALIDATION_FAILED")
