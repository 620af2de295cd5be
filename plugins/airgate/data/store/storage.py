"""A folder on any fsspec file system, in which a file is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import Pattern
from typing import TypeAlias, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

Content: TypeAlias = bytes | pa.Buffer


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of data files."""

    fs: fsspec.AbstractFileSystem
    path: str
    """The folder within the file system."""
    uri: str
    """The folder as a user names it, such as ``s3://bucket/flights``."""

    def file(self, name: str) -> str:
        """Path of a file of this folder within the file system."""
        return f"{self.path.rstrip('/')}/{name}"

    def write(self, name: str, content: Content) -> None:
        """Write a file durably and atomically; an earlier file of that name is replaced.

        On a local disk: a temporary file, flushed to the device, then renamed. On an object store a put is atomic by
        itself, and so is one in several pieces (multipart), as the file system does it for large content: the object
        appears when the last piece is confirmed.

        Args:
            name: Of the file; folders in it, ``column=value/part-00000.parquet``, are made.
            content: All of it.
        """
        if not isinstance(self.fs, LocalFileSystem):
            path = self.file(name)
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.fs.pipe_file(path, content if isinstance(content, bytes) else content.to_pybytes())
            return
        target = Path(self.path) / name
        made = _make_folders(target.parent)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        for folder in [target.parent, *made]:
            _sync_folder(folder)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        return cast(bytes, self.fs.cat_file(self.file(name)))

    def remove(self, names: Pattern[str], *, but: Collection[str]) -> None:
        """Remove the files whose whole name matches, but for some: what an earlier, abandoned attempt left behind.

        Args:
            names: Of files, with the folders below this one in front.
            but: Names that stay.
        """
        for name in self._names():
            if name not in but and names.fullmatch(name):
                self.fs.rm_file(self.file(name))

    def _names(self) -> Iterator[str]:
        self.fs.invalidate_cache(self.path)
        if not self.fs.exists(self.path):
            return
        start = len(str(self.fs._strip_protocol(self.path)).rstrip("/")) + 1
        for found in self.fs.find(self.path):
            yield found[start:]


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
