"""The plugin that Airflow discovers, from the installed package or from the plugins folder."""

from __future__ import annotations

from airflow.sdk.plugins_manager import AirflowPlugin


class AirgatePlugin(AirflowPlugin):
    """Makes airgate known to Airflow; its pages and endpoints will hang here."""

    name = "airgate"
