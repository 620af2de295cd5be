"""A read from its beginning or from where an earlier try stopped, locked to one schema all the way."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airgate.client.pages import Position
from airgate.data.checkpoint import REFUSED, Checkpoint
from airgate.data.read.ingest import Ingest, first_records
from airgate.data.read.standing import Resumed, resumed
from airgate.data.shape.batch import ArrivalOnlooker, Batch, Decoder, Onlooker
from airgate.data.shape.evolution import Evolution
from airgate.data.shape.infer import infer_schema
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder
from airgate.policy.errors import GatewayError, InvalidResponse, Rejected

log = logging.getLogger(__name__)


REFUSALS = frozenset({400, 404, 409, 410, 416, 422})
"""Statuses by which services refuse a position.

An expired or unknown cursor is a bad parameter (400, 422), something that is not there (404, 410), a state that has
been reset (409, as Dropbox has it), or a range beyond the end (416). The other 4xx speak of who asks, how, or how
often: once that is mended, the same position is the one to ask for.
"""


class PositionRefused(Exception):
    """What stands behind a position cannot be had any more: the cursor has expired, or the export is another one.

    Its cause is the service's refusal, where there was one.
    """


def refuses_position(error: GatewayError) -> bool:
    """Whether this error of the first page behind a stored position may mean the position.

    A status may, see ``REFUSALS``. So may a success whose body is a JSON object without the list of records: some
    services tell of an expired cursor by ``{"ok": false, "error": "invalid_cursor"}``, as Slack does. A page of HTML or
    a damaged body does not: it comes of the service's state, and asking for the same later may help.
    """
    if isinstance(error, InvalidResponse):
        return error.says_otherwise
    return isinstance(error, Rejected) and error.status in REFUSALS


@dataclass(frozen=True, slots=True)
class Plan:
    """What every read needs to know, wherever its records come from."""

    source: str
    """Names the collection in messages."""
    fingerprint: str
    """Changes when a stored checkpoint must not be used any more."""
    schema: pa.Schema | None
    """The declared one; None to infer it."""
    evolution: Evolution | None
    """None for what ``unknown_fields`` says."""
    layout: Layout
    part_rows: int | None
    sample_records: int
    redact_fields: tuple[str, ...]

    @property
    def unknown_fields(self) -> Evolution:
        """What becomes of them: with a declared schema they are left out, an inferred one evolves."""
        return self.evolution or ("evolve" if self.schema is None else "discard")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the records of a read come from."""

    first: Position
    batches: Callable[[Position, Resumed | None], Generator[Batch, None, None]]
    """The batches from a position on, told what came before if an earlier try stored it; raises ``PositionRefused``."""
    open_decoder: Callable[[pa.Schema, Evolution], Decoder]
    infer: Callable[[Iterator[bytes]], pa.Schema] = infer_schema
    """Makes a schema from the first records."""


