"""Bodies that are sent piece by piece: files and streams.

A body that can be opened again may be sent again. One that cannot, ``OneShot``, ends the call at the first attempt that
read from it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator
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

    def __repr__(self) -> str:
        # The same at every parse of a DAG file, which Airflow tells versions of a DAG by: without an address.
        opener = getattr(self.opener, "__qualname__", type(self.opener).__qualname__)
        return f"StreamBody({opener}, size={self.size}, content_type={self.content_type!r})"

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

    def __repr__(self) -> str:
        stream = type(self.stream).__name__
        return f"OneShot({stream}, size={self.size}, content_type={self.content_type!r}, name={self.name!r})"

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
