"""A request whose query is kept sealed."""

from __future__ import annotations

from dataclasses import dataclass, field

from airgate.jobs.talk import Ask


@dataclass(frozen=True, slots=True)
class SealedAsk(Ask):
    """An ``Ask`` for an address that was stored: who sends it opens its query with the connection's secrets."""

    sealed: str = field(default="", repr=False)
    """What ``airgate.client.sealing.seal`` made of the query; its place is the path."""
