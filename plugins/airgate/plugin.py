"""The plugin that Airflow discovers, from the installed package or from the plugins folder."""

from __future__ import annotations

import sys
from functools import cached_property
from multiprocessing import parent_process
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin


class AirgatePlugin(AirflowPlugin):
    """Makes airgate known to Airflow, with the endpoints that services call.

    The api-server and the scheduler also hear of tasks that are ended, to end their jobs. No other process does:
    Airflow refuses some DAGs where anyone listens.
    """

    name = "airgate"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """What the api-server serves; built when it asks, as every process of Airflow loads the plugin."""
        from airgate.ingress.app import PREFIX, build
        from airgate.ingress.listener import listen

        listen()
        return [{"app": build(), "url_prefix": PREFIX, "name": "airgate"}]

    @property
    def listeners(self) -> list[Any]:  # type: ignore[override]
        """The scheduler's; the api-server registers its own as it asks for what it serves."""
        if not _is_scheduler():
            return []
        from airgate.ingress.listener import ended_listener

        return [ended_listener(at_once=False)]


def _is_scheduler() -> bool:
    """Whether this is the scheduler itself, told by its command: Airflow asks before it says so anywhere else."""
    return sys.argv[1:2] == ["scheduler"] and parent_process() is None
