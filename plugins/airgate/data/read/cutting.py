"""Cuts a stream of bytes into records, without holding more of it than a piece.

Where a piece ends depends on the content alone and not on how it came over the network, so that every read of the same
stream makes the same parts.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

PIECE_BYTES = 1 << 20
"""Records are handed on together in pieces of about this size."""
MAX_RECORD_BYTES = 64 << 20
"""A longer record is none: a quote that is never closed, or a file that has no lines."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two pieces."""

    offset: int = 0
    """Bytes of the stream before it."""
    digest: str = ""
    """SHA-256 of the piece before it and of the digest before that one: what all of the stream until here was.

    Unlike one of the stream itself it can be carried on from here without the stream."""


BEGINNING = Cut()


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records from the stream."""

    records: list[bytes]
    """Without line ends; empty lines left out."""
    start: Cut
    end: Cut


class StreamChanged(Exception):
    """The stream does not begin with what an earlier read of it has seen."""


class Unreadable(ValueError):
    """The stream ends in the middle, or is not what it says."""


def unpacked(pieces: Iterable[bytes]) -> tuple[Iterator[bytes], bool]:
    """The stream without gzip, and whether its first bytes say that it is a gzip file.

    Several gzip files in one are read as one (RFC 1952, 2.2). The stream is asked for its first bytes at once. Reading
    on raises ``Unreadable`` for one that is damaged or ends in the middle.
    """
    source = iter(pieces)
    first = b""
    for piece in source:
        first += piece
        if len(first) >= len(_GZIP):
            break
    whole = chain([first] if first else [], source)
    packed = first.startswith(_GZIP)
    return (_inflated(whole) if packed else whole), packed


def _inflated(source: Iterator[bytes]) -> Iterator[bytes]:
    reader, rest = zlib.decompressobj(wbits=31), b""
    try:
        while rest or (rest := next(source, b"")):
            if reader.eof:
                rest = rest.lstrip(b"\0")  # padding behind a file
                reader = zlib.decompressobj(wbits=31) if rest else reader
                continue
            yield reader.decompress(rest, PIECE_BYTES)
            rest = reader.unused_data if reader.eof else reader.unconsumed_tail
    except zlib.error as error:
        raise Unreadable(f"the gzip body is damaged: {error}") from None
    if not reader.eof:
        raise Unreadable("the gzip body ends in the middle")


def cut(
    pieces: Iterable[bytes], *, begin: Cut = BEGINNING, start: Cut = BEGINNING, quoted: bool = False
) -> Iterator[Piece]:
    """The records of a stream.

    Args:
        pieces: The stream from ``begin`` on.
        begin: Where it begins: at ``start``, or at the very beginning.
        start: What stands before is passed over. It must be a place where an earlier read of the same stream was cut.
        quoted: Whether a line end between double quotes belongs to the record, as in CSV (RFC 4180).

    Raises:
        StreamChanged: The bytes passed over are not those that are expected.
        Unreadable: A record is longer than ``MAX_RECORD_BYTES``.
    """
    at = begin
    for content in _contents(pieces, begin.offset, quoted):
        before, at = at, _behind(at, content, start)
        if before.offset >= start.offset:
            yield Piece(_records(content, before.offset == 0, quoted), before, at)
    if at.offset < start.offset:
        raise StreamChanged(f"it has {at.offset} bytes, and {start.offset} were read before")


def _contents(pieces: Iterable[bytes], at: int, quoted: bool) -> Iterator[bytes]:
    """The stream again, every piece but the last of it a number of whole records."""
    buffer, ends = bytearray(), _Ends(quoted)
    for piece in pieces:
        buffer += piece
        while len(buffer) >= PIECE_BYTES and (length := ends.next(buffer)):
            content = bytes(buffer[:length])
            del buffer[:length]
            at += length
            yield content
        if len(buffer) > MAX_RECORD_BYTES:
            raise Unreadable(f"no record ends within the {len(buffer)} bytes behind byte {at}")
    if buffer:
        yield bytes(buffer)


def _behind(at: Cut, content: bytes, start: Cut) -> Cut:
    """The place behind a piece.

    Raises:
        StreamChanged: It should be ``start`` by now and is not.
    """
    sha256 = hashlib.sha256(at.digest.encode())
    sha256.update(content)
    end = Cut(at.offset + len(content), sha256.hexdigest())
    if at.offset < start.offset <= end.offset and end != start:
        raise StreamChanged(f"its first {start.offset} bytes are others than before")
    return end


class _Ends:
    """Finds where the pieces of a growing buffer end, and looks at no byte beyond the first piece twice.

    Args:
        quoted: Whether a line end between double quotes belongs to the record.
    """

    def __init__(self, quoted: bool) -> None:
        self._quoted = quoted
        self._seen = 0
        self._open = False

    def next(self, buffer: bytearray) -> int:
        """Behind the last record that ends within a piece, or else the first one that ends at all; 0 without one."""
        if not self._seen:
            if end := self._within(buffer):
                return end
            self._seen = PIECE_BYTES
            self._pass(buffer, 0, PIECE_BYTES)
        while (line := buffer.find(b"\n", self._seen) + 1) > 0:
            self._pass(buffer, self._seen, line)
            self._seen = line
            if not self._open:
                self._seen = 0
                return line
        self._pass(buffer, self._seen, len(buffer))
        self._seen = len(buffer)
        return 0

    def _within(self, buffer: bytearray) -> int:
        last = buffer.rfind(b"\n", 0, PIECE_BYTES)
        quotes = buffer.count(b'"', 0, last + 1) if self._quoted else 0
        while last >= 0 and quotes % 2:
            before = buffer.rfind(b"\n", 0, last)
            quotes -= buffer.count(b'"', max(before, 0), last)
            last = before
        return last + 1

    def _pass(self, buffer: bytearray, start: int, end: int) -> None:
        if self._quoted and buffer.count(b'"', start, end) % 2:
            self._open = not self._open


def _records(content: bytes, first: bool, quoted: bool) -> list[bytes]:
    lines = (content.removeprefix(_BOM) if first else content).split(b"\n")
    if quoted and b'"' in content:
        lines = _joined(lines)
    return [line for line in (line.rstrip(b"\r") if quoted else line.strip() for line in lines) if line]


def _joined(lines: list[bytes]) -> list[bytes]:
    """Lines between whose ends a quote is open, put together again."""
    records: list[bytes] = []
    opened: list[bytes] = []
    for line in lines:
        odd = line.count(b'"') % 2 == 1
        if not opened and not odd:
            records.append(line)
            continue
        opened.append(line)
        if odd and len(opened) > 1:
            records.append(b"\n".join(opened))
            opened = []
    return [*records, b"\n".join(opened)] if opened else records
