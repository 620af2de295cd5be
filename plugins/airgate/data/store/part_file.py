"""One Parquet part that is written row group by row group."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.shape.encodings import encodings
from airgate.data.store.manifest import File
from airgate.data.store.sink import Sink
from airgate.data.store.storage import Folder


class PartFile:
    """A part on its way. Each row group goes to the file system as it comes, none is visible before ``commit``.

    Args:
        folder: Where it goes.
        name: Of the file.
        schema: Of all row groups.
        zstd_level: 1 to 22.
    """

    def __init__(self, folder: Folder, name: str, schema: pa.Schema, zstd_level: int) -> None:
        self._name = name
        self._records = 0
        self._sink = folder.create(name)
        self._stream = _Summed(self._sink)
        try:
            self._writer = pq.ParquetWriter(
                self._stream,
                schema,
                compression="zstd",
                compression_level=zstd_level,
                **encodings(schema),
            )
        except BaseException:  # such as a type that Parquet does not have
            self._sink.discard()
            raise

    def append(self, rows: pa.Table) -> None:
        """Write rows as one row group."""
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self._records += rows.num_rows

    def commit(self) -> File:
        """Make the part visible and durable."""
        self._writer.close()
        self._sink.commit()
        return File(
            name=self._name, records=self._records, bytes=self._stream.size, sha256=self._stream.sum.hexdigest()
        )

    def discard(self) -> None:
        """Leave nothing of it behind."""
        self._stream.cut()
        self._writer.close()
        self._sink.discard()


class _Summed(io.RawIOBase):
    """Hands bytes on to a sink and adds them up on the way: what is written need not be read to be checked."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink: Sink | None = sink
        self.size = 0
        self.sum = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        if self._sink is not None:
            self._sink.write(piece)
            self.sum.update(piece)
            self.size += len(piece)
        return len(piece)

    def cut(self) -> None:
        """Hand nothing on any more; whoever writes on need not know."""
        self._sink = None
