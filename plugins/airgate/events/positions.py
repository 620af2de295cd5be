"""Where the position of a dispatcher is kept: in Airflow's asset state store, and in a small file below the data root.

The row in the asset state store vanishes when no DAG references the asset (read in Airflow 3.3.2), as when the DAG file
cannot be imported for a while. So each position is written to a file as well, which is asked when the store has none.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError

from airgate.hooks.storage import open_folder, shared_folder_uri
from airgate.policy.events.log_position import LogPosition
from airgate.policy.idempotency import digest

if TYPE_CHECKING:
    from airflow.sdk import Asset

log = logging.getLogger(__name__)

_FILE = "position.json"


class DispatcherPosition:
    """The position of one dispatcher, a task of a DAG, in the log of one asset.

    Args:
        context: The task's; the asset is one of its inlets.
        asset: Whose log.

    Raises:
        ValueError: ``[airgate] data_root`` is not set.
    """

    def __init__(self, context: Any, asset: Asset) -> None:
        ti = context["ti"]
        self._store = context["asset_state_store"][asset]
        self._key = f"airgate.dispatch.{digest((ti.dag_id, ti.task_id))[:32]}"
        self._asset = asset.name
        self._folder = open_folder(shared_folder_uri("events", "positions", asset.name, ti.dag_id, ti.task_id))

    def load(self) -> LogPosition | None:
        """The position; from the file, with a warning, when the store has lost it. None where there is none yet.

        Raises:
            ValueError: What is kept is no position.
        """
        try:
            stored = self._store.get(self._key)
        except AirflowRuntimeError as error:
            if not _is_unknown_asset(error):
                raise  # a store that cannot be reached now is not one that has lost its row
            stored = None
        if stored is not None:
            return self._read(stored, f"the asset state store of {self._asset}")
        try:
            kept = json.loads(self._folder.read(_FILE))
        except FileNotFoundError:
            return None
        except ValueError:
            raise ValueError(f"{self._folder.uri}/{_FILE} is not JSON; remove it to begin anew") from None
        position = self._read(kept, f"{self._folder.uri}/{_FILE}")
        log.warning(
            "asset %s has no position of this dispatcher in Airflow's state store (the row vanishes when no DAG "
            "references the asset); going on from the one in %s",
            *(self._asset, self._folder.uri),
        )
        return position

    def save(self, position: LogPosition) -> None:
        """Keep a position; durable when this returns."""
        told = position.to_json()
        try:
            self._store.set(self._key, told)
        except AirflowRuntimeError as error:
            if not _is_unknown_asset(error):
                raise
            log.warning("Airflow does not know asset %s; its position is kept in a file only", self._asset)
        self._folder.write(_FILE, json.dumps(told).encode())

    @staticmethod
    def _read(told: object, where: str) -> LogPosition:
        try:
            return LogPosition.read(told)
        except ValueError as wrong:
            raise ValueError(f"{where} holds no position: {wrong}; remove it to begin anew") from None


def _is_unknown_asset(error: AirflowRuntimeError) -> bool:
    detail = error.error.detail
    return isinstance(detail, dict) and detail.get("status_code") == HTTPStatus.NOT_FOUND
