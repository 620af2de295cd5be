"""The parents that a task is given: data sets, or a list of records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgate.data.read.parents import Parents, parents_of, read_parents
from airgate.data.store.manifest import Manifest
from airgate.hooks.storage import open_folder


def given_parents(value: Any, params: Mapping[str, str], columns: Mapping[str, str]) -> Parents:
    """Read the parents.

    Args:
        value: A manifest, a list of manifests or of records, or the results of mapped tasks.
        params: Placeholder of the path -> column.
        columns: Column of the children -> column of the parents.

    Raises:
        ValueError: It is something else, or a column is missing.
    """
    given = [value] if isinstance(value, Mapping) else list(value[:])
    # Results of mapped tasks that were skipped are missing; those that each return a list are lists.
    flat = [inner for each in given if each is not None for inner in (each if isinstance(each, list) else [each])]
    key, needed = list(params.values()), [*params.values(), *columns.values()]
    found = [Manifest.is_manifest(each) for each in flat]
    if flat and all(found):
        return read_parents([Manifest.from_json(each) for each in flat], open_folder, needed, key)
    if any(found) or not all(isinstance(each, Mapping) for each in flat):
        raise ValueError("parents must be a manifest, a list of manifests, or a list of records (objects)")
    return parents_of(flat, needed, key)
