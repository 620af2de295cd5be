"""The records for each of which another collection is read."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.frames.reading import OpenFolder
from airgate.data.store.manifest import Manifest
from airgate.policy.idempotency import digest, json_digest


@dataclass(frozen=True, slots=True)
class Parents:
    """The columns of the parents that are needed, a row each, in the order in which they were read.

    They are in memory, as Arrow columns: eight bytes for an integer key.
    """

    table: pa.Table
    fingerprint: str
    """Another set of parents has another one."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def values(self, number: int, names: Mapping[str, str]) -> dict[str, Any]:
        """New name -> value of a parent's column.

        Args:
            number: Of the parent, from 0.
            names: New name -> column.
        """
        return {name: self.table.column(column)[number].as_py() for name, column in names.items()}


def read_parents(
    manifests: Sequence[Manifest], open_folder: OpenFolder, columns: Sequence[str], key: Sequence[str]
) -> Parents:
    """The parents in data sets.

    A parent that comes more than once, as after a read with lookback, counts once: its children would be doubled.

    Args:
        manifests: Of the data sets.
        open_folder: Opens the folder behind a manifest's URI.
        columns: What is needed of each parent.
        key: The columns among them that tell one from another.

    Raises:
        ValueError: A column is missing, a key is null, or a file has changed since its manifest was made.
    """
    tables = list(_tables(manifests, open_folder, columns))
    content = digest(part.sha256 for manifest in manifests for part in manifest.parts)
    table = (
        pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({name: [] for name in columns})
    )
    return Parents(_distinct(table, key), content)


def _tables(manifests: Sequence[Manifest], open_folder: OpenFolder, columns: Sequence[str]) -> Iterator[pa.Table]:
    for manifest in manifests:
        folder = open_folder(manifest.path)
        for part in manifest.parts:
            content = folder.read(part.name)
            if hashlib.sha256(content).hexdigest() != part.sha256:
                raise ValueError(
                    f"{folder.uri}/{part.name} is not the file of its manifest any more: run the task that made it, "
                    "and then this one, again"
                )
            file = pq.ParquetFile(pa.BufferReader(content))
            if missing := [name for name in columns if name not in file.schema_arrow.names]:
                raise ValueError(
                    f"the parents in {manifest.path} have no column {', '.join(missing)}; they have "
                    f"{', '.join(file.schema_arrow.names)}"
                )
            yield file.read(columns=list(dict.fromkeys(columns)))


def parents_of(records: Sequence[Mapping[str, Any]], columns: Sequence[str], key: Sequence[str]) -> Parents:
    """The parents in a list of records, such as the result of a task.

    Raises:
        ValueError: A column is missing or a key is null.
    """
    for number, record in enumerate(records):
        if missing := [name for name in columns if name not in record]:
            raise ValueError(f"parent {number} has no {', '.join(missing)}; it has {', '.join(map(str, record))}")
    table = pa.table({name: [record[name] for record in records] for name in dict.fromkeys(columns)})
    return Parents(_distinct(table, key), json_digest([dict(record) for record in records]))


def _distinct(table: pa.Table, key: Sequence[str]) -> pa.Table:
    for name in key:
        if nulls := table.column(name).null_count:
            raise ValueError(f"{nulls} parents have no {name}, which the path needs: leave them out of the parents")
    if not key or not table.num_rows:
        return table
    numbered = table.select(list(dict.fromkeys(key))).append_column("#", pa.array(range(table.num_rows), pa.int64()))
    first = numbered.group_by(list(dict.fromkeys(key)), use_threads=False).aggregate([("#", "min")]).column("#_min")
    return table.take(first.take(pa.compute.sort_indices(first)))


def as_path_text(value: object) -> str:
    """A value as a segment of a path."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, dt.date) else str(value)
