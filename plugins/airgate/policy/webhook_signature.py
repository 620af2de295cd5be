"""Whether a webhook was sent by someone who knows its secret, and lately.

What senders do differs in names and little else, so that one description fits them all: an HMAC-SHA256 with a shared
secret over some headers and the body, full stops between, in a header of its own.

- ``standard``: Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks). Id and time of the delivery
  are signed.
- ``github``: GitHub's ``X-Hub-Signature-256``. Only the body is signed: there is no time in it, so a delivery that
  somebody got hold of is good for ever, and the headers that name it and its kind are anybody's word.
- others, by the names of their headers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

SHORTEST_SECRET: Final = 24
"""Bytes. What libraries of Standard Webhooks make; 192 random bits are not guessed."""
TOLERANCE: Final = 300
"""Seconds between a delivery's time and ours, either way; what Standard Webhooks' libraries have."""
LONGEST_ID: Final = 255
"""Characters."""

_MOST_SIGNATURES = 16
"""In one header; a sender that rotates its secrets sends two."""
_ENCODED = "whsec_"
_TIME = re.compile(r"[0-9]{1,12}")
_ID = re.compile(rf"[!#-z|~]{{1,{LONGEST_ID}}}")
"""Visible ASCII without quotation marks and braces: no id can hold the beginning of a JSON object, so that what is
signed as ``id.time.body`` cannot be read with the end of the id in another place."""

Encoding = Literal["base64", "hex"]


class NotVerified(Exception):
    """A delivery that is not believed."""


class NotSigned(NotVerified):
    """None of the secrets signed it, or it lacks a header that is signed."""


class OutsideWindow(NotVerified):
    """It was signed too long ago, or is from the future; perhaps a delivery of yesterday that is sent again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{abs(seconds):.0f} seconds {'old' if seconds > 0 else 'early'}")
        self.seconds = seconds
        """Its age, below zero for one from the future."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a sender signs."""

    signature: str
    """The header with the signature, in lower case as all of them."""
    prefix: str = ""
    """What each signature begins with."""
    encoding: Encoding = "hex"
    id: str | None = None
    """The header with the delivery's id, if it is signed."""
    timestamp: str | None = None
    """The header with the delivery's time in Unix seconds, if it is signed."""
    tolerance: int = TOLERANCE
    """Seconds; of no meaning without a time."""
    encoded_secrets: bool = False
    """Whether a secret that begins with ``whsec_`` is base64."""


STANDARD: Final = Scheme(
    "webhook-signature",
    prefix="v1,",
    encoding="base64",
    id="webhook-id",
    timestamp="webhook-timestamp",
    encoded_secrets=True,
)
GITHUB: Final = Scheme("x-hub-signature-256", prefix="sha256=")


def secret_of(scheme: Scheme, text: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        ValueError: It is too short to be safe, or no base64 where it says so. The text does not hold the secret.
    """
    secret = text.encode()
    if scheme.encoded_secrets and text.startswith(_ENCODED):
        try:
            secret = base64.b64decode(text.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            raise ValueError(f"begins with {_ENCODED} but is no base64 behind it") from None
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"has {len(secret)} bytes, at least {SHORTEST_SECRET} are needed")
    return secret


def verify(scheme: Scheme, secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Check that one of the secrets signed a delivery, and when.

    All secrets are tried, in constant time, and a delivery without headers costs what a forged one costs. The caller
    must go on to read the body as a JSON object and nothing else, for the reason that ``_ID`` has.

    Args:
        scheme: How the sender signs.
        secrets: Any of them may have signed: two while a secret is replaced.
        headers: Those that came once, by their names in lower case.
        body: As it came.
        now: Unix time.

    Raises:
        NotVerified: In one of its kinds; the time is looked at only when the signature is right.
    """
    names = [name for name in (scheme.id, scheme.timestamp) if name is not None]
    values = [headers.get(name, "") for name in names]
    start = "".join(f"{value}." for value in values).encode("utf-8", "replace")
    given = _signatures(scheme, headers.get(scheme.signature, ""))
    matches = [
        hmac.compare_digest(made, each) for made in [_signature(key, start, body) for key in secrets] for each in given
    ]
    if not any(matches) or (scheme.id is not None and not is_id(values[0])):
        raise NotSigned("no secret signed it")
    if scheme.timestamp is not None:
        if not _TIME.fullmatch(values[-1]):
            raise NotSigned("its time is no number of seconds")
        if abs(age := now - int(values[-1])) > scheme.tolerance:
            raise OutsideWindow(age)


def is_id(text: str) -> bool:
    """Whether a delivery can be called this: 1 to 255 visible ASCII characters but quotation marks and braces."""
    return _ID.fullmatch(text) is not None


def _signature(key: bytes, start: bytes, body: bytes) -> bytes:
    made = hmac.new(key, start, hashlib.sha256)
    made.update(body)
    return made.digest()


def _signatures(scheme: Scheme, header: str) -> list[bytes]:
    """The signatures of a header, blanks between them; those of another kind do not count."""
    texts = header.split(maxsplit=_MOST_SIGNATURES)[:_MOST_SIGNATURES]
    return [
        _decoded(text.removeprefix(scheme.prefix), scheme.encoding) for text in texts if text.startswith(scheme.prefix)
    ]


def _decoded(text: str, encoding: Encoding) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error is one
        return b""
