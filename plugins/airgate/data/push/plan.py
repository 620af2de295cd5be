"""How records are pushed, and what a push comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from airgate.client.message import Response
from airgate.data.push.batches import PushBatch
from airgate.data.push.items import ItemResults
from airgate.data.store.manifest import Manifest
from airgate.policy.retry import RetrySettings

KIND = "airgate.push"

_WINDOWS = 8
"""Batches of a window for each one in flight: progress is stored after each window, and all wait for its last one."""

Refused = Literal["bisect", "dead_letter", "fail"]
"""What becomes of a batch that is refused as a whole."""


class Calls(Protocol):
    """Makes the calls of the batches; several threads may."""

    @property
    def ends(self) -> float | None:
        """Unix time by which all must be over, None for no such time."""
        ...

    def send(self, batch: PushBatch) -> Response:
        """Make the call of a batch.

        Raises:
            GatewayError: It is not accepted.
            ValueError: It makes no call; nothing was sent.
        """
        ...


class TooManyDeadLetters(ValueError):
    """The service refuses more records than are put up with."""


@dataclass(frozen=True, slots=True)
class Push:
    """How records are pushed."""

    target: str
    """Names the route in messages."""
    fingerprint: str
    """Of the records and of all that decides what is sent; two equal pushes can share progress."""
    batch_size: int = 100
    in_flight: int = 4
    """Batches that are under way at the same time; 1 keeps the order."""
    repeatable: bool = True
    """Whether a batch that is sent twice has one effect: the service honours its key, or the method is idempotent."""
    refused: Refused = "bisect"
    items: ItemResults = field(default_factory=ItemResults)
    retry: RetrySettings = field(default_factory=RetrySettings)
    """Holds for records that the service puts off as it does for calls."""
    redact_fields: tuple[str, ...] = ()
    """Dotted names of fields whose values are masked in dead letters."""
    max_dead_letters: int | None = None
    round: int = 0
    """Changes when the task is cleared, and only then."""

    @property
    def window(self) -> int:
        """Batches between two times at which progress is stored: few, where all of them would be in doubt."""
        return self.in_flight * (_WINDOWS if self.repeatable else 1)


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push came to; ``offered == pushed + dead_lettered``."""

    offered: int
    pushed: int
    """Records that the service accepted."""
    dead_lettered: int
    calls: int
    """Requests, over all tries."""
    dead_letters: Manifest
    """Of the records that it did not."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        counts = {name: getattr(self, name) for name in ("offered", "pushed", "dead_lettered", "calls")}
        return {"kind": KIND, **counts, "dead_letters": self.dead_letters.to_json()}
