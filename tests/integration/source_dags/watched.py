"""Assets that sources of events are watched for, one source each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, AssetAny, AssetWatcher, task

from airgate.events import EventStreamTrigger, FeedTrigger, RedisStreamTrigger
from tests.integration.raising_trigger import RaisingTrigger

# The test changes it while events come: Airflow replaces the trigger of the feed.
limit = json.loads((Path(os.environ["AIRFLOW_HOME"]) / "settings.json").read_text())["limit"]

sources = {
    "feed": FeedTrigger("/feed", interval=0.5, limit=limit),
    "stream": EventStreamTrigger("/stream", reconnect=0.5, start={"id": "0"}),
    "redis": RedisStreamTrigger("shop", "airflow"),
    "raising": RaisingTrigger(),
}
assets = [
    Asset(f"shop_{name}", watchers=[AssetWatcher(name=name, trigger=trigger)]) for name, trigger in sources.items()
]

with DAG(
    "watched", schedule=AssetAny(*assets), start_date=pendulum.datetime(2026, 1, 1), is_paused_upon_creation=False
):

    @task
    def woken() -> None:
        """Do nothing: the events themselves are looked at."""

    woken()
