"""Key sets (RFC 7517, 5): which key of a set verifies a token."""

from collections.abc import Mapping
from dataclasses import dataclass

from airgate.spec.javascript import parse
from airgate.spec.publickeys import CURVES, PublicKey, public_key
from airgate.spec.refused import Refused, unverifiable

_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer, as its document lists them."""

    keys: tuple[Mapping[str, object], ...]

    @classmethod
    def of(cls, document: object) -> "KeySet":
        """The set that a JSON value is.

        Raises:
            Refused: it has no list of objects under `keys`.
        """
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise _invalid()
        return cls(tuple(keys))

    @classmethod
    def read(cls, body: bytes) -> "KeySet":
        """The set of a document that was fetched.

        Raises:
            Refused: the document is not JSON, or JSON without a list of keys.
        """
        try:
            document = parse(body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
        except ValueError:
            raise unverifiable() from None
        return cls.of(document)

    def fitting(self, algorithm: str, key_id: str | None) -> list[Mapping[str, object]]:
        """The keys that a token of an algorithm may be signed with.

        Raises:
            Refused: no public key verifies such an algorithm: `none`, HS256 and the like, made-up ones.
        """
        kind = _KEY_TYPES.get(algorithm[:2])
        if kind is None:
            raise unverifiable()
        curve = CURVES.get(algorithm)
        return [
            key
            for key in self.keys
            if key.get("kty") == kind
            and (key_id is None or key.get("kid") == key_id)
            and _agrees(key, "alg", algorithm)
            and _agrees(key, "use", "sig")
            and (not isinstance(operations := key.get("key_ops"), list) or "verify" in operations)
            and (curve is None or key.get("crv") == curve)
        ]

    def key(self, algorithm: str, key_id: str | None) -> PublicKey:
        """The one key that a token of an algorithm can be signed with.

        Raises:
            Refused: there is none, more than one, or it is unusable or private.
        """
        found = self.fitting(algorithm, key_id)
        if not found:
            raise Refused("No matching key found in JWKS.", "ERR_JWKS_NO_MATCHING_KEY")
        if len(found) > 1:
            raise Refused("Multiple matching keys found in JWKS.", "ERR_JWKS_MULTIPLE_MATCHING_KEYS")
        key = public_key(found[0], algorithm)
        if "d" in found[0]:
            raise _invalid()
        return key


def _agrees(key: Mapping[str, object], name: str, wanted: str) -> bool:
    """Whether a key that declares something declares the wanted."""
    declared = key.get(name)
    return not isinstance(declared, str) or declared == wanted


def _invalid() -> Refused:
    return Refused("Invalid JWKS", "ERR_JWKS_INVALID")
