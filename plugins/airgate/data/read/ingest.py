"""The loop of every read: batches in, durable parts out, behind each of them the position in the checkpoint."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from airgate.client.message import Response
from airgate.client.pages import Position
from airgate.data.checkpoint import Checkpoint
from airgate.data.read.standing import standing
from airgate.data.shape.batch import Batch, Decoder, Onlooker
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.manifest import Calls, Manifest
from airgate.data.store.part_list import PartList
from airgate.data.store.parts import PartWriter
from airgate.policy.errors import GatewayError

log = logging.getLogger(__name__)

DECODED_TOGETHER = 1 << 20
"""Small batches are decoded together until they have this many bytes: a call of the reader has a cost of its own."""


def first_records(batches: Iterator[Batch], count: int) -> tuple[list[Batch], Iterator[Batch]]:
    """The first batches, until they have that many records, and all batches, these included.

    An error behind the first batch is raised by the second result, in its place: what came before it can be used.

    Raises:
        GatewayError: There is not even a first batch.
    """
    taken: list[Batch] = []
    try:
        for batch in batches:
            taken.append(batch)
            if sum(len(each.records) for each in taken) >= count:
                break
    except GatewayError as error:
        if not taken:
            raise
        return taken, _together(taken, iter(()), error)
    return taken, _together(taken, batches, None)


def _together(first: list[Batch], rest: Iterator[Batch], error: GatewayError | None) -> Iterator[Batch]:
    yield from first
    yield from rest
    if error is not None:
        raise error


class Ingest:
    """A read on its way.

    Args:
        source: Names the collection in messages.
        fingerprint: Of the read, kept with the checkpoint.
        decoder: Reads the records' texts.
        writer: Writes the parts.
        checkpoint: Keeps the position.
        part_list: Of what an earlier try made durable; None to begin anew.
        stale: Whether the checkpoint holds something all the same, which is not to be used.
        schema_files: Where the schema is kept as well, as it becomes.
        onlookers: Are told of each batch and each part.
    """

    def __init__(
        self,
        source: str,
        fingerprint: str,
        *,
        decoder: Decoder,
        writer: PartWriter,
        checkpoint: Checkpoint,
        part_list: PartList | None = None,
        stale: bool = False,
        schema_files: Sequence[SchemaFile] = (),
        onlookers: Sequence[Onlooker] = (),
    ) -> None:
        self._source = source
        self._fingerprint = fingerprint
        self._decoder = decoder
        self._writer = writer
        self._checkpoint = checkpoint
        self._part_list = part_list or PartList(writer.folder)
        self._stale = stale
        self._schema_files = schema_files
        self._onlookers = onlookers
        self._pending: list[Batch] = []
        self._records = self._bytes = 0
        """Of the batches that are not decoded yet."""
        self._received = 0
        """Records that came in since the last flush, whatever the decoder and the writer make of them."""
        self._flushed_pages = writer.manifest.calls.pages
        self._last: Batch | None = None
        self._kept: pa.Schema | None = None

    def run(self, batches: Iterable[Batch]) -> Manifest:
        """Take all batches in and complete the data set.

        Raises:
            GatewayError: A batch cannot be had; the ones before it are durable.
            ValueError: Not every record that came in has become a row or a dead letter, or the data cannot be written
                as asked.
        """
        # Before the first page: what is said of this try counts from what is durable.
        self._tell_durable()
        with closing(self._writer):
            try:
                for batch in batches:
                    self._take(batch)
            except GatewayError:
                # The wait that follows may end this process. Under a tight limit a read would never get on otherwise.
                self._flush()
                raise
            if self._pending:
                self._decode()
            self._make_durable()
            self._writer.complete()
            # Before the manifest: a try that Airflow has given up cannot reach the store any more, and must fail here
            # rather than complete a data set that its successor is writing.
            self._save(None, final=True)
            complete = self._writer.commit()
        self._tell_durable()
        self._checkpoint.clear()
        return complete

    def _take(self, batch: Batch) -> None:
        self._pending.append(batch)
        self._records += len(batch.records)
        self._received += len(batch.records)
        self._bytes += batch.bytes
        if self._bytes >= DECODED_TOGETHER or self._writer.rows + self._records >= self._writer.layout.part_rows:
            self._decode()
            if self._writer.due:
                self._flush()

    def _decode(self) -> None:
        if self._stale:
            # The parts that it tells of are about to be replaced under the same names.
            self._save(self._pending[0].position)
            self._stale = False
        batches, came, calls = self._pending, self._records, self._writer.manifest.calls
        self._pending, self._records, self._bytes = [], 0, 0
        table, found = self._decoder.decode([record for batch in batches for record in batch.records])
        self._check_balance(calls.pages, calls.pages + len(batches), came, table.num_rows, len(found))
        misfits = deque(found)
        self._writer.add(table, position=batches[0].position)
        start, row = 0, 0
        for batch in batches:
            mine = []
            while misfits and misfits[0].index < start + len(batch.records):
                misfit = misfits.popleft()
                mine.append(Misfit(misfit.index - start, misfit.record, misfit.reason))
            start += len(batch.records)
            self._writer.reject(mine, page=calls.pages, position=batch.position)
            _count(calls, batch.response)
            if self._onlookers:
                rows = table.slice(row, len(batch.records) - len(mine))
                row += rows.num_rows
                for onlooker in self._onlookers:
                    onlooker.took(batch, rows, mine)
        self._last = batches[-1]

    def _flush(self) -> None:
        if self._pending:
            self._decode()
        if self._last is None:
            return
        self._make_durable()
        self._save(self._last.following)
        manifest = self._writer.manifest
        log.info("%s: %d records durable after %d pages", self._source, manifest.received, manifest.calls.pages)
        self._tell_durable()

    def _make_durable(self) -> None:
        """Write what is decoded. Only what adds up is entered in a checkpoint afterwards."""
        manifest = self._writer.manifest
        came, written, dead = self._received, manifest.written, manifest.dead_lettered
        self._writer.flush(came)
        written, dead = manifest.written - written, manifest.dead_lettered - dead
        self._check_balance(self._flushed_pages, manifest.calls.pages, came, written, dead)
        self._received, self._flushed_pages = 0, manifest.calls.pages

    def _check_balance(self, first: int, behind: int, came: int, rows: int, letters: int) -> None:
        """Refuse pages whose records have not all become rows or dead letters, or have become more than one.

        Args:
            first: Number of the first page, from 0, as dead letters have it.
            behind: Number behind the last one.
            came: Records of these pages as they came in.
            rows: That they became.
            letters: Dead letters that they became.
        """
        if came == rows + letters:
            return
        pages = f"page {first}" if behind - first == 1 else f"pages {first} to {behind - 1}"
        raise ValueError(
            f"{self._source}: {came} records were received with {pages} (the first is 0), but they became {rows} rows "
            f"and {letters} dead letters. A retry reads them again; report it if that fails as well"
        )

    def _save(self, position: Position | None, *, final: bool = False) -> None:
        self._keep_schema()
        noted = self._part_list.note(self._writer.manifest, final=final)
        self._checkpoint.save(standing(self._fingerprint, position, noted, self._writer.schema))

    def _keep_schema(self) -> None:
        schema = self._writer.schema
        if schema is not self._kept:
            for file in self._schema_files:
                file.save(schema)
            self._kept = schema

    def _tell_durable(self) -> None:
        for onlooker in self._onlookers:
            onlooker.durable(self._writer.manifest)


def _count(calls: Calls, response: Response | None) -> None:
    calls.pages += 1
    if response is None:
        return
    calls.requests += response.attempts
    calls.retries += response.attempts - 1
    calls.waited = round(calls.waited + response.waited, 3)
    for fault in response.faults:
        calls.faults[fault] = calls.faults.get(fault, 0) + 1
