"""The project as a plugins folder, alone and beside an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clean_environment import CleanEnvironment

pytestmark = pytest.mark.packaging

PROBE = """
import sys
from airflow import plugins_manager as server_side
from airflow.sdk import plugins_manager as task_side
from airflow.providers_manager import ProvidersManager

plugins, errors = server_side._get_plugins()
task_plugins, task_errors = task_side._get_plugins()
import airgate.operators
from airgate.decorators import dataframe_task

@dataframe_task
def tidy(rows): return rows

answer({
    "plugins": [plugin.name for plugin in plugins].count("airgate"),
    "task plugins": [plugin.name for plugin in task_plugins].count("airgate"),
    "errors": {**errors, **task_errors},
    "at": airgate.operators.__file__,
    "provider": "airgate" in ProvidersManager().providers,
    "connection type": "gateway" in ProvidersManager().hooks,
    "decorated": type(tidy).__name__,
    "modules": [
        name for name, module in sys.modules.items() if (getattr(module, "__file__", "") or "").startswith(FOLDER)
    ],
})
"""


def probe(environment: CleanEnvironment, plugins_folder: Path) -> Any:
    return environment.ask(
        f"FOLDER = {str(plugins_folder)!r}\n{PROBE}", AIRFLOW__CORE__PLUGINS_FOLDER=str(plugins_folder)
    )


def test_the_folder_alone_gives_the_plugin_and_the_package(uninstalled: CleanEnvironment, plugins_folder: Path) -> None:
    """Dropped into a plugins folder, airgate is found once without errors and can be imported; no provider, as said."""
    found = probe(uninstalled, plugins_folder)
    assert found["errors"] == {}
    assert (found["plugins"], found["task plugins"]) == (1, 1)
    assert found["at"] == str(plugins_folder / "airgate" / "operators" / "__init__.py")
    assert found["decorated"] == "_TaskDecorator"
    # Airflow runs plugin files as top-level modules; none of ours may take the place of one that others import.
    assert [name for name in found["modules"] if not name.startswith("airgate")] == []
    assert (found["provider"], found["connection type"]) == (False, False)


def test_the_folder_beside_the_wheel_registers_once(installed: CleanEnvironment, plugins_folder: Path) -> None:
    """With both, Airflow registers one plugin and records no error, which would drop later plugins."""
    found = probe(installed, plugins_folder)
    assert found["errors"] == {}
    assert (found["plugins"], found["task plugins"]) == (1, 1)
    assert (found["provider"], found["connection type"]) == (True, True)
