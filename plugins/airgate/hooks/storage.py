"""Where data sets live: Airflow's object storage, below one configured root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath, conf

if TYPE_CHECKING:
    from airgate.data.store.storage import Folder


def open_folder(uri: str) -> Folder:
    """The folder behind a URI such as ``file:///data/x`` or ``s3://aws_default@bucket/x``."""
    from airgate.data.store.storage import Folder  # with Arrow, which no DAG file needs to be parsed

    path = ObjectStoragePath(uri)
    return Folder(path.fs, path.path, uri)


def task_folder_uri(ti: Any) -> str:
    """The folder of one task instance: ``{data_root}/{dag}/{run}/{task}[/{map index}]``, the same in every try.

    Raises:
        ValueError: When ``[airgate] data_root`` is not set.
    """
    names = [_segment(name) for name in (ti.dag_id, ti.run_id, ti.task_id)]
    return "/".join([_root(), *names, *map_index_segment(ti)])


def shared_folder_uri(kind: str, *names: str) -> str:
    """A folder that belongs to no run: ``{data_root}/_{kind}/{names}``.

    Raises:
        ValueError: When ``[airgate] data_root`` is not set.
    """
    return "/".join([_root(), f"_{kind}", *map(_segment, names)])


def _root() -> str:
    root = conf.get("airgate", "data_root", fallback="").rstrip("/")
    if not root:
        raise ValueError(
            "[airgate] data_root is not set: give it the URI under which data sets are kept, such as file:///data or "
            "s3://aws_default@bucket/airgate (environment: AIRFLOW__AIRGATE__DATA_ROOT)"
        )
    if "://" not in root:
        raise ValueError(f"[airgate] data_root must be a URI such as file:///data, not {root!r}")
    return str(root)


def schema_folder_uri(ti: Any) -> str | None:
    """The folder of the schema that all runs of a task are held to: ``{data_root}/_schemas/{dag}/{task}``.

    None without a data root: a task with an output path of its own needs none.
    """
    root = conf.get("airgate", "data_root", fallback="").rstrip("/")
    return "/".join([root, "_schemas", _segment(ti.dag_id), _segment(ti.task_id)]) if root else None


def map_index_segment(ti: Any) -> list[str]:
    """What tells the folders of mapped task instances apart; nothing for one that is not mapped."""
    return [str(ti.map_index)] if ti.map_index is not None and ti.map_index >= 0 else []


def _segment(name: str) -> str:
    """A name as one segment of a path; a run may be called '..'."""
    return quote(name, safe="-_.") if name.strip(".") else name.replace(".", "%2E")
