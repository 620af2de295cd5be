"""Cuts a stream of bytes into records, without holding more of it than a piece.

Where a piece ends depends on the content alone and not on how it came over the network, so that every read of the same
stream makes the same parts.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE_BYTES = 1 << 20
"""Records are handed on together in pieces of about this size."""
MAX_RECORD_BYTES = 64 << 20
"""A longer record is none: a quote that is never closed, or a file that has no lines."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records from the stream."""

    records: list[bytes]
    """Without line ends; empty lines left out."""
    start: int
    """Bytes of the stream before it."""
    end: int
    sha256: str
    """Of the stream up to its end."""


class StreamChanged(Exception):
    """The stream does not begin with what an earlier read of it has seen."""


class Unreadable(ValueError):
    """The stream ends in the middle, or is not what it says."""


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The stream without gzip, if its first bytes say that it is a gzip file; several files in one are read as one.

    Raises:
        Unreadable: It is damaged or ends in the middle.
    """
    source = iter(pieces)
    first = b""
    for piece in source:
        first += piece
        if len(first) >= len(_GZIP):
            break
    if not first.startswith(_GZIP):
        yield from ([first] if first else [])
        yield from source
        return
    reader, rest = zlib.decompressobj(wbits=31), first
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


def cut(pieces: Iterable[bytes], *, start: int = 0, sha256: str = "", quoted: bool = False) -> Iterator[Piece]:
    """The records of a stream.

    Args:
        pieces: The stream from its beginning.
        start: Bytes to pass over; a record begins there.
        sha256: Of those bytes.
        quoted: Whether a line end between double quotes belongs to the record, as in CSV (RFC 4180).

    Raises:
        StreamChanged: The bytes passed over are not those that are expected.
        Unreadable: A record is longer than ``MAX_RECORD_BYTES``.
    """
    digest, buffer, at = hashlib.sha256(), bytearray(), 0
    for piece in pieces:
        skipped = min(len(piece), max(start - at, 0))
        if skipped:
            digest.update(piece[:skipped])
            at += skipped
        if at == start and skipped and digest.hexdigest() != sha256:
            raise StreamChanged(f"its first {start} bytes are others than before")
        buffer += piece[skipped:]
        while len(buffer) >= PIECE_BYTES and (end := _end(buffer, quoted)):
            content = bytes(buffer[:end])
            del buffer[:end]
            digest.update(content)
            yield Piece(_records(content, at == 0, quoted), at, at + end, digest.hexdigest())
            at += end
        if len(buffer) > MAX_RECORD_BYTES:
            raise Unreadable(f"no record ends within the {len(buffer)} bytes behind byte {at}")
    if at < start:
        raise StreamChanged(f"it has {at} bytes, and {start} were read before")
    if buffer:
        content = bytes(buffer)
        digest.update(content)
        yield Piece(_records(content, at == 0, quoted), at, at + len(content), digest.hexdigest())


def _end(buffer: bytearray, quoted: bool) -> int:
    """Behind the last record that ends within a piece, or else the first one that ends at all; 0 without one."""
    last = buffer.rfind(b"\n", 0, PIECE_BYTES)
    quotes = buffer.count(b'"', 0, last + 1) if quoted else 0
    while last >= 0 and quotes % 2:
        before = buffer.rfind(b"\n", 0, last)
        quotes -= buffer.count(b'"', max(before, 0), last)
        last = before
    if last >= 0:
        return last + 1
    at = PIECE_BYTES - 1
    while (at := buffer.find(b"\n", at + 1)) >= 0:
        if not quoted or buffer.count(b'"', 0, at) % 2 == 0:
            return at + 1
    return 0


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
