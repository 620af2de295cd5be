"""What tests of several rooms share."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_server import ScriptedServer

# Before anything imports Airflow: no test may read or write the developer's own installation.
_HOME = tempfile.TemporaryDirectory(prefix="airgate-tests-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"

_ROOT = Path(__file__).parent
_ROOMS_OF_STACKS = frozenset({"browser", "faults", "integration", "packaging"})
"""Their tests start whole stacks, on ports of their own: one after the other."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests one process runs, of several (``-n 2 --dist loadgroup``): those of a file, or all with stacks.

    The stacks come first: nothing that is left for the end takes as long as they do.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(_ROOT)
        name = "stacks" if path.parts[0] in _ROOMS_OF_STACKS else str(path)
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.path.relative_to(_ROOT).parts[0] not in _ROOMS_OF_STACKS)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A real HTTP server on loopback."""
    scripted = ScriptedServer()
    yield scripted
    scripted.stop()


@pytest.fixture
def closed_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
