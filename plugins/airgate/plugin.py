"""The plugin that Airflow discovers, from the installed package or from the plugins folder."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin


class AirgatePlugin(AirflowPlugin):
    """Makes airgate known to Airflow, with the endpoints that services call."""

    name = "airgate"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """What the api-server serves; built when it asks, as every process of Airflow loads the plugin."""
        from airgate.ingress.app import PREFIX, build

        return [{"app": build(), "url_prefix": PREFIX, "name": "airgate"}]
