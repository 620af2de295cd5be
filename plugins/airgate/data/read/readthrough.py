"""A read from its beginning or from where an earlier try stopped, locked to one schema all the way."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from airgate.client.pages import Position
from airgate.data.checkpoint import Checkpoint
from airgate.data.read.ingest import Ingest, first_records
from airgate.data.read.standing import Resumed, resumed
from airgate.data.shape.batch import Batch, Decoder, Onlooker
from airgate.data.shape.evolution import Evolution
from airgate.data.shape.infer import infer_schema
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder

log = logging.getLogger(__name__)


class PositionRefused(Exception):
    """What stands behind a position cannot be had any more: the cursor has expired, or the export is another one."""


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
            checkpoint=checkpoint,
            part_list=before.part_list if before else None,
            stale=before is None and stored is not None,
            schema_files=() if declared else files,
            onlookers=onlookers,
        ).run(batches)

    stored = checkpoint.load()
    before = resumed(plan.source, plan.fingerprint, folder, stored)
    if before is not None and before.position is None:
        return ingest(before.schema, before, iter(()))
    if before is not None:
        try:
            with closing(_timed(source.batches(before.position or {}, before))) as batches:
                return ingest(before.schema, before, batches)
        except PositionRefused as refused:
            log.warning(
                "%s: the service no longer knows the stored position (%s); starting from the beginning",
                *(plan.source, refused.__cause__ or refused),
            )
    schema = plan.schema if plan.schema is not None else schema_file.load() if schema_file else None
    with closing(_timed(source.batches(source.first, None))) as batches:
        if schema is not None:
            return ingest(schema, None, batches)
        sample, together = first_records(batches, plan.sample_records)
        schema = source.infer(bytes(record) for batch in sample for record in batch.records)
        log.info("%s: inferred %d columns from the first records", plan.source, len(schema))
        return ingest(schema, None, together)


def _timed(batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    """The batches, each of which knows how long it was waited for."""
    with closing(batches):
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            yield dataclasses.replace(batch, took=time.perf_counter() - began)
