"""Reads a paged collection into Parquet parts, resuming at the last durable part."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from airgate.client.pages import Paginator, Position
from airgate.data.checkpoint import Checkpoint
from airgate.data.read.pages import Fetch, Reached, read_pages
from airgate.data.read.readthrough import Plan, PositionRefused, Source, read_through, refuses_position
from airgate.data.read.standing import Resumed
from airgate.data.shape.batch import Batch, Onlooker
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.evolution import Evolution, check_evolution
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import DEFAULT_LAYOUT, Layout
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import digest

SAMPLE_RECORDS = 1000
"""Records from which a schema is inferred."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What is read. Two equal collections can share a checkpoint."""

    source: str
    """Names the collection in messages."""
    paginator: Paginator
    schema: pa.Schema | None
    """Of a record; None to infer it from the first pages, once, and to keep it beside the data."""
    records: str = "data"
    """Dotted path of the list of records in an answer; empty for a bare list."""
    part_rows: int | None = None
    """Rows after which a part is written, instead of the layout's."""
    max_pages: int = 100_000
    """A read that needs more pages than this fails: it would probably never end."""
    max_records: int | None = None
    """A read that has more records than this fails; None for any number."""
    in_flight: int = 1
    """Pages fetched at the same time, where a page tells how many there are."""
    prefetch: bool = False
    """Whether the next page is fetched while this one is decoded."""
    salt: str = ""
    """Whatever else tells this read from another: parameters, gateway, destination."""
    evolution: Evolution | None = None
    """What becomes of fields that the schema does not know; None for ``discard`` with a declared schema and ``evolve``
    with an inferred one."""
    layout: Layout = DEFAULT_LAYOUT
    """Sizes and form of the parts."""
    sample_records: int = SAMPLE_RECORDS
    """Records from which a schema is inferred; the first page is always used."""
    redact_fields: tuple[str, ...] = ()
    """Dotted names of fields whose values are masked in dead letters."""

    def __post_init__(self) -> None:
        if self.evolution is not None:
            check_evolution(self.evolution)

    @property
    def fingerprint(self) -> str:
        """Changes when a stored checkpoint must not be used any more."""
        schema = "inferred" if self.schema is None else self.schema.to_string()
        parts = (self.source, self.salt, self.paginator, schema, self.records, self.evolution, self.layout)
        return digest(parts)

    @property
    def plan(self) -> Plan:
        """How it is read."""
        return Plan(
            source=self.source,
            fingerprint=self.fingerprint,
            schema=self.schema,
            evolution=self.evolution,
            layout=self.layout,
            part_rows=self.part_rows,
            sample_records=self.sample_records,
            redact_fields=self.redact_fields,
        )


def extract(
    collection: Collection,
    fetch: Fetch,
    folder: Folder,
    checkpoint: Checkpoint,
    onlookers: Sequence[Onlooker] = (),
    schema_file: SchemaFile | None = None,
) -> Manifest:
    """Read the collection to its end.

    After each durable part the checkpoint holds the position behind it. A read that dies goes on there, or starts from
    the beginning, once for a page, when the service refuses that position; a read that completes clears it.

    Args:
        collection: What to read.
        fetch: Asks for one page.
        folder: Where the parts go; beside them ``dead-letters-*.jsonl`` hold the records that do not fit the schema,
            and ``schema.json`` a schema that was inferred or has grown.
        checkpoint: Keeps the position.
        onlookers: Are told of each page and each part.
        schema_file: Where an inferred schema is kept from run to run: it is used when it is there, and written as it
            has become.

    Raises:
        GatewayError: When a page cannot be had; what came before is durable and the checkpoint stands behind it. It
            names the source, and the page by the number that dead letters have.
        ValueError: When the balance of records does not hold, or the collection has more pages or records than allowed.
    """
    source = Source(
        collection.paginator.first(),
        lambda start, before: _batches(collection, fetch, start, before),
        RecordDecoder,
    )
    return read_through(collection.plan, source, folder, checkpoint, onlookers, schema_file)


def _batches(
    collection: Collection, fetch: Fetch, start: Position, before: Resumed | None
) -> Generator[Batch, None, None]:
    with closing(
        read_pages(
            *(collection.paginator, fetch, collection.records, start),
            in_flight=collection.in_flight,
            prefetch=collection.prefetch,
            max_pages=collection.max_pages,
            max_records=collection.max_records,
            pages_before=before.manifest.calls.pages if before else 0,
            records_before=before.manifest.received if before else 0,
            source=collection.source,
        )
    ) as pages:
        # The beginning of a collection cannot expire.
        if before is not None and start != collection.paginator.first():
            try:
                first = next(pages)
            except GatewayError as error:
                if not refuses_position(error):
                    raise
                raise PositionRefused from error
            yield batch_of(first)
        for reached in pages:
            yield batch_of(reached)


def batch_of(reached: Reached) -> Batch:
    """A page as a batch."""
    response = reached.page.response
    return Batch(
        position=reached.position,
        records=reached.page.records,
        following=reached.following,
        bytes=response.received,
        response=response,
        total=reached.total,
    )
