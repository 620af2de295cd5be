"""How far a push has come, kept where a dead process cannot take it along."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from airgate.data.checkpoint import Checkpoint
from airgate.data.push.batches import PushBatch
from airgate.data.store.manifest import Manifest
from airgate.policy.errors import KeyReused, OutcomeUnknown

_VERSION = 1


class PutOff(msgspec.Struct, kw_only=True, frozen=True):
    """What is left of a batch of which the service has put some records off; the others are settled."""

    number: int
    """Of the batch."""
    again: int
    """How often it has come to that; part of the key under which what is left is sent."""
    places: str
    """Bit by bit, in hexadecimal digits, the first place last: short, however many there are."""

    @property
    def count(self) -> int:
        """How many records are left."""
        return int(self.places, 16).bit_count()

    def cut(self, batch: PushBatch) -> PushBatch:
        """The batch without what is settled."""
        bits = int(self.places, 16)
        return batch.only({place for place in batch.places if bits >> place & 1}, self.again)


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
    put_off: list[PutOff] = []
    """Batches that are settled but for some records."""
    in_line: dict[str, str] = {}
    """Names of batches that were held back by the gateway's own limits -> their places in line."""
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

    def left_of(self, batch: PushBatch) -> PushBatch:
        """What of a batch is not settled yet."""
        return next((put_off.cut(batch) for put_off in self.put_off if put_off.number == batch.number), batch)

    def settle(self, batch: PushBatch, accepted: int, dead: int, put_off: Collection[int]) -> None:
        """A batch has its outcome.

        Args:
            batch: That was sent.
            accepted: How many of its records the service has accepted.
            dead: How many are dead letters.
            put_off: Places of those that the service wants to be asked for again.
        """
        self.put_off = [one for one in self.put_off if one.number != batch.number]
        if put_off:
            bits = sum(1 << place for place in put_off)
            self.put_off.append(PutOff(number=batch.number, again=batch.again + 1, places=f"{bits:x}"))
        else:
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
