"""Offers airgate's plugin when the project is used as a plugins folder.

An installed airgate offers the same plugin through its entry point; then this file offers nothing, because Airflow
would refuse the second one and drop plugins that come after it.
"""

from importlib.metadata import entry_points

if not any(point.name == "airgate" for point in entry_points(group="airflow.plugins")):
    from airgate.plugin import AirgatePlugin

    __all__ = ["AirgatePlugin"]
