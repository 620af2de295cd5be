"""What a source of records hands over at a time: a page, or a piece of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec
import pyarrow as pa

from airgate.client.message import Response
from airgate.client.pages import Position
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that came together."""

    position: Position
    """Where they stand in the collection."""
    records: Sequence[msgspec.Raw | bytes]
    """Text of each record."""
    following: Position | None
    """Where the next batch stands; None behind the last."""
    bytes: int
    """Size of the text."""
    response: Response | None = None
    """The answer they came with; None where they are a further piece of the one before."""
    total: int | None = None
    """Records in the whole collection, where the service told."""
    share: float | None = None
    """How much of all has come with it, from 0 to 1, where that is known otherwise than by the total."""
    took: float = 0.0
    """Seconds that the read stood still until it was here."""


class Decoder(Protocol):
    """Turns texts of records into a table."""

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> tuple[pa.Table, list[Misfit]]:
        """Give the records that fit, in order, and those that do not."""
        ...


class Onlooker(Protocol):
    """Sees what becomes of a read, and changes nothing."""

    def took(self, batch: Batch, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        """A batch was decoded; it is not durable yet."""
        ...

    def durable(self, manifest: Manifest) -> None:
        """A part is durable, or all of them."""
        ...


@runtime_checkable
class ArrivalOnlooker(Onlooker, Protocol):
    """An onlooker that hears of each batch as soon as it is here, too: small ones wait to be decoded together."""

    def arrived(self, batch: Batch) -> None:
        """A batch is here; what its records hold is not known yet."""
        ...
