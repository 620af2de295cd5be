"""Events of two feeds: those of one handed on in batches, those of the other each as a run of its own."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetWatcher, Param, dag, get_current_context, task

from airgate.events import DispatchEventsOperator, Event, FeedTrigger, each_event, events_of
from airgate.hooks import GatewayHook

BATCH = int(os.environ.get("EVENTS_BATCH", "100"))
PATIENCE: dict[str, Any] = {"retries": 30, "retry_delay": timedelta(seconds=1)}
AWAKE: dict[str, Any] = {"catchup": False, "is_paused_upon_creation": False}
ORDER: dict[str, Any] = {"type": "object", "properties": {"data": {"type": "object", "required": ["sku"]}}}


def watched(name: str) -> Asset:
    """A feed as an asset."""
    trigger = FeedTrigger(f"/feeds/{name}", interval=1.0, longest_pause=5.0, limit=200)
    return Asset(f"feed_{name}", watchers=[AssetWatcher(name=f"watch_{name}", trigger=trigger)])


@task(**PATIENCE)
def take() -> dict[str, int]:
    """Do what there is to do for each event."""
    hook = GatewayHook()

    def effect(event: Event) -> None:
        hook.call(
            "POST",
            "/orders/{order}",
            path_params={"order": event.id},
            json=event.data,
            idempotency_key=event.key("effect"),
        )

    return each_event(effect, events_of(get_current_context())).to_json()


@dag(dag_id="dispatch_batched", schedule=[batched := watched("batched")], max_active_runs=1, **AWAKE)
def dispatch_batched() -> None:
    """Several events a run."""
    DispatchEventsOperator(task_id="dispatch", asset=batched, to="take_batched", batch=BATCH, **PATIENCE)


@dag(dag_id="dispatch_single", schedule=[single := watched("single")], max_active_runs=1, **AWAKE)
def dispatch_single() -> None:
    """A run for each event."""
    DispatchEventsOperator(task_id="dispatch", asset=single, to="take_single", **PATIENCE)


@dag(dag_id="take_batched", schedule=None, params={"events": Param([], type="array", items=ORDER)}, **AWAKE)
def take_batched() -> None:
    """Of several events."""
    take()


@dag(dag_id="take_single", schedule=None, params={"event": Param({}, type="object")}, **AWAKE)
def take_single() -> None:
    """Of one event."""
    take()


dispatch_batched()
dispatch_single()
take_batched()
take_single()
