"""Writes events into an asset's own log in Airflow's database, which wakes the DAGs that are scheduled on the asset.

All of it blocks: it asks Airflow's database.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetActive, AssetModel
from airflow.utils.retries import run_with_db_retries
from airflow.utils.session import create_session
from sqlalchemy import select

from airgate.policy.events.batch import EventBatch


class NoSuchAsset(Exception):
    """No DAG that Airflow knows has an asset by that name."""


def register(asset: str, webhook: str, batch: EventBatch) -> None:
    """Register one asset event; it is committed when this returns.

    Should the connection break while it is committed, it may be registered twice: an event is known by its source and
    id to whoever reads it.

    Args:
        asset: Name of the asset.
        webhook: Name of the webhook, kept as ``from_webhook``.
        batch: What the asset event holds.

    Raises:
        NoSuchAsset: There is none, or none that a DAG still has.
    """
    extra: dict[str, Any] = {"from_webhook": webhook, "payload": batch.to_json()}
    for attempt in run_with_db_retries():
        with attempt:
            for tell in _register(asset, extra):
                tell()
            return


def _register(asset: str, extra: dict[str, Any]) -> list[Callable[[], None]]:
    """What Airflow's listeners are to be told once it is committed."""
    listeners: list[Callable[[], None]] = []
    active = (
        select(AssetModel)
        .join(AssetActive, (AssetActive.name == AssetModel.name) & (AssetActive.uri == AssetModel.uri))
        .where(AssetModel.name == asset)
    )
    with create_session(scoped=False) as session:
        if (found := session.scalar(active)) is None:
            raise NoSuchAsset(asset)
        # As a watcher's trigger does it: the event of an installation, not of one of its users.
        asset_manager.register_asset_change(asset=found, extra=extra, session=session, callback_sink=listeners)
    return listeners
