"""Reads an export, one long NDJSON or CSV body, into Parquet parts while it comes in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from airgate.client import clock
from airgate.client.message import Response
from airgate.client.pages import Position
from airgate.data.checkpoint import Checkpoint
from airgate.data.extract import SAMPLE_RECORDS
from airgate.data.read.caps import Caps, shown
from airgate.data.read.csvtext import CsvDecoder, header_of, text_schema
from airgate.data.read.cutting import BEGINNING, Cut, Piece, StreamChanged, Unreadable, cut
from airgate.data.read.fileformats import CsvFile, FileFormat, NdjsonFile
from airgate.data.read.opening import Opened, OpenStream, open_export
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
from airgate.policy.errors import GatewayError, OutcomeUnknown, Unavailable
from airgate.policy.idempotency import digest

log = logging.getLogger(__name__)

_NDJSON = NdjsonFile()


@dataclass(frozen=True, slots=True)
class Export:
    """What is read. Two equal exports can share a checkpoint."""

    source: str
    """Names the export in messages."""
    schema: pa.Schema | None
    """Of a record; None to infer it from the first records. What is inferred from CSV is text."""
    file: FileFormat = _NDJSON
    """How it is written. It may be a gzip file, which its first bytes tell."""
    part_rows: int | None = None
    """Rows after which a part is written, instead of the layout's."""
    max_records: int | None = None
    """A read that has more records than this fails; None for any number."""
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
    """How often a body that breaks off is asked for again without getting on before the read fails."""
    backoff: float = 0.5
    """Seconds before the second of these times; they double from time to time. The first is at once."""

    def __post_init__(self) -> None:
        if self.evolution is not None:
            check_evolution(self.evolution)

    @property
    def plan(self) -> Plan:
        """How it is read."""
        schema = "inferred" if self.schema is None else self.schema.to_string()
        settings = (self.source, self.salt, self.file, schema, self.evolution, self.layout)
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
    asked for again, and so is that of a read that an earlier try began: for what is missing, where the service gives
    ranges of this very version, else from its beginning. What was read of it is then passed over and held against the
    digest. An export that is not the same any more is read from the beginning.

    Args:
        export: What to read.
        open_stream: Asks for it.
        folder: Where the parts, dead letters, manifest and an inferred schema go.
        checkpoint: Keeps the position.
        onlookers: Are told of each piece, of about 1 MB, and each part.
        schema_file: Where an inferred schema is kept from run to run.

    Raises:
        GatewayError: When the export cannot be had, or breaks off too often; what came before is durable. It names the
            source, and the piece by the number that dead letters have as page.
        ValueError: When the balance does not hold, there are too many records, or the export changes while it is read.
    """
    reading = _Reading(export, open_stream)
    source = Source(_position(BEGINNING), reading.batches, reading.decoder, reading.infer)
    return read_through(export.plan, source, folder, checkpoint, onlookers, schema_file)


def _position(place: Cut, header: Sequence[str] = (), etag: str = "") -> Position:
    beside = {"header": list(header), "etag": etag}
    return {"offset": place.offset, "digest": place.digest, **{name: value for name, value in beside.items() if value}}


class _Reading:
    """One read of an export; the header of CSV is known once its first piece is."""

    def __init__(self, export: Export, open_stream: OpenStream) -> None:
        self._export = export
        self._open_stream = open_stream
        self._csv = export.file if isinstance(export.file, CsvFile) else None
        self._header: list[str] = []

    def batches(self, position: Position, before: Resumed | None) -> Generator[Batch, None, None]:
        """All records behind a position, however often the body breaks off.

        Raises:
            PositionRefused: The export is another one than that of the try that stored the position.
        """
        export, failures, came, ended = self._export, 0, False, False
        caps = Caps(
            *(None, export.max_records),
            before.manifest.calls.pages if before else 0,
            before.manifest.received if before else 0,
            source=shown(export.source),
            piece="piece",
        )
        while not ended:
            try:
                for batch in self._once(position):
                    caps.count(len(batch.records), last=batch.following is None)
                    yield batch
                    position, failures, came = batch.following or position, 0, True
                ended = True
            except StreamChanged as changed:
                if before is not None and not came:
                    raise PositionRefused(str(changed)) from None
                raise ValueError(f"{export.source} has changed while it was read: {changed}; try again") from None
            except _BrokenOff as broken:
                if failures >= export.reopens:
                    broken.error.retryable = True  # also where it was asked for by POST: a read has no effect
                    broken.error.at(caps.place)
                    raise broken.error from None
                if failures:
                    clock.sleep(export.backoff * 2.0 ** (failures - 1))
                failures += 1
                log.warning("%s broke off behind byte %d; asking again", export.source, position["offset"])
            except GatewayError as error:
                error.at(caps.place)
                raise

    def decoder(self, schema: pa.Schema, evolution: Evolution) -> Decoder:
        """What reads the records."""
        csv = self._csv
        if csv is None:
            return RecordDecoder(schema, evolution, unchecked=True)
        return _Late(lambda: CsvDecoder(schema, evolution, self._header, csv))

    def infer(self, records: Iterator[bytes]) -> pa.Schema:
        """The schema of an export of which nothing is known."""
        sample = list(records)
        return text_schema(self._header) if self._csv is not None else infer_schema(sample)

    def _once(self, position: Position) -> Iterator[Batch]:
        """What one answer brings; an error in the middle of it comes behind all that was whole."""
        start = Cut(position["offset"], position.get("digest", ""))
        opened = open_export(self._open_stream, start.offset, position.get("etag", ""))
        self._header = position.get("header") or list((self._csv and self._csv.header) or ())
        response: Response | None = opened.response
        with opened.response:
            pieces = self._pieces(opened, start)
            piece, broken = _next(pieces)
            while piece is not None:
                records = self._without_header(piece.records)
                after, broken = _next(pieces)
                behind = _position(piece.end, self._header if self._csv else (), opened.etag)
                yield Batch(
                    position={"offset": piece.start.offset},
                    records=records,
                    following=None if after is None and broken is None else behind,
                    bytes=piece.end.offset - piece.start.offset,
                    response=response,
                    share=opened.share(piece.end.offset),
                )
                response, piece = None, after
            if isinstance(broken, (Unavailable, OutcomeUnknown)):  # the latter of a POST
                raise _BrokenOff(broken)
            if broken is not None:
                raise broken

    def _pieces(self, opened: Opened, start: Cut) -> Iterator[Piece]:
        begin = start if opened.begin else BEGINNING
        try:
            yield from cut(opened.pieces(), begin=begin, start=start, quoted=self._csv is not None)
        except Unreadable as error:
            raise opened.response.invalid(str(error)) from None

    def _without_header(self, records: list[bytes]) -> list[bytes]:
        if self._csv is None or self._header or not records:
            return records
        self._header = header_of(records[0], self._csv)
        return records[1:]


class _BrokenOff(Exception):
    """The body did not come in whole; asking again may help."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__()
        self.error = error


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
