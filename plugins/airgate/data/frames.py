"""Data sets as pandas frames with Arrow-backed columns: nulls stay nulls, integers stay integers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.manifest import File, Manifest
from airgate.data.parts import PART_ROWS, PartWriter
from airgate.data.storage import Folder

if TYPE_CHECKING:
    import pandas as pd

OpenFolder = Callable[[str], Folder]
"""Opens the folder behind a manifest's URI."""


def read_table(manifests: Sequence[Manifest], open_folder: OpenFolder) -> pa.Table:
    """The records of one or more data sets as one table, columns united by name.

    Raises:
        ValueError: When two data sets give a column different types, when a file has changed since its manifest was
            made, or when no data set is given.
    """
    if not manifests:
        raise ValueError("no data set to read: the list of manifests is empty")
    tables = []
    for manifest in manifests:
        folder = open_folder(manifest.path)
        tables += [pq.read_table(io.BytesIO(_content(folder, part))) for part in manifest.parts]
    try:
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        paths = ", ".join(manifest.path for manifest in manifests)
        raise ValueError(f"the data sets {paths} do not fit together: {error}") from None


def _content(folder: Folder, part: File) -> bytes:
    content = folder.read(part.name)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise ValueError(
            f"{folder.uri}/{part.name} is not the file of its manifest any more: another task writes to the same "
            "folder, or the task that made it has run again since"
        )
    return content


def read_frame(manifests: Sequence[Manifest], open_folder: OpenFolder) -> pd.DataFrame:
    """The records of one or more data sets as one frame with ``ArrowDtype`` columns."""
    import pandas as pd

    return cast("pd.DataFrame", read_table(manifests, open_folder).to_pandas(types_mapper=pd.ArrowDtype))


def write_frame(frame: pd.DataFrame, folder: Folder, *, part_rows: int = PART_ROWS) -> Manifest:
    """Write a frame as a data set; the index is not kept.

    Raises:
        TypeError: When a column has no Arrow type.
        ValueError: When two columns have the same name.
    """
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise ValueError(f"two columns have the same name: {', '.join(map(str, twice))}")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"a column has no Arrow type: {error}") from None
    writer = PartWriter(folder, table.schema, part_rows=part_rows)
    for start in range(0, table.num_rows, part_rows):
        writer.add(table.slice(start, part_rows), position={"row": start})
        writer.flush()
    return writer.commit()
