"""Public keys of a key set (RFC 7517, RFC 7518, RFC 8037) and the signatures they verify."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from airgate.spec.jws import base64url
from airgate.spec.refused import unverifiable

if TYPE_CHECKING:  # the library is loaded with the first key: files with a shared secret need none of it
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
"""The curve that each algorithm signs with."""

_WEAKEST_RSA = 2048
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}


class PublicKey(Protocol):
    """A key that verifies signatures."""

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether a signature over some bytes is that of the key.

        Raises:
            Refused: the key is not fit for the algorithm.
        """


@dataclass(frozen=True, slots=True)
class RsaKey:
    """RSA: PKCS #1 v1.5 for RS256 and the like, PSS for PS256 and the like, with salts as long as the hash."""

    key: "RSAPublicKey"

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """See `PublicKey`; keys under 2048 bits are not fit for anything (RFC 7518, 3.3)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding

        if self.key.key_size < _WEAKEST_RSA:
            raise unverifiable()
        digest = _hash(algorithm)
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if algorithm[0] == "P" else padding.PKCS1v15()
        try:
            self.key.verify(signature, signed, scheme, digest)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class EcKey:
    """An elliptic curve; a signature is the two numbers one after the other, each as long as the curve's numbers."""

    key: "EllipticCurvePublicKey"
    size: int

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """See `PublicKey`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(signature) != 2 * self.size:
            return False
        r, s = int.from_bytes(signature[: self.size]), int.from_bytes(signature[self.size :])
        try:
            self.key.verify(encode_dss_signature(r, s), signed, ECDSA(_hash(algorithm)))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class EdKey:
    """Ed25519."""

    key: "Ed25519PublicKey"

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """See `PublicKey`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


def public_key(jwk: Mapping[str, object], algorithm: str) -> PublicKey:
    """The key that a JWK describes, for an algorithm that fits its `kty`.

    Raises:
        Refused: the description is incomplete or no key, or nobody knows the algorithm.
    """
    try:
        match algorithm:
            case "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512":
                return _rsa(_text(jwk, "n"), _text(jwk, "e"))
            case "ES256" | "ES384" | "ES512":
                return _ec(_text(jwk, "crv"), _text(jwk, "x"), _text(jwk, "y"))
            case "EdDSA" | "Ed25519":
                return _ed(_text(jwk, "x"))
    except ValueError:
        raise unverifiable() from None
    raise unverifiable()


# A key set that is fetched for each request, as compatible mode does, has the same few keys each time.
@lru_cache(maxsize=64)
def _rsa(n: str, e: str) -> RsaKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    return RsaKey(RSAPublicNumbers(int.from_bytes(_bytes(e)), int.from_bytes(_bytes(n))).public_key())


@lru_cache(maxsize=64)
def _ec(curve: str, x: str, y: str) -> EcKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    curves: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    size = _COORDINATE_BYTES[curve]
    point = [_bytes(x), _bytes(y)]
    if any(len(coordinate) != size for coordinate in point):
        raise ValueError("a coordinate is not as long as the curve's numbers")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(point[0]), int.from_bytes(point[1]), curves[curve])
    return EcKey(numbers.public_key(), size)


@lru_cache(maxsize=64)
def _ed(x: str) -> EdKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return EdKey(Ed25519PublicKey.from_public_bytes(_bytes(x)))


def _hash(algorithm: str) -> "HashAlgorithm":
    from cryptography.hazmat.primitives import hashes

    by_length: dict[str, HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    return by_length[algorithm[-3:]]


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ValueError(f"the key has no {name}")  # noqa: TRY004 a fault of the document, not of a caller
    return value


def _bytes(text: str) -> bytes:
    data = base64url(text)
    if not data:
        raise ValueError("it is not base64url")
    return data
