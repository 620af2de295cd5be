"""Tokens for tests, also those that no well-behaved library would make."""

import hmac
import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def encoded(part: Any) -> str:
    """A part of a token: JSON, or bytes as they are."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def shared(claims: Any, secret: bytes, **header: Any) -> str:
    """A token signed with a secret; with `alg` left as it is, HS256."""
    full = {"alg": "HS256", **header}
    return raw_shared(encoded(full), encoded(claims), secret, _HASHES.get(str(full["alg"]), "sha256"))


def raw_shared(header: str, payload: str, secret: bytes, digest: str = "sha256") -> str:
    """A token of two parts that are given as they stand, signed with a secret."""
    return f"{header}.{payload}.{encoded(hmac.digest(secret, f'{header}.{payload}'.encode(), digest))}"


@cache
def private_key(kind: str) -> Any:
    """A key for an algorithm, with a name behind a colon for a second one: RS256, RS256:other, RSA-1024."""
    match kind.partition(":")[0]:
        case "RSA-1024":
            return rsa.generate_private_key(65537, 1024)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def jwk(kind: str, **members: Any) -> dict[str, Any]:
    """The public key as a set lists it, with more members or others."""
    algorithm = "RS256" if kind.startswith("RSA") else kind.partition(":")[0]
    key = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(kind).public_key(), as_dict=True)
    key.pop("key_ops", None)
    return {**key, **members}


def pem(kind: str) -> bytes:
    """The public key in PEM."""
    public = private_key(kind).public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def signed(claims: dict[str, Any], kind: str = "RS256", algorithm: str | None = None, **header: Any) -> str:
    """A token signed with a private key."""
    return jwt.encode(claims, private_key(kind), algorithm or kind.partition(":")[0], headers=header)
