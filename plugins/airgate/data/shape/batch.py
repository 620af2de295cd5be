"""What a source of records hands over at a time: a page, or a piece of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import pyarrow as pa

from airgate.client.message import Response
from airgate.client.pages import Position
from airgate.data.read.pages import Reached
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
    """The answer they came with, when one came for them alone."""
    reached: Reached | None = None
    """The page they are, when they are one."""


class Decoder(Protocol):
    """Turns texts of records into a table."""

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> tuple[pa.Table, list[Misfit]]:
        """Give the records that fit, in order, and those that do not."""
        ...


class Onlooker(Protocol):
    """Sees what becomes of a read, and changes nothing."""

    def took(self, reached: Reached, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        """A page was decoded; it is not durable yet."""
        ...

    def durable(self, manifest: Manifest) -> None:
        """A part is durable, or all of them."""
        ...
