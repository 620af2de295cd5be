"""The watermark of an asset: in Airflow's asset state store, and in a small file below the data root.

The row in the asset state store vanishes when no DAG references the asset (read in Airflow 3.3.2). So each watermark is
written to a file as well, which is asked when the store has none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowRuntimeError

from airgate.data.read.watermark import Watermark, higher
from airgate.data.store.storage import Folder
from airgate.hooks.storage import open_folder
from airgate.policy.idempotency import digest

if TYPE_CHECKING:
    from airflow.sdk import Asset

log = logging.getLogger(__name__)

_KEY = "airgate.watermark"


class AssetWatermark:
    """One watermark of one asset.

    No store offers compare-and-set, so two runs that end in the same moment may both read before either writes; the
    lower one may then win. The next read begins further back in that case and reads records again; it never leaves any
    out.

    Args:
        context: The task's.
        asset: An inlet or outlet of the task.
        slot: Tells several watermarks of the asset apart; empty for the only one.

    Raises:
        ValueError: The asset is neither an inlet nor an outlet of the task.
    """

    def __init__(self, context: Any, asset: Asset, slot: str = "") -> None:
        self._asset = asset
        try:
            self._store = context["asset_state_store"][asset]
        except KeyError:
            # Of a mapped task Airflow knows what stands in partial() and nothing that its operator adds later.
            raise ValueError(
                f"asset {asset.name} is neither inlet nor outlet of the task, so Airflow keeps no watermark for it: "
                "add outlets=[the asset], for mapped tasks in partial()"
            ) from None
        self._ti = context["ti"]
        self._key = f"{_KEY}.{slot}" if slot else _KEY
        self._file = f"watermark-{slot}.json" if slot else "watermark.json"

    def load(self) -> Watermark | None:
        """The watermark; from the file or the last manifest, with a warning, when the store has lost it."""
        stored = self._stored()
        if stored is not None:
            return stored
        found = higher(self._from_file(), self._from_manifest())
        if found is not None:
            log.warning(
                "asset %s has no watermark in Airflow's state store (the row vanishes when no DAG references the "
                "asset); going on from the one of the last data set, %s",
                *(self._asset.name, found.value),
            )
        return found

    def advance(self, mark: Watermark, manifest_path: str) -> Watermark:
        """Move the watermark forward; a lower one, such as a backfill's, changes nothing. Gives what holds now.

        Args:
            mark: The highest value among the rows of a complete, durable data set.
            manifest_path: Where the data set is.
        """
        kept, folder = self._from_file(), self._folder()
        highest = higher(kept, mark) or mark
        if highest != kept and folder is not None:
            content = {"watermark": highest.to_json(), "manifest": manifest_path, "asset": self._asset.name}
            folder.write(self._file, json.dumps(content, indent=1).encode())
        before = self._stored()
        now = higher(before, mark) or mark
        if now != before:
            try:
                self._store.set(self._key, now.to_json())
            except AirflowRuntimeError as error:
                if not _is_unknown_asset(error):
                    raise
                log.warning("Airflow does not know asset %s; its watermark is kept in a file only", self._asset.name)
        if now != mark:
            log.info("the watermark stays at %s: this read came to %s", now.value, mark.value)
        return now

    def _stored(self) -> Watermark | None:
        try:
            stored = self._store.get(self._key)
        except AirflowRuntimeError as error:
            if not _is_unknown_asset(error):
                raise  # a store that cannot be reached now is not one that has lost its row
            return None
        return None if stored is None else Watermark.from_json(stored)

    def _folder(self) -> Folder | None:
        root = conf.get("airgate", "data_root", fallback="").rstrip("/")
        # An asset may be written by several DAGs, so this lies above the folders of all of them.
        return open_folder(f"{root}/_watermarks/{quote(self._asset.name, safe='')}") if root else None

    def _from_file(self) -> Watermark | None:
        folder = self._folder()
        if folder is None:
            return None
        try:
            return Watermark.from_json(json.loads(folder.read(self._file))["watermark"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{folder.uri}/{self._file} is no watermark file ({error}); remove it to begin anew"
            ) from None

    def _from_manifest(self) -> Watermark | None:
        """The watermark beside the manifest that an earlier run of the same task returned."""
        pull = getattr(self._ti, "xcom_pull", None)
        if pull is None:
            return None
        last = pull(task_ids=self._ti.task_id, map_indexes=self._ti.map_index, include_prior_dates=True)
        mark = last.get("watermark") if isinstance(last, dict) else None
        return None if mark is None else Watermark.from_json(mark)


def slot_of(name: str, ti: Any, path: str, query: Mapping[str, Any] | None) -> str:
    """What tells one watermark of an asset from others: its name, and for mapped tasks what each of them reads.

    A map index would not do: it says nothing about what is read when the list that is mapped changes.
    """
    mapped = ti.map_index is not None and ti.map_index >= 0
    share = digest((path, *sorted((query or {}).items())))[:16] if mapped else ""
    return ".".join(filter(None, (quote(name, safe=""), share)))


def _is_unknown_asset(error: AirflowRuntimeError) -> bool:
    detail = error.error.detail
    return isinstance(detail, dict) and detail.get("status_code") == HTTPStatus.NOT_FOUND
