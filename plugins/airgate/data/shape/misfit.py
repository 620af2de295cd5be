"""A record that does not fit the schema of its read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Misfit:
    """What a dead letter is made of."""

    index: int
    """Position among the records that came with it, from 0."""
    record: bytes
    """The record's text, as it came."""
    reason: str
