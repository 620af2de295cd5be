"""An upstream that keeps every byte it is sent, and reads it as strictly as HTTP/1.1 can be read."""

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import BinaryIO

_REQUEST_LINE = re.compile(rb"([A-Z-]+) (/[!-~]*) HTTP/1\.1\r\n")
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_CHUNK_LINE = re.compile(rb"([0-9a-f]+)\r\n")
_KEPT_WHOLE = 1024 * 1024
_FILLING = b"." * 10_000


class NotStrict(Exception):
    """What came can be read in another way than one."""


@dataclass(frozen=True)
class Arrived:
    """A request as it was read: method, target, headers in order with lower-case names, body without its framing."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for found, value in self.headers if found == name]


@dataclass
class RecordingUpstream:
    """Listens on a free loopback port and answers each request with its method and target.

    `doubts` tells of bytes that are no strict HTTP/1.1, `cut` of requests that broke off.
    """

    requests: list[Arrived] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    cut: list[bytes] = field(default_factory=list)
    answer_bytes: int = 0
    """Bytes with which each answer is filled up."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """Begin anew."""
        self.requests, self.doubts, self.cut = [], [], []

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while (read := self._read(stream)) is not None:
                self.requests.append(read)
                body = b"" if read.method == "HEAD" else f"{read.method} {read.target}".encode()
                more = self.answer_bytes
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) + more, body))
                for start in range(0, more, len(_FILLING)):
                    connection.sendall(_FILLING[: more - start])

    def _read(self, stream: BinaryIO) -> Arrived | None:
        kept = _Kept(stream)
        try:
            return _request(kept)
        except EOFError:
            if kept.bytes:
                self.cut.append(bytes(kept.bytes[:1000]))
        except NotStrict as doubt:
            self.doubts.append(str(doubt))
        return None


class _Kept:
    """A stream that keeps what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.bytes = bytearray()

    def line(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        found = self._stream.readline()
        self.bytes += found
        if not found.endswith(b"\n"):
            raise EOFError
        matched = pattern.fullmatch(found)
        if matched is None:
            raise NotStrict(f"{found!r} does not match {pattern.pattern!r}")
        return matched

    def exactly(self, size: int) -> bytes:
        """So many bytes; of a megabyte and more only the first are kept."""
        if size <= _KEPT_WHOLE:
            data = self._stream.read(size)
            self.bytes += data[:1000]
            if len(data) < size:
                raise EOFError
            return data
        start = self.exactly(1000)
        left = size - len(start)
        while left:
            piece = self._stream.read(min(left, _KEPT_WHOLE))
            if not piece:
                raise EOFError
            left -= len(piece)
        return start


def _request(stream: _Kept) -> Arrived:
    method, target = stream.line(_REQUEST_LINE).groups()
    headers: list[tuple[str, str]] = []
    header_or_end = re.compile(rb"\r\n|" + _HEADER_LINE.pattern)
    while (found := stream.line(header_or_end))[1] is not None:
        headers.append((found[1].decode().lower(), found[2].decode("utf-8", "surrogateescape")))
    return Arrived(method.decode(), target.decode(), headers, _body(stream, headers))


def _body(stream: _Kept, headers: list[tuple[str, str]]) -> bytes:
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise NotStrict(f"framed more than once: {lengths} {codings}")
    if lengths:
        if re.fullmatch("[0-9]+", lengths[0]) is None:
            raise NotStrict(f"a length of {lengths[0]!r}")
        return stream.exactly(int(lengths[0]))
    if not codings:
        return b""
    if codings != ["chunked"]:
        raise NotStrict(f"a coding of {codings[0]!r}")
    body = bytearray()
    while size := int(stream.line(_CHUNK_LINE)[1], 16):
        body += stream.exactly(size)
        stream.line(re.compile(rb"\r\n"))
    stream.line(re.compile(rb"\r\n"))  # no trailers
    return bytes(body)
