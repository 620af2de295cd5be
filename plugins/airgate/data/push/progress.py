"""How far a push has come, kept where a dead process cannot take it along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from airgate.data.checkpoint import Checkpoint
from airgate.data.push.batches import PushBatch
from airgate.data.store.manifest import Manifest
from airgate.policy.errors import KeyReused, OutcomeUnknown

_VERSION = 1


class PushProgress(msgspec.Struct, kw_only=True):
    """What is settled: accepted by the service, or durable as dead letters."""

    version: int = _VERSION
    fingerprint: str
    """Of the records and of how they are pushed."""
    round: int
    """Changes when the task is cleared, and only then."""
    done: int = 0
    """All batches before this number are settled."""
    settled: list[int] = []
    """Those beyond that are."""
    reached: int = 0
    """Batches before this number may have been sent, settled or not."""
    sending: list[int] = []
    """Those that may have been sent, and that no service would recognize a second time."""
    accepted: int = 0
    dead_lettered: int = 0
    calls: int = 0
    """Requests sent."""
    manifest: dict[str, Any] = {}
    """Of the dead letters that are durable."""
    complete: bool = False

    @property
    def records(self) -> int:
        """That are settled."""
        return self.accepted + self.dead_lettered

    def is_settled(self, batch: PushBatch) -> bool:
        """Whether there is nothing left to do for a batch."""
        return batch.number < self.done or batch.number in self.settled

    def settle(self, batch: PushBatch, accepted: int, dead: int) -> None:
        """A batch has its outcome."""
        self.settled.append(batch.number)
        if batch.number in self.sending:
            self.sending.remove(batch.number)
        self.accepted += accepted
        self.dead_lettered += dead

    def advance(self, batches: Sequence[PushBatch]) -> None:
        """All of a window are settled."""
        self.done = batches[-1].number + 1
        self.settled = []

    def save(self, checkpoint: Checkpoint, manifest: Manifest) -> None:
        """Store it; durable when this returns."""
        self.manifest = manifest.to_json()
        checkpoint.save(msgspec.to_builtins(self))


def begin(checkpoint: Checkpoint, fingerprint: str, round: int) -> tuple[PushProgress, bool]:  # noqa: A002
    """What an earlier try left, or a fresh start; and whether there was such a try.

    Raises:
        KeyReused: When an earlier try, not cleared since, pushed other records or in another way.
        ValueError: When it was left by a release that stored it in another form.
    """
    stored = checkpoint.load()
    if stored is None:
        return PushProgress(fingerprint=fingerprint, round=round), False
    if stored.get("version") != _VERSION:
        raise ValueError(
            f"the progress of an earlier try has version {stored.get('version')!r}, not {_VERSION}: finish the run "
            "with the release that began it, or let the push begin anew in another run"
        )
    progress = msgspec.convert(stored, PushProgress)
    if progress.fingerprint == fingerprint:
        return progress, True
    if progress.round == round:
        raise KeyReused(
            f"an earlier try pushed other records, or in another way, and had {progress.records} of them settled; "
            "clear the task to push these from the beginning"
        )
    return PushProgress(fingerprint=fingerprint, round=round), False


def refuse_doubt(progress: PushProgress, round: int, batches: Iterable[PushBatch]) -> None:  # noqa: A002
    """Refuse to send again what may have been sent, unless the task was cleared to have just that.

    Args:
        progress: What an earlier try left.
        round: The task's.
        batches: Those that come next.

    Raises:
        OutcomeUnknown: Naming batches and rows.
    """
    if not progress.sending or progress.round != round:
        progress.sending, progress.round = [], round
        return
    doubtful = [batch for batch in batches if batch.number in progress.sending]
    rows = [f"{batch.row} to {batch.row + len(batch.records) - 1}" for batch in doubtful]
    raise OutcomeUnknown(
        f"an earlier try may have sent {len(doubtful)} batches (rows {', '.join(rows)}), and no service would "
        "recognize them; clear the task to send them again"
    )
