"""Where a read stands, as its checkpoint holds it: a few kilobytes, whatever the size of the data set."""

from __future__ import annotations

import base64
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airgate.client.pages import Position
from airgate.data.shape.schema import describe_schema
from airgate.data.store.manifest import Manifest
from airgate.data.store.part_list import PartList, PartListLost, recall
from airgate.data.store.storage import Folder

log = logging.getLogger(__name__)

CHECKPOINT_VERSION = 3
_WHOLE_MANIFEST = 2
"""The version of earlier releases, in which the manifest stands as a whole and the schema is not compressed."""


def standing(
    fingerprint: str, position: Position | None, noted: Mapping[str, Any], schema: pa.Schema
) -> dict[str, Any]:
    """What is to be stored behind a durable part.

    Args:
        fingerprint: Of the read.
        position: Where the next batch stands; None when only the completion is missing.
        noted: What ``PartList.note`` gave.
        schema: As it has become.
    """
    packed = zlib.compress(schema.serialize().to_pybytes())
    return {
        "version": CHECKPOINT_VERSION,
        "fingerprint": fingerprint,
        "position": position,
        **noted,
        "schema": base64.b64encode(packed).decode(),
    }


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a checkpoint holds of a read."""

    position: Position | None
    """Where the next batch stands; None when only the completion is missing."""
    manifest: Manifest
    part_list: PartList
    schema: pa.Schema
    """As it was or had become."""


def resumed(source: str, fingerprint: str, folder: Folder, state: Mapping[str, Any] | None) -> Resumed | None:
    """What an earlier try of the same read made durable; None without one, or when it is not there any more.

    Args:
        source: Names the collection in messages.
        fingerprint: Of the read; what another one left behind is not used.
        folder: Where the parts are.
        state: The checkpoint, None without one.
    """
    if state is None:
        return None
    version = state.get("version")
    if version not in (_WHOLE_MANIFEST, CHECKPOINT_VERSION):
        log.warning(
            "%s: the stored checkpoint has version %s, which this release does not read; starting from the beginning",
            *(source, version),
        )
        return None
    if state.get("fingerprint") != fingerprint:
        log.warning("%s: the stored checkpoint belongs to another read; starting from the beginning", source)
        return None
    try:
        manifest, part_list = recall(folder, state)
    except PartListLost as lost:
        log.warning("%s: what an earlier try made durable is lost (%s); starting from the beginning", source, lost)
        return None
    packed = base64.b64decode(state["schema"])
    schema = pa.ipc.read_schema(pa.py_buffer(packed if version == _WHOLE_MANIFEST else zlib.decompress(packed)))
    manifest.schema = describe_schema(schema)
    log.warning("%s: resuming behind %d records that an earlier try made durable", source, manifest.received)
    return Resumed(state["position"], manifest, part_list, schema)
