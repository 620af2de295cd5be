"""Undoes content codings in bounded pieces, so that a few bytes cannot become gigabytes in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from multidict import CIMultiDictProxy

ACCEPTED = "gzip, deflate"
"""What both drivers ask for."""
PIECE = 1 << 16
"""Bytes of a decoded piece at most."""
MOST_CODINGS = 5


def codings(headers: CIMultiDictProxy[str]) -> str:
    """What an answer says of its content codings, on however many lines; empty when it has none."""
    return ", ".join(headers.getall("content-encoding", ()))


class UnknownCoding(Exception):
    """The body is coded in a way that was not asked for; the message names it."""


class DamagedCoding(Exception):
    """The body is not what its coding says, or it ends too early."""


class Decoder:
    """Decodes one body.

    Args:
        header: The answer's ``Content-Encoding``.

    Raises:
        UnknownCoding: It names a coding that cannot be undone here.
    """

    def __init__(self, header: str) -> None:
        names = [name.strip().lower() for name in header.split(",")]
        codings = [name for name in names if name not in {"", "identity"}]
        if len(codings) > MOST_CODINGS:
            raise UnknownCoding(f"{len(codings)} content codings one over the other")
        # The last one named was applied last (RFC 9110, 8.4) and is undone first.
        self._stages = [_stage(name) for name in reversed(codings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The body's next pieces; data must not be held back by the caller between two of them."""
        return self._through(0, data)

    def finish(self) -> None:
        """Say that no data is left.

        Raises:
            DamagedCoding: More would have to come.
        """
        if any(stage.midway for stage in self._stages):
            raise DamagedCoding("the compressed body ends too early")

    def _through(self, at: int, data: bytes) -> Iterator[bytes]:
        if at == len(self._stages):
            if data:
                yield data
            return
        for piece in self._stages[at].feed(data):
            yield from self._through(at + 1, piece)


def _stage(name: str) -> _Zlib:
    if name in {"gzip", "x-gzip"}:
        return _Zlib(16 + zlib.MAX_WBITS, several=True)
    if name == "deflate":
        return _Zlib(zlib.MAX_WBITS, raw_too=True)
    raise UnknownCoding(f"the content coding {name[:40]!r}, which was not asked for")


class _Zlib:
    """Gzip, whose members may follow each other, or deflate, which some servers send without its zlib header."""

    def __init__(self, wbits: int, *, several: bool = False, raw_too: bool = False) -> None:
        self._wbits = wbits
        self._several = several
        self._raw_too = raw_too
        self._inflate = zlib.decompressobj(wbits)
        self._first = b""
        self.midway = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:
                if not self._several:
                    return
                # Some servers pad with zeros; anything else is the next member.
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._inflate = zlib.decompressobj(self._wbits)
            self.midway = True
            piece = self._decompress(data)
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            self.midway = not self._inflate.eof
            if piece:
                yield piece

    def _decompress(self, data: bytes) -> bytes:
        try:
            piece = self._inflate.decompress(data, PIECE)
        except zlib.error as error:
            if not self._raw_too:
                raise DamagedCoding(f"the body is not what its content coding says ({error})") from None
            self._raw_too = False
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._decompress(self._first + data)
        if self._raw_too:
            # Two bytes decide; until they are there, they are kept for the second attempt.
            self._first = b"" if piece else self._first + data
            self._raw_too = not piece and len(self._first) < 2
        return piece
