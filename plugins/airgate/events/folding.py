"""Events read for what they come to together: a table that is computed anew, a count, a latest state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow.sdk import Asset

from airgate.events.asset_log import AssetLog
from airgate.policy.events.event import Event


def logged_events(context: Any, asset: Asset, since: datetime) -> Iterator[Event]:
    """The events in an asset's log, each once, in the order in which they were stored.

    For a DAG that is scheduled on the asset and computes anew what follows from all events of a while. It does not
    matter then that Airflow makes one run of several asset events, nor that a paused DAG is told of none: the next run
    reads them all. What must be done once for each event is the business of a ``DispatchEventsOperator``.

    Args:
        context: The task's, of which the asset is an inlet: ``@task(inlets=[ASSET])``.
        asset: Whose log.
        since: When the first of them was stored; events may have happened before. Entries that are no event are left
            out.

    Raises:
        KeyError: The asset is no inlet of the task.
    """
    met: set[tuple[str, str]] = set()
    for entry in AssetLog(context["inlet_events"][asset], asset.uri or asset.name).since(since):
        for event in entry.batch.events:
            name = (event.source, event.id)
            if name not in met:
                met.add(name)
                yield event
