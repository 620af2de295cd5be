"""Reads an export, one long NDJSON or CSV body, into Parquet parts while it comes in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import pyarrow as pa

from airgate.client.pages import Position
from airgate.client.streamed import StreamedResponse
from airgate.data.checkpoint import Checkpoint
from airgate.data.extract import SAMPLE_RECORDS
from airgate.data.read.csvtext import CsvDecoder, header_of, text_schema
from airgate.data.read.cutting import Piece, StreamChanged, Unreadable, cut, decompressed
from airgate.data.read.readthrough import Plan, PositionRefused, Source, read_through
from airgate.data.read.standing import Resumed
from airgate.data.shape.batch import Batch, Decoder, Onlooker
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.evolution import Evolution, check_evolution
from airgate.data.shape.infer import infer_schema
from airgate.data.shape.misfit import Misfit
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.layout import DEFAULT_LAYOUT, Layout
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import digest

log = logging.getLogger(__name__)

Format = Literal["ndjson", "csv"]
OpenStream = Callable[[], StreamedResponse]
"""Asks for the export: ``hook.call(..., stream=True)``."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is read. Two equal exports can share a checkpoint."""

    source: str
    """Names the export in messages."""
    schema: pa.Schema | None
    """Of a record; None to infer it from the first records. What is inferred from CSV is text."""
    format: Format = "ndjson"
    """One JSON object a line, or RFC 4180 with a header line. Either may be a gzip file, which its first bytes tell."""
    delimiter: str = ","
    """Between the fields of CSV."""
    part_rows: int | None = None
    """Rows after which a part is written, instead of the layout's."""
    salt: str = ""
    """Whatever else tells this read from another: parameters, gateway, destination."""
    evolution: Evolution | None = None
    """What becomes of fields that the schema does not know; None for ``discard`` with a declared schema and ``evolve``
    with an inferred one."""
    layout: Layout = DEFAULT_LAYOUT
    """Sizes and form of the parts."""
    sample_records: int = SAMPLE_RECORDS
    """Records from which a schema is inferred."""
    redact_fields: tuple[str, ...] = ()
    """Dotted names of fields whose values are masked in dead letters; a CSV record is masked as a whole."""
    reopens: int = 3
    """How often in a row a body that breaks off is asked for again before the read fails."""

    def __post_init__(self) -> None:
        if self.evolution is not None:
            check_evolution(self.evolution)
        if self.format not in ("ndjson", "csv"):
            raise ValueError(f"format must be ndjson or csv, not {self.format!r}")

    @property
    def plan(self) -> Plan:
        """How it is read."""
        schema = "inferred" if self.schema is None else self.schema.to_string()
        settings = (self.source, self.salt, self.format, self.delimiter, schema, self.evolution, self.layout)
        return Plan(
            source=self.source,
            fingerprint=digest(("export", *settings)),
            schema=self.schema,
            evolution=self.evolution,
            layout=self.layout,
            part_rows=self.part_rows,
            sample_records=self.sample_records,
            redact_fields=self.redact_fields,
        )


def extract_export(
    export: Export,
    open_stream: OpenStream,
    folder: Folder,
    checkpoint: Checkpoint,
    onlookers: Sequence[Onlooker] = (),
    schema_file: SchemaFile | None = None,
) -> Manifest:
    """Read the export to its end.

    Positions are bytes of the export, gzip removed, with a digest of all that stands before. A body that breaks off is
    asked for again, from its beginning; what was read of it is passed over and held against the digest. So is a read
    that an earlier try began. An export that is not the same any more is read from the beginning.

    Args:
        export: What to read.
        open_stream: Asks for it.
        folder: Where the parts, dead letters, manifest and an inferred schema go.
        checkpoint: Keeps the position.
        onlookers: Are told of each part; pages there are none.
        schema_file: Where an inferred schema is kept from run to run.

    Raises:
        GatewayError: When the export cannot be had, or breaks off too often; what came before is durable.
        ValueError: When the balance does not hold, the body is not what it says, or it changes while it is read.
    """
    reading = _Reading(export, open_stream)
    source = Source({"offset": 0}, reading.batches, reading.decoder, reading.infer)
    try:
        return read_through(export.plan, source, folder, checkpoint, onlookers, schema_file)
    except PositionRefused as refused:
        raise ValueError(f"{export.source} has changed while it was read: {refused}") from None


class _Reading:
    """One read of an export; the header of CSV is known once its first piece is."""

    def __init__(self, export: Export, open_stream: OpenStream) -> None:
        self._export = export
        self._open_stream = open_stream
        self._header: list[str] = []

    def batches(self, position: Position, before: Resumed | None) -> Generator[Batch, None, None]:
        """All records behind a position, however often the body breaks off."""
        failures = 0
        ended = False
        while not ended:
            try:
                for batch in self._once(position):
                    yield batch
                    position, failures = batch.following or position, 0
                ended = True
            except GatewayError as error:
                if not error.retryable or failures >= self._export.reopens:
                    raise
                failures += 1
                log.warning("%s broke off behind byte %d; asking again", self._export.source, position["offset"])

    def decoder(self, schema: pa.Schema, evolution: Evolution) -> Decoder:
        """What reads the records."""
        if self._export.format == "ndjson":
            return RecordDecoder(schema, evolution, unchecked=True)
        return _Late(lambda: CsvDecoder(schema, evolution, self._header, self._export.delimiter))

    def infer(self, records: Iterator[bytes]) -> pa.Schema:
        """The schema of an export of which nothing is known."""
        sample = list(records)
        return text_schema(self._header) if self._export.format == "csv" else infer_schema(sample)

    def _once(self, position: Position) -> Iterator[Batch]:
        csv = self._export.format == "csv"
        self._header = position.get("header", [])
        with self._open_stream() as response:
            pieces = self._pieces(response, position, csv)
            opened: StreamedResponse | None = response
            piece = next(pieces, None)
            while piece is not None:
                records = piece.records
                if csv and piece.start == 0 and records:
                    self._header = header_of(records[0], self._export.delimiter)
                    records = records[1:]
                after, broken = _next(pieces)
                behind: Position = {"offset": piece.end, "sha256": piece.sha256}
                if csv:
                    behind["header"] = self._header
                yield Batch(
                    position={"offset": piece.start},
                    records=records,
                    following=None if after is None and broken is None else behind,
                    bytes=piece.end - piece.start,
                    response=opened,
                )
                if broken is not None:
                    raise broken
                opened, piece = None, after

    def _pieces(self, response: StreamedResponse, position: Position, quoted: bool) -> Iterator[Piece]:
        stream = decompressed(response.iter_bytes())
        try:
            yield from cut(stream, start=position["offset"], sha256=position.get("sha256", ""), quoted=quoted)
        except StreamChanged as changed:
            raise PositionRefused(str(changed)) from None
        except Unreadable as error:
            raise response.invalid(str(error)) from None


def _next(pieces: Iterator[Piece]) -> tuple[Piece | None, GatewayError | None]:
    """The next piece, or what came in its place: the one before it is whole and need not be read again."""
    try:
        return next(pieces, None), None
    except GatewayError as error:
        return None, error


class _Late:
    """A decoder that is made when the first records are there, and with them the header."""

    def __init__(self, make: Callable[[], Decoder]) -> None:
        self._make = make
        self._made: Decoder | None = None

    def decode(self, records: Sequence[msgspec.Raw | bytes]) -> tuple[pa.Table, list[Misfit]]:
        """Give the records that fit, in order, and those that do not."""
        self._made = self._made or self._make()
        return self._made.decode(records)
