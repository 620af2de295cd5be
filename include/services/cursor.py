"""The opaque cursor of the flights service: where to go on, and in which reading."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date
from hashlib import blake2b

_DIGEST_BYTES = 4


def encode(day: date | None, slot: int) -> str:
    """Return the cursor that continues the reading of ``day`` (None: the year) at ``slot``."""
    content = f"{day or ''}/{slot}".encode()
    return urlsafe_b64encode(_digest(content) + content).decode().rstrip("=")


def decode(cursor: str, day: date | None) -> int:
    """Return the slot at which the reading of ``day`` continues.

    Raises:
        ValueError: Not a cursor of this service, damaged, or made by the reading of another day.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        raise ValueError("not a cursor of this service") from None
    digest, content = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(content):
        raise ValueError("not a cursor of this service")
    made_for, _, slot = content.decode().partition("/")
    if made_for != str(day or ""):
        raise ValueError(f"the cursor belongs to {_reading(made_for)}, not to {_reading(str(day or ''))}")
    return int(slot)


def _digest(content: bytes) -> bytes:
    """Return a check sum: it finds accidents, it keeps no secret."""
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _reading(day: str) -> str:
    return f"date={day}" if day else "a reading without a date"
