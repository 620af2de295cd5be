"""A folder on any fsspec file system, in which a file is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from re import Pattern
from typing import cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


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

    def write(self, name: str, content: bytes) -> None:
        """Write a file durably and atomically; an earlier file of that name is replaced.

        On a local disk: a temporary file, flushed to the device, then renamed. On an object store a put is atomic by
        itself.
        """
        if not isinstance(self.fs, LocalFileSystem):
            self.fs.makedirs(self.path, exist_ok=True)
            self.fs.pipe_file(self.file(name), content)
            return
        folder = Path(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.{secrets.token_hex(8)}"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return cast(bytes, self.fs.cat_file(self.file(name)))

    def remove(self, names: Pattern[str], *, but: Collection[str]) -> None:
        """Remove the files whose whole name matches, but for some: what an earlier, abandoned attempt left behind."""
        if not self.fs.exists(self.path):
            return
        for found in self.fs.ls(self.path, detail=False):
            name = found.rstrip("/").rpartition("/")[2]
            if name not in but and names.fullmatch(name):
                self.fs.rm_file(found)
