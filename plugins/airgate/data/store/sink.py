"""A file that is written piece by piece, and appears under its name when it is complete or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

log = logging.getLogger(__name__)

UPLOAD_BLOCK = 8 << 20
"""Bytes of one piece of a multipart upload, and what is held in memory of it. S3 takes 5 MiB at the least."""

_STREAMED = {"s3", "s3a"}
"""File systems whose uploads can be given up for certain: fsspec's ``autocommit=False``, tried against a server."""


class Sink(Protocol):
    """Takes the content of one file. Exactly one of ``commit`` and ``discard`` ends it."""

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        ...

    def commit(self) -> None:
        """Make the file appear; it is durable when this returns."""
        ...

    def discard(self) -> None:
        """Leave nothing behind. After ``commit``, successful or not, it only tidies up."""
        ...


def open_sink(fs: fsspec.AbstractFileSystem, path: str) -> Sink:
    """What writes a file of a file system; folders on the way are made, and an earlier file of that name is replaced.

    On a local disk: a temporary file beside it, flushed to the device, then renamed. On S3: a multipart upload while
    the content comes, or one put if it is small; the object appears when the upload is completed. On any other file
    system: one put when all of the content is there, which is in memory until then.

    Args:
        fs: Any fsspec file system.
        path: Within it.
    """
    if isinstance(fs, LocalFileSystem):
        return _Renamed(Path(path))
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return _Uploaded(fs, path, UPLOAD_BLOCK if protocols & _STREAMED else None)


class _Renamed:
    """A file on a local disk."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._made = _make_folders(target.parent)
        self._temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        self._file = self._temporary.open("wb")

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._target)
        for folder in [self._target.parent, *self._made]:
            _sync_folder(folder)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk refuses what the buffer still holds
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class _Uploaded:
    """An object in a store; the first block is held back, so that a small object needs no upload in pieces."""

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str, block: int | None) -> None:
        self._fs = fs
        self._path = path
        self._block = block
        self._held = bytearray()
        self._file: Any = None  # fsspec has no type for the files of its file systems

    def write(self, piece: bytes) -> None:
        if self._file is not None:
            self._file.write(piece)
            return
        self._held += piece
        if self._block is not None and len(self._held) >= self._block:
            self._file = self._fs.open(self._path, "wb", block_size=self._block, autocommit=False)
            held, self._held = bytes(self._held), bytearray()
            self._file.write(held)

    def commit(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file.commit()
            return
        self._fs.makedirs(self._path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(self._path, bytes(self._held))

    def discard(self) -> None:
        self._held = bytearray()
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.discard()
        except Exception as error:  # of any kind, and nothing to the error for which the file is given up
            log.warning("%s: an upload that was given up may be left unfinished (%s)", self._path, error)
        file.closed = True  # or the upload would be ended when the object is collected


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; gives the folders that got a new entry."""
    missing = [above for above in [folder, *folder.parents] if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [above.parent for above in missing]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
