"""Reads a paged collection into Parquet parts, resuming at the last durable part."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airgate.client.message import Response
from airgate.client.pages import Paginator, Position
from airgate.data.checkpoint import Checkpoint
from airgate.data.decode import RecordDecoder
from airgate.data.manifest import Calls, Manifest
from airgate.data.parts import PART_ROWS, PartWriter
from airgate.data.reading import Fetch, Reached, read_pages
from airgate.data.storage import Folder
from airgate.policy.errors import InvalidResponse, Rejected, Unauthorized
from airgate.policy.idempotency import digest

log = logging.getLogger(__name__)

CHECKPOINT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Collection:
    """What is read. Two equal collections can share a checkpoint."""

    source: str
    """Names the collection in messages."""
    paginator: Paginator
    schema: pa.Schema
    records: str = "data"
    """Dotted path of the list of records in an answer; empty for a bare list."""
    part_rows: int = PART_ROWS
    max_pages: int = 100_000
    """A read that needs more pages than this fails: it would probably never end."""
    salt: str = ""
    """Whatever else tells this read from another: parameters, gateway, destination."""

    @property
    def fingerprint(self) -> str:
        """Changes when a stored checkpoint must not be used any more."""
        return digest((self.source, self.salt, self.paginator, self.schema.to_string(), self.records))


def extract(collection: Collection, fetch: Fetch, folder: Folder, checkpoint: Checkpoint) -> Manifest:
    """Read the collection to its end.

    After each durable part the checkpoint holds the position behind it. A read that dies goes on there, or starts from
    the beginning when the service no longer knows that position; a read that completes clears it.

    Args:
        collection: What to read.
        fetch: Asks for one page.
        folder: Where the parts go; ``dead-letters-*.jsonl`` beside them hold the records that do not fit the schema.
        checkpoint: Keeps the position.

    Raises:
        GatewayError: When a page cannot be had; the checkpoint stays.
        ValueError: When the balance of records does not hold.
    """
    state = _stored(collection, checkpoint)
    if state is not None:
        try:
            return _read(
                collection, fetch, folder, checkpoint, Manifest.from_json(state["manifest"]), state["position"]
            )
        except _PositionRefused as refused:
            log.warning(
                "%s: the service no longer knows the stored position (%s); starting from the beginning",
                *(collection.source, refused.__cause__),
            )
    return _read(collection, fetch, folder, checkpoint, None, collection.paginator.first())


class _PositionRefused(Exception):
    """The first page behind a stored position was refused: the cursor has expired."""


def _read(
    collection: Collection,
    fetch: Fetch,
    folder: Folder,
    checkpoint: Checkpoint,
    manifest: Manifest | None,
    position: Position | None,
) -> Manifest:
    resumed = manifest is not None
    decoder = RecordDecoder(collection.schema)
    writer = PartWriter(folder, collection.schema, manifest, part_rows=collection.part_rows)
    calls = writer.manifest.calls
    for reached in _pages(collection, fetch, position, resumed=resumed) if position is not None else ():
        _count(calls, reached.page.response)
        table, misfits = decoder.decode(reached.page.records)
        writer.add(table, misfits, page=calls.pages, position=reached.position)
        calls.pages += 1
        if reached.following is not None and calls.pages >= collection.max_pages:
            raise ValueError(
                f"{collection.source} has more than {collection.max_pages} pages; raise max_pages if it must"
            )
        # Also behind the last page: a try that Airflow has given up cannot reach the store any more, and must fail
        # here rather than complete a data set that its successor is writing.
        if writer.due or reached.following is None:
            writer.flush()
            checkpoint.save(
                {
                    "version": CHECKPOINT_VERSION,
                    "fingerprint": collection.fingerprint,
                    "position": reached.following,
                    "manifest": writer.manifest.to_json(),
                }
            )
            log.info("%s: %d records durable after %d pages", collection.source, writer.manifest.received, calls.pages)
    complete = writer.commit()
    checkpoint.clear()
    return complete


def _pages(collection: Collection, fetch: Fetch, start: Position, *, resumed: bool) -> Iterator[Reached]:
    pages = read_pages(collection.paginator, fetch, collection.records, start)
    if resumed:
        try:
            yield next(pages)
        except (Rejected, InvalidResponse) as error:
            if isinstance(error, Unauthorized):
                raise
            raise _PositionRefused from error
    yield from pages


def _stored(collection: Collection, checkpoint: Checkpoint) -> dict[str, Any] | None:
    state = checkpoint.load()
    if state is None:
        return None
    if state.get("version") != CHECKPOINT_VERSION or state.get("fingerprint") != collection.fingerprint:
        log.warning("%s: the stored checkpoint belongs to another read; starting from the beginning", collection.source)
        return None
    log.warning(
        "%s: resuming behind %d records that an earlier try made durable",
        *(collection.source, state["manifest"]["received"]),
    )
    return state


def _count(calls: Calls, response: Response) -> None:
    calls.requests += response.attempts
    calls.retries += response.attempts - 1
    calls.waited = round(calls.waited + response.waited, 3)
    for fault in response.faults:
        calls.faults[fault] = calls.faults.get(fault, 0) + 1
