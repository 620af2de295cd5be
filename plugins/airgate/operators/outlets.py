"""What the asset events of a task that wrote a data set, or a table, say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airgate.data.read.watermark import Watermark
    from airgate.data.store.manifest import Manifest


def describe_outlets(
    context: Any,
    outlets: Sequence[object],
    manifest: Manifest,
    *,
    watermark: Watermark | None = None,
    keys: Iterable[str] = (),
) -> None:
    """Put the data set's path, its rows and the watermark into the ``extra`` of each outlet's event.

    Args:
        context: The task's.
        outlets: The task's; aliases are left alone.
        manifest: Of the data set.
        watermark: Of the read, if it was incremental.
        keys: Partition keys; with any, each outlet gets one event a key instead of one.
    """
    extra: dict[str, Any] = {"path": manifest.path, "rows": manifest.written, "dead_lettered": manifest.dead_lettered}
    if watermark is not None:
        extra["watermark"] = watermark.to_json()["value"]
    _describe(context, outlets, extra, sorted(set(keys)))


def describe_load(context: Any, outlets: Sequence[object], report: Mapping[str, Any]) -> None:
    """Put what a load did into the ``extra`` of each outlet's event: table, mode, and the rows by what became of them.

    Args:
        context: The task's.
        outlets: The task's; aliases are left alone.
        report: What the load gives.
    """
    names = ("table", "mode", "rows", "inserted", "updated", "dead_lettered")
    _describe(context, outlets, {name: report[name] for name in names if name in report})


def _describe(context: Any, outlets: Sequence[object], extra: Mapping[str, Any], keys: Sequence[str] = ()) -> None:
    events = context.get("outlet_events")
    if events is None:
        return
    for asset in outlets:
        if isinstance(asset, Asset):
            event = events[asset]
            event.extra.update(extra)
            if keys:
                event.add_partitions(list(keys))


def partition_keys(manifest: Manifest) -> set[str]:
    """The folders of the parts below the data set: ``carrier=UA/month=1`` of a partitioned one, else none."""
    return {folder for part in manifest.parts if (folder := part.name.rpartition("/")[0])}
