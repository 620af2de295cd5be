"""Idempotency keys: the same piece of work has the same key in every try, on every worker.

The ``Idempotency-Key`` header follows the IETF draft of that name: a service that honours it performs a request once
and repeats its first answer to every later request with the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from airgate.policy.redaction import redact_url

HEADER = "Idempotency-Key"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods without an effect (RFC 9110, 9.2.1): they need no key."""

Setting = Literal["honoured", "sent", "off"]
"""Whether services honour keys: relied on, sent without relying on it, or not sent."""
SETTINGS: tuple[Setting, ...] = ("honoured", "sent", "off")


def idempotency_key(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    call: str,
    epoch: str = "",
    generation: int = 0,
) -> str:
    """The key of one call of one task: 32 hexadecimal digits.

    Args:
        dag_id: The DAG.
        run_id: The DAG run.
        task_id: The task.
        map_index: Index of a mapped task, -1 otherwise.
        call: Name of the call within the task.
        epoch: Changes only when a new effect is explicitly wanted.
        generation: Grows only when an earlier piece of work is proven to be over.
    """
    return digest((dag_id, run_id, task_id, map_index, epoch, call, generation))[:32]


def digest(parts: Iterable[object]) -> str:
    """SHA-256 of the parts as hexadecimal text; no two lists of parts run together."""
    sha = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        sha.update(f"{len(text)}:".encode())
        sha.update(text)
    return sha.hexdigest()


def use_of_key(method: str, given: str | bool | None, setting: Setting) -> Setting:
    """What a call does with a key.

    Args:
        method: HTTP method, upper case.
        given: The call's own word: a key, True for one that is made, False for none, None for what the connection says.
        setting: The connection's word.
    """
    if given is False:
        return "off"
    if given is not None:
        return "honoured"
    return "off" if method in SAFE_METHODS else setting


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one request from another, without its content."""

    method: str
    target: str
    """Path and query, secrets masked."""
    target_digest: str
    body_digest: str

    @classmethod
    def of(cls, method: str, url: str, body: str) -> Fingerprint:
        """The fingerprint of a request.

        Args:
            method: HTTP method, upper case.
            url: Where it goes. Scheme and host do not count: a connection may move to another address.
            body: Digest of the body.
        """
        split = urlsplit(url)
        target = f"{split.path}?{split.query}" if split.query else split.path
        return cls(method, redact_url(target), digest((target,)), body)

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Fingerprint:
        """Read what ``to_json`` gave."""
        return cls(**stored)

    def to_json(self) -> dict[str, str]:
        """As it is stored."""
        return {name: getattr(self, name) for name in self.__slots__}

    def differences(self, other: Fingerprint) -> list[str]:
        """What is different in the other one, in words; empty when it is the same request."""
        found = []
        if self.method != other.method:
            found.append(f"the method was {self.method} and is {other.method}")
        if self.target_digest != other.target_digest:
            same = self.target == other.target  # only a masked value differs
            found.append("the query is another one" if same else f"the path was {self.target} and is {other.target}")
        if self.body_digest != other.body_digest:
            found.append("the body is another one")
        return found


def json_digest(value: Any) -> str:
    """Digest of a JSON body; the order of names in objects does not count."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
