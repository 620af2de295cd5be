"""What a run that a client started is called, and what its conf says of the client.

The id of a run is ``in__`` and 32 hexadecimal digits: 12 that all runs of a caller share, so that its runs are found by
the index of run ids, and 20 of the DAG, the caller and its key. Two requests under one key are thus two attempts at
inserting one row, which the database decides.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airgate.policy.idempotency import digest, json_digest

PREFIX: Final = "in__"
"""What the id of every such run begins with."""
RESERVED: Final = "airgate"
"""The key of a run's conf that says who started it; no client can set it."""
LONGEST_KEY: Final = 255
"""Characters of an ``Idempotency-Key``."""
LONGEST_SUBJECT: Final = 250
"""Characters. Airflow keeps 512 of who started a run: issuer and subject."""
RESERVED_ISSUERS: Final[Mapping[str, str]] = {"airflow": "its own principals", "webhook": "the runs of webhooks"}
"""Issuers that nobody else can be, and what is kept under them."""

_VERSION = 1
_MARK, _REST = 12, 20
_ID = re.compile(rf"{PREFIX}[0-9a-f]{{{_MARK + _REST}}}")
_KEY = re.compile(rf"[\x21-\x7e]([\x20-\x7e]{{0,{LONGEST_KEY - 2}}}[\x21-\x7e])?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls."""

    issuer: str
    """Who vouches for it; ``airflow`` for Airflow's own principals."""
    subject: str
    """Its name there."""

    def problem(self) -> str | None:
        """What is wrong with it, None when nothing is."""
        for name, value in (("issuer", self.issuer), ("subject", self.subject)):
            if not value or len(value) > LONGEST_SUBJECT or _UNPRINTABLE.search(value):
                return f"the {name} must have 1 to {LONGEST_SUBJECT} printable characters"
        return None

    def __str__(self) -> str:
        return f"{self.subject} ({self.issuer})"

    @property
    def prefix(self) -> str:
        """What the ids of all its runs begin with. Others' may, too: 48 bits are no proof, ``RunOrigin`` is."""
        return PREFIX + digest(("airgate ingress caller", self.issuer, self.subject))[:_MARK]


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Where a run comes from, as its conf keeps it."""

    identity: Identity
    body: str
    """Digest of the params that were sent."""

    @classmethod
    def of(cls, identity: Identity, params: Mapping[str, Any]) -> RunOrigin:
        """The origin of a new run."""
        return cls(identity, json_digest(params))

    @classmethod
    def read(cls, conf: Any) -> RunOrigin | None:
        """What a run's conf says; None where nothing here has written it."""
        kept = conf.get(RESERVED) if isinstance(conf, dict) else None
        if not isinstance(kept, dict) or kept.get("version") != _VERSION:
            return None
        texts = [kept.get(name) for name in ("issuer", "subject", "body")]
        if not all(isinstance(text, str) for text in texts):
            return None
        return cls(Identity(str(texts[0]), str(texts[1])), str(texts[2]))

    def to_json(self) -> dict[str, Any]:
        """As it is kept under the reserved key."""
        identity = self.identity
        return {"version": _VERSION, "issuer": identity.issuer, "subject": identity.subject, "body": self.body}


def run_id_of(dag_id: str, identity: Identity, key: str | None) -> str:
    """The id of the run that a key stands for; a new one each time without a key."""
    rest = secrets.token_hex(_REST // 2) if key is None else digest((dag_id, identity.issuer, identity.subject, key))
    return identity.prefix + rest[:_REST]


def is_run_id(text: str) -> bool:
    """Whether this could be the id of such a run."""
    return _ID.fullmatch(text) is not None


def key_of(header: str | None) -> str | None:
    """The key of an ``Idempotency-Key`` header, None without one; the quotes of the IETF draft's form do not count.

    Raises:
        ValueError: It is none.
    """
    if header is None:
        return None
    text = header.strip(" \t")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not _KEY.fullmatch(text):
        raise ValueError(f"Idempotency-Key must have 1 to {LONGEST_KEY} visible ASCII characters, such as a UUID.")
    return text
