"""A folder on any fsspec file system, in which a file is there whole or not at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from re import Pattern
from typing import TypeAlias, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from airgate.data.store.sink import Sink, open_sink

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

    def create(self, name: str) -> Sink:
        """A file to be written piece by piece; nothing is there under its name before it is committed.

        Args:
            name: Of the file; folders in it, ``column=value/part-00000.parquet``, are made.
        """
        return open_sink(self.fs, self.file(name))

    def write(self, name: str, content: Content) -> None:
        """Write a file durably and atomically; an earlier file of that name is replaced.

        On a local disk: a temporary file, flushed to the device, then renamed. On an object store a put is atomic by
        itself, and so is one in several pieces (multipart), as the file system does it for large content: the object
        appears when the last piece is confirmed.

        Args:
            name: Of the file; folders in it are made.
            content: All of it.
        """
        whole = content if isinstance(content, bytes) else content.to_pybytes()
        if not isinstance(self.fs, LocalFileSystem):
            path = self.file(name)
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.fs.pipe_file(path, whole)
            return
        sink = self.create(name)
        try:
            sink.write(whole)
            sink.commit()
        except BaseException:
            sink.discard()
            raise

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        return cast(bytes, self.fs.cat_file(self.file(name)))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name with the folders below this one in front; as it is now, not as cached."""
        self.fs.invalidate_cache(self.path)
        if not self.fs.exists(self.path):
            return {}
        start = len(str(self.fs._strip_protocol(self.path)).rstrip("/")) + 1
        return {found[start:]: info["size"] for found, info in self.fs.find(self.path, detail=True).items()}

    def remove(self, names: Pattern[str], *, but: Collection[str]) -> None:
        """Remove the files whose whole name matches, but for some: what an earlier, abandoned attempt left behind.

        Args:
            names: Of files, with the folders below this one in front.
            but: Names that stay.
        """
        for name in self.sizes():
            if name not in but and names.fullmatch(name):
                self.fs.rm_file(self.file(name))
