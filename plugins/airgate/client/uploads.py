"""Bodies that are sent piece by piece: files, streams and forms of both.

A body that can be opened again may be sent again. One that cannot, ``OneShot``, ends the call at the first attempt that
read from it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

PIECE = 1 << 18
"""Bytes read from a file at a time."""


@runtime_checkable
class Upload(Protocol):
    """A body that comes in pieces."""

    @property
    def content_type(self) -> str | None:
        """Media type to send where the call names none."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes altogether, None when not known: then it is sent in chunks."""
        ...

    @property
    def spent(self) -> bool:
        """Whether it was read and cannot be read again."""
        ...

    def open(self) -> Iterator[bytes]:
        """The body from its beginning; nothing is read before the first piece is asked for."""
        ...

    def digest(self) -> str:
        """What tells it from another body: hexadecimal digits."""
        ...


Body = bytes | Upload
"""What a request may carry."""

Stream = IO[bytes] | Iterable[bytes]


def body_digest(body: Body | None) -> str:
    """What tells one body from another: SHA-256 in hexadecimal digits, for fingerprints of idempotency keys."""
    if body is None or isinstance(body, bytes):
        return hashlib.sha256(body or b"").hexdigest()
    return body.digest()


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file's content.

    Args:
        path: Of the file, opened anew for each attempt.
        content_type: Media type; None lets the file's name tell it.
    """

    path: str | os.PathLike[str]
    content_type: str | None = None
    spent: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.content_type is None:
            guess = mimetypes.guess_type(os.fspath(self.path))[0]
            object.__setattr__(self, "content_type", guess or "application/octet-stream")

    @property
    def length(self) -> int | None:
        """Its size now."""
        return Path(self.path).stat().st_size

    def open(self) -> Iterator[bytes]:
        """Its content, read as it is sent."""
        with Path(self.path).open("rb") as file:
            yield from _pieces(file)

    def digest(self) -> str:
        """SHA-256 of its content."""
        return _sha256(self.open())


@dataclass(frozen=True, slots=True)
class StreamBody:
    """What a function opens, once for each attempt.

    Args:
        opener: Gives a binary stream, which is closed after use, or an iterable of bytes.
        size: Bytes altogether, None when not known.
        content_type: Media type.
    """

    opener: Callable[[], Stream]
    size: int | None = None
    content_type: str | None = "application/octet-stream"
    spent: bool = field(default=False, init=False)

    @property
    def length(self) -> int | None:
        """The size that was given."""
        return self.size

    def open(self) -> Iterator[bytes]:
        """The stream from its beginning."""
        yield from _pieces(self.opener())

    def digest(self) -> str:
        """SHA-256 of what a fresh stream holds; it is read for that."""
        return _sha256(self.open())


@dataclass(slots=True)
class OneShot:
    """A stream that can be read once only: the call is not repeated once an attempt has read from it.

    Args:
        stream: Binary stream, closed after use, or an iterable of bytes.
        size: Bytes altogether, None when not known.
        content_type: Media type.
        name: What tells it from other streams, for the fingerprint: its content cannot be read for that.
    """

    stream: Stream
    size: int | None = None
    content_type: str | None = "application/octet-stream"
    name: str = ""
    spent: bool = field(default=False, init=False)

    @property
    def length(self) -> int | None:
        """The size that was given."""
        return self.size

    def open(self) -> Iterator[bytes]:
        """The stream, the first time.

        Raises:
            ValueError: It was read before.
        """
        if self.spent:
            raise ValueError("the body is a stream that was read already; StreamBody can be opened again")
        self.spent = True
        yield from _pieces(self.stream)

    def digest(self) -> str:
        """SHA-256 of its name and size."""
        return hashlib.sha256(f"one-shot:{self.name}:{self.size}".encode()).hexdigest()


@dataclass(frozen=True)
class Multipart:
    """A form with files, ``multipart/form-data`` (RFC 7578).

    Args:
        fields: Values of the form's fields; a list repeats its name.
        files: Content by field name: bytes, a path, or another body of this module.
        names: File names to tell the server by field name; else a path's own, or the field's name.
    """

    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    files: Mapping[str, Body | os.PathLike[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def content_type(self) -> str | None:
        """The media type with the boundary that this form uses."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int | None:
        """Bytes altogether, None when one of the files does not know its own."""
        total = 0
        for head, content in self._parts():
            size = len(content) if isinstance(content, bytes) else content.length
            if size is None:
                return None
            total += len(head) + size + 2
        return total + len(self._end)

    @property
    def spent(self) -> bool:
        """Whether one of its files is."""
        return any(isinstance(content, Upload) and content.spent for content in self.files.values())

    def open(self) -> Iterator[bytes]:
        """The form, each file opened when its turn comes."""
        for head, content in self._parts():
            yield head
            if isinstance(content, bytes):
                yield content
            else:
                yield from content.open()
            yield b"\r\n"
        yield self._end

    def digest(self) -> str:
        """SHA-256 of names and contents; the boundary, another one each time, does not count."""
        sha = hashlib.sha256()
        for name, value in self._values():
            sha.update(f"{len(name.encode())}:{len(value.encode())}:{name}{value}".encode())
        for name, content in self.files.items():
            filename = self._filename(name, content)
            sha.update(f"{len(name.encode())}:{len(filename.encode())}:{name}{filename}".encode())
            sha.update(body_digest(_as_body(content)).encode())
        return sha.hexdigest()

    @property
    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()

    def _values(self) -> Iterator[tuple[str, str]]:
        for name, value in self.fields.items():
            for item in value if isinstance(value, list) else [value]:
                yield name, item

    def _parts(self) -> Iterator[tuple[bytes, Body]]:
        for name, value in self._values():
            yield self._head(f'name="{_quoted(name)}"', None), value.encode()
        for name, content in self.files.items():
            body = _as_body(content)
            filename = self._filename(name, content)
            kind = None if isinstance(body, bytes) else body.content_type
            kind = kind or mimetypes.guess_type(filename)[0] or "application/octet-stream"
            yield self._head(f'name="{_quoted(name)}"; filename="{_quoted(filename)}"', kind), body

    def _head(self, disposition: str, kind: str | None) -> bytes:
        if kind is not None and not (kind.isascii() and kind.isprintable()):
            raise ValueError(f"content_type must be a media type, not {kind!r}")
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        return f"--{self.boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{typed}\r\n".encode()

    def _filename(self, name: str, content: object) -> str:
        path = content.path if isinstance(content, FileBody) else content
        return self.names.get(name) or (Path(path).name if isinstance(path, (str, os.PathLike)) else name)


def _as_body(content: Body | os.PathLike[str]) -> Body:
    return FileBody(content) if isinstance(content, os.PathLike) else content


def _quoted(text: str) -> str:
    """A name within quotes, as browsers write it (HTML, multipart/form-data encoding algorithm)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _pieces(stream: Stream) -> Iterator[bytes]:
    read = getattr(stream, "read", None)
    try:
        if read is None:
            yield from stream
            return
        while piece := read(PIECE):
            yield piece
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def _sha256(pieces: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return sha.hexdigest()
