"""Texts that must not be read where they are stored: encrypted with a key that only the connection's secrets give.

An address that a service gives out may be signed: whoever has it may ask there. Such an address must be kept in
Airflow's database over the length of a job, where many people read.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

_VERSION: Final = "s1."
_SALT: Final = 16
_NONCE: Final = 12


class NotSealed(ValueError):
    """A text that cannot be sealed, or not be opened again; says why and what cures it."""


class Unsealed:
    """A text that must be sealed before it is stored; as it is, JSON does not take it.

    Args:
        text: What is secret.
        place: What it belongs to; it opens nowhere else.
    """

    __slots__ = ("place", "text")

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place

    def __repr__(self) -> str:
        return "Unsealed(***)"


def seal(secrets: Sequence[str], unsealed: Unsealed) -> str:
    """The text, encrypted (AES-256-GCM) with a key that HKDF-SHA256 makes of the secrets.

    Args:
        secrets: The connection's own, in a fixed order.
        unsealed: What is to be kept.

    Raises:
        NotSealed: There is no secret to make a key of.
    """
    if not any(secrets):
        raise NotSealed(
            "the service gave a signed address, which is stored only in sealed form, and the connection has no secret "
            "to seal it with: give the connection a password (with auth=none it serves for this alone)"
        )
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    sealed = _cipher(tuple(secrets), salt).encrypt(nonce, unsealed.text.encode(), unsealed.place.encode())
    return _VERSION + base64.urlsafe_b64encode(salt + nonce + sealed).decode()


def unseal(secrets: Sequence[str], sealed: str, place: str) -> str:
    """The text that ``seal`` encrypted.

    Raises:
        NotSealed: The secrets are others, or the text or its place is.
    """
    from cryptography.exceptions import InvalidTag

    try:
        raw = base64.urlsafe_b64decode(sealed.removeprefix(_VERSION))
        salt, nonce, text = raw[:_SALT], raw[_SALT : _SALT + _NONCE], raw[_SALT + _NONCE :]
        return str(_cipher(tuple(secrets), salt).decrypt(nonce, text, place.encode()).decode())
    except (InvalidTag, ValueError):
        raise NotSealed(
            "the job's signed address cannot be opened: it was sealed with secrets that the connection no longer has. "
            "Put the former password and headers back until the job is over, or end the job at the service and clear "
            "the task"
        ) from None


@lru_cache(maxsize=256)
def _cipher(secrets: tuple[str, ...], salt: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # As JSON: no two lists of secrets give the same bytes.
    material = json.dumps(secrets).encode()
    return AESGCM(HKDF(SHA256(), 32, salt, b"airgate sealed text 1").derive(material))
