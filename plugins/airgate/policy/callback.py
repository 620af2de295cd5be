"""The one-time address that a service may call when a job is over: who is meant, until when, signed.

The token is the last part of the address: ``base64url(payload).base64url(HMAC-SHA256(payload))``. It is signed, not
encrypted: the service it is given to can read the names of the DAG, the run and the task.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SHORTEST_SECRET: Final = 32
"""Bytes; as many as the signature has."""
LONGEST_TOKEN: Final = 4096
"""Characters. The names of DAG, run and task are at most 250 characters each, of which JSON may make six times that."""
_VERSION: Final = 1
_PURPOSE: Final = b"airgate callback 1\n"
"""Signed with the payload, so that nothing that is signed with the same secret elsewhere is a callback."""


class NotSigned(ValueError):
    """A token that nobody here has signed, or that was changed."""


@dataclass(frozen=True, slots=True)
class CallbackToken:
    """Whose wait a callback ends."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    nonce: str
    """Random; made once for each job, so that one job's address does nothing for another."""
    expires_at: int
    """Unix time."""

    @property
    def mark(self) -> str:
        """What the wait keeps of the nonce to know the token by."""
        return mark_of(self.nonce)

    def expired(self, now: float) -> bool:
        """Whether it came too late."""
        return now >= self.expires_at

    def signed(self, secret: str) -> str:
        """The token as text."""
        fields = [_VERSION, self.dag_id, self.run_id, self.task_id, self.map_index, self.nonce, self.expires_at]
        payload = _encode(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())
        return f"{payload}.{_encode(_signature(payload, secret))}"

    @classmethod
    def read(cls, text: str, known: Sequence[str]) -> CallbackToken:
        """The token that one of the secrets signed.

        Every secret is tried, in constant time, so that the time says nothing of which one it was.

        Raises:
            NotSigned: None of them did.
        """
        payload, _, signature = text.partition(".")
        if len(text) > LONGEST_TOKEN or not text.isascii():
            raise NotSigned("the token is none of ours")
        given = _decode(signature)
        matches = [hmac.compare_digest(_signature(payload, secret), given) for secret in known]
        # Each signature has several spellings in base64; only the one that was given out counts.
        if not any(matches) or _encode(given) != signature:
            raise NotSigned("the token is none of ours")
        version, *fields = json.loads(_decode(payload))
        if version != _VERSION:
            raise NotSigned("the token is of another version of airgate")
        return cls(*fields)


def new_nonce() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def mark_of(nonce: str) -> str:
    """What is kept of a nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def name_of(secret: str) -> str:
    """What tells a secret from others and gives nothing of it away."""
    return hmac.new(secret.encode(), b"airgate callback secret", hashlib.sha256).hexdigest()[:16]


def secrets_of(setting: str) -> tuple[str, ...]:
    """The secrets of a setting, with commas or blanks between them; the first one signs, all of them are known.

    Raises:
        ValueError: One of them is too short to be safe.
    """
    known = tuple(setting.replace(",", " ").split())
    for number, secret in enumerate(known, 1):
        if (length := len(secret.encode())) < SHORTEST_SECRET:
            raise ValueError(f"secret {number} has {length} bytes, at least {SHORTEST_SECRET} are needed")
    return known


def _signature(payload: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), _PURPOSE + payload.encode(), hashlib.sha256).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