def read_through(
    plan: Plan,
    source: Source,
    folder: Folder,
    checkpoint: Checkpoint,
    onlookers: Sequence[Onlooker],
    schema_file: SchemaFile | None,
) -> Manifest:
    """Read to the end, from where the checkpoint says if it belongs to this read.

    A refused position makes the read start from the beginning, once for each page: when the same page is refused again,
    starting again does not help, and what is durable before it stays. The checkpoint remembers that.

    Args:
        plan: How to read.
        source: What to read.
        folder: Where the data set goes.
        checkpoint: Keeps the position.
        onlookers: Are told of each page and each part.
        schema_file: Where an inferred schema is kept from run to run.

    Raises:
        GatewayError: When a batch cannot be had; what came before is durable and the checkpoint stands behind it.
        ValueError: When the balance of records does not hold, or the data cannot be written as asked.
    """
    files = (SchemaFile(folder), *((schema_file,) if schema_file else ()))
    declared = plan.schema is not None and plan.unknown_fields != "evolve"

    def ingest(schema: pa.Schema, before: Resumed | None, batches: Iterator[Batch]) -> Manifest:
        return Ingest(
            plan.source,
            plan.fingerprint,
            decoder=source.open_decoder(schema, plan.unknown_fields),
            writer=PartWriter(
                *(folder, schema, before.manifest if before else None),
                part_rows=plan.part_rows,
                layout=plan.layout,
                redact_fields=plan.redact_fields,
            ),
            checkpoint=kept,
            part_list=before.part_list if before else None,
            stale=before is None and stored is not None,
            schema_files=() if declared else files,
            onlookers=onlookers,
        ).run(batches)

    stored = checkpoint.load()
    before = resumed(plan.source, plan.fingerprint, folder, stored)
    kept = _Remembering(checkpoint, stored.get(REFUSED, ()) if stored is not None and before is not None else ())
    if before is not None and before.position is None:
        return ingest(before.schema, before, iter(()))
    if before is not None:
        page = before.manifest.calls.pages
        try:
            with closing(_announced(source.batches(before.position or {}, before), onlookers)) as batches:
                return ingest(before.schema, before, batches)
        except PositionRefused as refused:
            refusal = refused.__cause__ or refused
        # Not in the clause above: raised there, the refusal would have a context that leads back to itself.
        kept.start_again(plan.source, page, refusal)
        # What was durable counts no more, and the pages that a schema is inferred from are announced before Ingest.
        for onlooker in onlookers:
            onlooker.durable(Manifest(path=folder.uri))
    schema = plan.schema if plan.schema is not None else schema_file.load() if schema_file else None
    with closing(_announced(source.batches(source.first, None), onlookers)) as batches:
        if schema is not None:
            return ingest(schema, None, batches)
        sample, together = first_records(batches, plan.sample_records)
        schema = source.infer(bytes(record) for batch in sample for record in batch.records)
        log.info("%s: inferred %d columns from the first records", plan.source, len(schema))
        return ingest(schema, None, together)


class _Remembering:
    """The read's checkpoint, beside it the pages for whose sake the read has started again.

    Args:
        inner: Where the checkpoint is kept.
        refused: Numbers of those pages, from earlier tries.
    """

    def __init__(self, inner: Checkpoint, refused: Iterable[int]) -> None:
        self._inner = inner
        self._refused = list(refused)

    def load(self) -> dict[str, Any] | None:
        """The stored checkpoint."""
        return self._inner.load()

    def save(self, state: dict[str, Any]) -> None:
        """Store the checkpoint with the pages beside it."""
        self._inner.save({**state, REFUSED: self._refused} if self._refused else state)

    def clear(self) -> None:
        """Forget the checkpoint."""
        self._inner.clear()

    def start_again(self, source: str, page: int, refusal: BaseException) -> None:
        """Say and note that the read starts from the beginning.

        Args:
            source: Names the collection.
            page: Number of the page whose position is refused.
            refusal: What came in its place.

        Raises:
            GatewayError: The refusal, when it was so for this very page before.
        """
        if not isinstance(refusal, GatewayError):
            log.warning("%s: what was read has changed since (%s); starting from the beginning", source, refusal)
            return
        status = refusal.status or "no status"
        if page in self._refused:
            log.warning(
                "%s: the stored position of page %d is refused again (status %s), after a start from the beginning for "
                "its sake: there is no other, and what is durable stays. Clear the task to start once more",
                *(source, page, status),
            )
            raise refusal
        self._refused.append(page)
        began = f", {refusal.excerpt}" if refusal.excerpt else ""
        log.warning(
            "%s: the service refuses the stored position of page %d (status %s: %s%s); starting from the beginning",
            *(source, page, status, refusal.reason, began),
        )


def _announced(batches: Generator[Batch, None, None], onlookers: Sequence[Onlooker]) -> Generator[Batch, None, None]:
    """The batches, each of which knows how long it was waited for; who wants to hears of it before anything else."""
    eager = [onlooker for onlooker in onlookers if isinstance(onlooker, ArrivalOnlooker)]
    with closing(batches):
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            batch = dataclasses.replace(batch, took=time.perf_counter() - began)
            for onlooker in eager:
                onlooker.arrived(batch)
            yield batch
