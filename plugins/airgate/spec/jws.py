"""Signed tokens in compact form (RFC 7515, 7.1), taken apart in the order and with the leniency of the gateway."""

import re
from base64 import b64decode
from dataclasses import dataclass

from airgate.spec.javascript import parse
from airgate.spec.refused import malformed, no_claims, unverifiable

_UNDERSTOOD_CRITICAL = frozenset({"b64"})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""Where the last character of a part stands for 2 or 4 bits of the last byte, those whose other bits are 0."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Jws:
    """A token whose header is well formed and asks for nothing we do not know; nothing of it is verified yet."""

    header: dict[str, object]
    algorithm: str
    signed: bytes
    payload: str
    signature: str

    @property
    def key_id(self) -> str | None:
        """The `kid` of the header, when it is a text."""
        key_id = self.header.get("kid")
        return key_id if isinstance(key_id, str) else None

    def signature_bytes(self) -> bytes:
        """The decoded signature.

        Raises:
            Refused: it is not base64url.
        """
        signature = base64url(self.signature)
        if signature is None:
            raise malformed()
        return signature

    def claims(self) -> dict[str, object]:
        """The payload as an object; to be asked only once the signature is verified.

        Raises:
            Refused: the payload is something else.
        """
        critical = self.header.get("crit")
        if isinstance(critical, list) and "b64" in critical and self.header.get("b64") is False:
            raise no_claims()  # RFC 7797, 7: a JWT's payload is always encoded
        data = base64url(self.payload)
        if data is None:
            raise malformed()
        claims = _json_object(data)
        if claims is None:
            raise no_claims()
        return claims


def take_apart(token: str) -> Jws:
    """The parts of a token.

    Raises:
        Refused: it has not three parts, its header is no object with an algorithm, or names an unknown extension.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise malformed()
    data = base64url(parts[0])
    header = None if data is None else _json_object(data)
    if header is None:
        raise malformed()
    if "crit" in header:
        _check_critical(header)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or not algorithm:
        raise malformed()
    signed = token[: len(parts[0]) + 1 + len(parts[1])].encode("utf-8", "replace")
    return Jws(header, algorithm, signed, parts[1], parts[2])


def is_canonical(token: str) -> bool:
    """Whether each part of a token is the one spelling of its bytes: no padding, no bits set that mean nothing.

    What is no base64url at all is found when it is read.
    """
    for part in token.split("."):
        last = _LAST.get(len(part) % 4)
        if last is not None and part[-1] not in last:
            return False
    return "=" not in token


def _check_critical(header: dict[str, object]) -> None:
    """Header parameters named in `crit` must be understood (RFC 7515, 4.1.11)."""
    names = header["crit"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise malformed()
    for name in names:
        if name not in _UNDERSTOOD_CRITICAL:
            raise unverifiable()
        if not isinstance(header.get(name), bool):
            raise malformed()


def base64url(text: str) -> bytes | None:
    """The bytes of a base64url text, padded or not; None when it is not one."""
    if not _BASE64URL.fullmatch(text):
        return None
    bare = text.rstrip("=")
    if len(bare) % 4 == 1 or (bare != text and len(text) % 4):
        return None
    return b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_")


def _json_object(data: bytes) -> dict[str, object] | None:
    try:
        value = parse(data.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
