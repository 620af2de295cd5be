"""Records on their way to a service: cut into batches that are the same in every try."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeAlias, TypeVar

import msgspec

from airgate.data.frames.reading import OpenFolder, read_tables, recut
from airgate.data.shape.misfit import Misfit
from airgate.data.store.dead_letters import DeadLetters
from airgate.data.store.manifest import Manifest
from airgate.policy.idempotency import digest
from airgate.policy.json_faults import NOT_JSON

Record: TypeAlias = dict[str, Any]
"""Of JSON values only: times and dates are texts as RFC 3339 has them, decimals texts, bytes Base64."""


_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class PushBatch:
    """Records that go in one request."""

    number: int
    """From 0."""
    row: int
    """Of its first record among all, from 0."""
    records: tuple[Record, ...]
    places: tuple[int, ...]
    """Of each record within the whole batch of that number, from 0."""
    unreadable: tuple[Misfit, ...] = ()
    """Dead letters that are no JSON objects and therefore cannot be sent again."""
    in_doubt: bool = False
    """Whether an earlier try may have sent it."""
    piece: str = ""
    """Which half of which half it is, as ``01``, when the whole was refused; empty for a whole batch."""
    again: int = 0
    """How often it was cut down to the records that the service had put off."""
    in_line: str = ""
    """Its place in the line of the gateway's own limits, from an earlier try; empty for the end of it."""

    @property
    def name(self) -> str:
        """What tells its idempotency key from those of other batches: two of one name hold the same records."""
        # A service that forgets keys may put off other records the second time: those make another batch.
        number = f"{self.number}+{self.again}.{digest(self.places)[:16]}" if self.again else str(self.number)
        return f"{number}/{self.piece}" if self.piece else number

    def only(self, places: Collection[int], again: int) -> PushBatch:
        """The batch with no other records than those at these places of the whole one."""
        kept = [index for index, place in enumerate(self.places) if place in places]
        return replace(
            self,
            records=tuple(self.records[index] for index in kept),
            places=tuple(self.places[index] for index in kept),
            unreadable=(),
            again=again,
        )

    def halves(self) -> tuple[PushBatch, PushBatch]:
        """The batch in two."""
        middle = len(self.records) // 2
        return (
            replace(self, records=self.records[:middle], places=self.places[:middle], piece=f"{self.piece}0"),
            replace(self, records=self.records[middle:], places=self.places[middle:], piece=f"{self.piece}1"),
        )

    def letter(self, place: int, reason: str) -> Misfit:
        """One of its records, by its place in ``records``, as a dead letter."""
        return Misfit(self.places[place], msgspec.json.encode(self.records[place]), reason)


@dataclass(frozen=True, slots=True)
class Offered:
    """All that is to be pushed: the records of data sets, and behind them dead letters."""

    manifests: Sequence[Manifest]
    letters: Sequence[DeadLetters]
    open_folder: OpenFolder
    columns: tuple[str, ...] | None = None
    """Of the data sets, those to push; None for all."""

    @property
    def rows(self) -> int:
        """How many records, by the manifests."""
        files = chain(
            (part for manifest in self.manifests for part in manifest.parts),
            (file for letters in self.letters for file in letters.files),
        )
        return sum(file.records for file in files)

    @property
    def content(self) -> str:
        """Digest of all the records, the same as long as they and their order are."""
        parts = [part.sha256 for manifest in self.manifests for part in manifest.parts]
        files = [file.sha256 for letters in self.letters for file in letters.files]
        return digest((*parts, "columns", *(self.columns or ()), "letters", *files))

    def batches(self, size: int, first: int = 0) -> Iterator[PushBatch]:
        """The batches from the one of this number on.

        Raises:
            ValueError: When a file has changed since its manifest was made.
        """
        number, row = 0, 0
        if self.manifests:
            for table in recut(read_tables(self.manifests, self.open_folder, self.columns), size):
                if table.num_rows and number >= first:
                    records = tuple(msgspec.to_builtins(table.to_pylist()))
                    yield PushBatch(number, row, records, tuple(range(len(records))))
                row += table.num_rows
                number += bool(table.num_rows)
        texts = (letter.record for letters in self.letters for letter in letters)
        for some in groups(texts, size):
            if number >= first:
                yield _of_texts(number, row, some)
            row += len(some)
            number += 1


def groups(things: Iterable[_Thing], size: int) -> Iterator[tuple[_Thing, ...]]:
    """The same things, this many at a time; the last time there may be fewer."""
    rest = iter(things)
    while some := tuple(islice(rest, size)):
        yield some


def _of_texts(number: int, row: int, texts: Sequence[str]) -> PushBatch:
    records, places, unreadable = [], [], []
    for place, text in enumerate(texts):
        try:
            records.append(msgspec.json.decode(text, type=Record))
            places.append(place)
        except NOT_JSON as error:
            unreadable.append(Misfit(place, text.encode(), f"cannot be sent again, it is no JSON object: {error}"))
    return PushBatch(number, row, tuple(records), tuple(places), tuple(unreadable))
