"""One manifest over several data sets, such as those of mapped tasks; no data is read or copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airgate.data.frames.reading import OpenFolder
from airgate.data.shape.evolution import united
from airgate.data.shape.schema import describe_schema
from airgate.data.store.manifest import FILE_NAME, Calls, File, Manifest


def merge_manifests(
    manifests: Sequence[Manifest], open_folder: OpenFolder, *, key: Sequence[str] = (), allow_twins: bool = False
) -> Manifest:
    """Make one data set of several, and write its manifest into the folder that they have in common.

    Args:
        manifests: Of the data sets, in the order in which their parts are to stand.
        open_folder: Opens the folder behind a URI.
        key: Columns of which no two rows may have the same values, over all data sets; only they are read. Empty for
            no such check.
        allow_twins: Accept data sets that hold the very same file, which otherwise looks like a mistake.

    Returns:
        The manifest: parts and dead letters named relative to the common folder, columns united, counts added up.

    Raises:
        ValueError: There is no data set, no common folder, the data sets overlap, or a column has two types.
    """
    if not manifests:
        raise ValueError("no data set to merge: the list of manifests is empty")
    for manifest in manifests:
        manifest.check()
    path = common_folder([manifest.path for manifest in manifests])
    merged = Manifest(
        path=path,
        schema=_schema(manifests, open_folder),
        parts=[_below(path, manifest, part) for manifest in manifests for part in _filled(manifest, manifests)],
        dead_letters=[_below(path, manifest, file) for manifest in manifests for file in manifest.dead_letters],
        received=sum(manifest.received for manifest in manifests),
        written=sum(manifest.written for manifest in manifests),
        dead_lettered=sum(manifest.dead_lettered for manifest in manifests),
        calls=_calls([manifest.calls for manifest in manifests]),
    )
    merged.check()
    if not allow_twins:
        _refuse_twins(merged)
    if key:
        _refuse_overlap(merged, open_folder, key)
    # Alone in its folder it is what stands there already.
    if len(manifests) > 1:
        open_folder(path).write(FILE_NAME, merged.content)
    return merged


def common_folder(paths: Sequence[str]) -> str:
    """The folder below which all data sets lie.

    Raises:
        ValueError: There is none, a data set is named twice, or one lies within another.
    """
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        raise ValueError(f"the data set {twice[0]} is given more than once: its rows would be doubled")
    if len(paths) == 1:
        return paths[0]
    segments = [path.rstrip("/").split("/") for path in paths]
    common = []
    for level in zip(*segments, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    # `s3:`, an empty segment and the bucket are no folder yet; a local path begins with an empty one as well.
    if len([segment for segment in common if segment]) < 2:
        raise ValueError(f"the data sets have no folder in common: {', '.join(paths)}")
    folder = "/".join(common)
    if folder in {"/".join(one) for one in segments}:
        raise ValueError(f"a data set lies within another one, {folder}: give each a folder of its own")
    return folder


def _filled(manifest: Manifest, among: Sequence[Manifest]) -> list[File]:
    """The parts with rows; an empty data set has one without, which only a merge of empty ones needs."""
    filled = [part for part in manifest.parts if part.records]
    return filled if filled or manifest is not among[0] or any(one.written for one in among) else manifest.parts[:1]


def _below(path: str, manifest: Manifest, file: File) -> File:
    inner = manifest.path.rstrip("/")[len(path) :].strip("/")
    return msgspec.structs.replace(file, name=f"{inner}/{file.name}" if inner else file.name)


def _calls(several: Sequence[Calls]) -> Calls:
    faults: Counter[str] = Counter()
    for calls in several:
        faults.update(calls.faults)
    return Calls(
        pages=sum(calls.pages for calls in several),
        requests=sum(calls.requests for calls in several),
        retries=sum(calls.retries for calls in several),
        waited=round(sum(calls.waited for calls in several), 3),
        faults=dict(faults),
    )


def _schema(manifests: Sequence[Manifest], open_folder: OpenFolder) -> dict[str, str]:
    """The columns of all data sets; one that is missing somewhere, or may be null somewhere, may be null.

    The manifests tell it unless a column has two types there: only a struct that has grown may, which the parts know.
    """
    columns: dict[str, str] = {}
    for manifest in manifests:
        for name, text in manifest.schema.items():
            known = columns.setdefault(name, text)
            if known.rstrip("!") != text.rstrip("!"):
                return _schema_of_parts(manifests, open_folder)
            if not text.endswith("!") or not known.endswith("!"):
                columns[name] = text.rstrip("!")
    everywhere = set.intersection(*(set(manifest.schema) for manifest in manifests))
    return {name: text if name in everywhere else text.rstrip("!") for name, text in columns.items()}


def _schema_of_parts(manifests: Sequence[Manifest], open_folder: OpenFolder) -> dict[str, str]:
    schemas = []
    for manifest in manifests:
        folder = open_folder(manifest.path)
        for part in manifest.parts:
            with folder.fs.open(folder.file(part.name), "rb") as file:
                schemas.append(pq.read_schema(file))
    try:
        return describe_schema(united(schemas))
    except ValueError as error:
        holders: Mapping[str, list[str]] = {
            name: sorted({f"{one.schema[name]} in {one.path}" for one in manifests if name in one.schema})
            for name in sorted({name for one in manifests for name in one.schema})
        }
        different = [
            f"{name} is {' and '.join(texts)}"
            for name, texts in holders.items()
            if len({text.split(" in ")[0].rstrip("!") for text in texts}) > 1
        ]
        raise ValueError(f"the data sets do not fit together ({error}): {'; '.join(different)}") from None


def _refuse_twins(merged: Manifest) -> None:
    first: dict[str, str] = {}
    for part in merged.parts:
        if part.records and (other := first.setdefault(part.sha256, part.name)) != part.name:
            raise ValueError(
                f"{merged.path}: {part.name} holds exactly what {other} holds, so the data sets probably overlap; let "
                "each read a share of its own, or say allow_twins=True"
            )


def _refuse_overlap(merged: Manifest, open_folder: OpenFolder, key: Sequence[str]) -> None:
    folder = open_folder(merged.path)
    tables = []
    for part in merged.parts:
        with folder.fs.open(folder.file(part.name), "rb") as file:
            parquet = pq.ParquetFile(file)
            if missing := [name for name in key if name not in parquet.schema_arrow.names]:
                raise ValueError(f"key: {merged.path}/{part.name} has no column {', '.join(missing)}")
            tables.append(parquet.read(columns=list(key)))
    counted = pa.concat_tables(tables, promote_options="permissive").group_by(list(key)).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted.column("count_all"), 1))
    if twice.num_rows:
        example = ", ".join(f"{name} {twice.column(name)[0].as_py()}" for name in key)
        raise ValueError(f"{merged.path}: {twice.num_rows} keys come more than once, the first is {example}")
